package authority_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
)

// offered is what the authority shows of its newest state.
func offered(a *authority.Authority) revocation.Offer {
	t := a.Trust()
	return revocation.Offer{Head: a.State().Head().Bytes(), Chain: t.StateSigner, Change: t.Change, Snapshot: a.State().Snapshot()}
}

// TestPKI_2_SignerIsChanged: the thief of the state signer's key publishes a
// higher number, and counts for nobody who knows the new signer; the lost key is
// not needed, and the root may change as well.
func TestPKI_2_SignerIsChanged(t *testing.T) {
	dir := newMemory()
	a := ceremony(t, dir)
	first := a.Trust().Roots[0]
	stolen := a.Trust().StateSigner
	theirs := newMemory()
	maps.Copy(theirs.files, dir.files)
	thief, err := authority.Open(theirs)
	must(t, err)
	must(t, thief.Publish(start().Add(6*time.Hour)))
	must(t, thief.Publish(start().Add(7*time.Hour)))
	forged := offered(thief)

	delete(dir.files, "key-state-signer.pem")
	must(t, a.ChangeSigner(start().Add(8*time.Hour)))
	must(t, a.Publish(start().Add(9*time.Hour)))
	a, err = authority.Open(dir)
	must(t, err)
	if forged, _ := revocation.ParseHead(forged.Head); forged.Epoch.Number <= a.State().Epoch().Number-1 {
		t.Errorf("the thief's epoch %v is not ahead of the first of the new signer", forged.Epoch)
	}
	if a.Generation() != 1 || a.State().Epoch().Generation != 1 || len(a.Trust().Change) == 0 {
		t.Fatalf("epoch %v", a.State().Epoch())
	}
	v := &pki.Verifier{Trust: follow(t, first, a)}
	w, err := new(revocation.Watch).Take(forged, v, time.Time{})
	must(t, err) // who knows nothing else believes the thief
	w, err = w.Take(offered(a), v, time.Time{})
	must(t, err)
	if _, err := w.Take(forged, v, time.Time{}); !errors.Is(err, revocation.ErrOlder) {
		t.Errorf("the thief again: %v, want ErrOlder", err)
	}
	if _, err := (&pki.Verifier{Trust: v.Trust, Status: w.State()}).Verify(stolen, start().Add(9*time.Hour)); pki.RuleOf(err) != pki.RuleRevoked {
		t.Errorf("the old signer: %v, want revoked", err)
	}
	bare := offered(a)
	bare.Change = nil
	if _, err := new(revocation.Watch).Take(bare, v, time.Time{}); !errors.Is(err, revocation.ErrSigner) {
		t.Errorf("without the root's word: %v, want ErrSigner", err)
	}
	delta, err := a.Delta(a.State().Epoch().Number-1, a.State().Epoch().Number)
	must(t, err)
	if len(delta) == 0 {
		t.Error("no step in the new generation")
	}
	must(t, a.RotateRoot(start().Add(10*time.Hour)))
	must(t, a.ChangeSigner(start().Add(11*time.Hour)))
	alone, err := pki.NewTrustStore(a.Trust().Roots[0])
	must(t, err)
	if got, err := new(revocation.Watch).Take(offered(a), &pki.Verifier{Trust: alone}, time.Time{}); err != nil || got.State().Epoch().Generation != 2 {
		t.Errorf("under the new root alone: %v", err)
	}
	if _, err := w.Take(offered(a), &pki.Verifier{Trust: follow(t, first, a)}, time.Time{}); err != nil {
		t.Errorf("by who follows: %v", err)
	}
}
