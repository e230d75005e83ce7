package authority_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
)

// follow is what a party does that trusts the first root: it takes the rotations.
func follow(t testing.TB, first []byte, a *authority.Authority) *pki.TrustStore {
	t.Helper()
	trust, err := pki.NewTrustStore(first)
	must(t, err)
	trust, err = trust.Follow(nil, a.Trust().Rotations)
	must(t, err)
	return trust
}

func TestPKI_1_RootIsRotated(t *testing.T) {
	for _, spare := range []int{0, 1, 2} {
		dir := newMemory()
		a, err := authority.Ceremony(dir, authority.Config{Name: "Test", SpareRoots: spare}, start())
		must(t, err)
		first := a.Trust().Roots[0]
		before, err := a.Enroll(request(t, pki.Device), start())
		must(t, err)
		keys := a.State().Head().KeyID
		if spare > 0 {
			delete(dir.files, "key-0.pem") // the first root's key is lost: the spare one needs no signature of it now
		}
		now := start().Add(time.Hour)
		a, err = authority.Open(dir)
		must(t, err)
		must(t, a.RotateRoot(now))
		must(t, a.RotateRoot(now.Add(time.Minute)))
		a, err = authority.Open(dir)
		must(t, err)
		if bytes.Equal(a.Trust().Roots[0], first) || len(a.Trust().Rotations) != 2 || a.State().Head().KeyID != keys {
			t.Fatalf("%d spare: %d rotations", spare, len(a.Trust().Rotations))
		}
		after, err := a.Enroll(request(t, pki.Device), now)
		must(t, err)
		both := follow(t, first, a)
		v := &pki.Verifier{Trust: both, Status: a.State()}
		for name, c := range map[string]*authority.Certified{"before": before, "after": after} {
			if _, err := v.Verify(c.Chain, now); err != nil {
				t.Errorf("%d spare: certified %s: %v", spare, name, err)
			}
		}
		// The new root alone knows the class CA's new chain only.
		alone := verifier(t, a)
		if _, err := alone.Verify(after.Chain, now); err != nil {
			t.Error(err)
		}
		if _, err := alone.Verify(before.Chain, now); pki.RuleOf(err) != pki.RuleTrust {
			t.Errorf("under the old root: %v", err)
		}
		if _, err := revocation.ParseSnapshot(a.State().Snapshot(), a.State().Head().Bytes(), alone, a.Trust().StateSigner, now.Add(time.Minute)); err != nil {
			t.Errorf("the state under the new root: %v", err)
		}
		if _, err := a.StateAt(1); err != nil {
			t.Errorf("an epoch of the old root: %v", err)
		}
		must(t, a.EndRoot())
		must(t, a.Publish(now.Add(2*time.Minute)))
		v.Status = a.State()
		if _, err := v.Verify(before.Chain, now); pki.RuleOf(err) != pki.RuleRevoked {
			t.Errorf("the old root has ended: %v", err)
		}
		if _, err := v.Verify(after.Chain, now); err != nil {
			t.Error(err)
		}
	}
}

func TestPKI_1_EndRootNeedsARotation(t *testing.T) {
	a := ceremony(t, newMemory())
	if err := a.EndRoot(); !errors.Is(err, authority.ErrNoClass) {
		t.Errorf("got %v", err)
	}
	if _, err := authority.ParseConfig([]byte(`{"spare_roots": 3}`)); !errors.Is(err, authority.ErrConfig) {
		t.Errorf("three spare roots: %v", err)
	}
}

// TestPKI_1_PowerFailsDuringARotation: whatever write the power fails at, the
// authority opens with one root that signs, and can be rotated.
func TestPKI_1_PowerFailsDuringARotation(t *testing.T) {
	base := newMemory()
	a := ceremony(t, base)
	c, err := a.Enroll(request(t, pki.Device), start())
	must(t, err)
	first := a.Trust().Roots[0]
	failed := 0
	for n := range 6 {
		m := &memory{files: maps.Clone(base.files), left: n}
		a, err := authority.Open(m)
		must(t, err)
		if err := a.RotateRoot(start().Add(time.Hour)); err != nil {
			if !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			failed++
		}
		m.left = -1
		a, err = authority.Open(m)
		must(t, err)
		must(t, a.RotateRoot(start().Add(2*time.Hour)))
		v := &pki.Verifier{Trust: follow(t, first, a), Status: a.State()}
		if _, err := v.Verify(c.Chain, start()); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
	}
	if failed < 3 {
		t.Errorf("%d failures", failed)
	}
}

func TestPKI_1_OtherVersionIsRefused(t *testing.T) {
	dir := newMemory()
	ceremony(t, dir)
	dir.files["authority.cbor"] = slices.Concat([]byte{0xa1, 1, 1})
	if _, err := authority.Open(dir); !errors.Is(err, authority.ErrVersion) {
		t.Errorf("version 1: %v", err)
	}
}
