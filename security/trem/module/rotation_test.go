package module_test

import (
	"bytes"
	"context"
	"crypto"
	"testing"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

// TestTREM_ModuleFollowsItsRoot: the root that a module trusts says which one takes its place. The module trusts
// both, also after a restart, takes certificates under the new one, and still no root that its own has not signed.
func TestTREM_ModuleFollowsItsRoot(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	key := h.pki.Key()
	next, err := pki.IssueRoot(key, pki.Profile{Name: "Next Root", Member: pki.Member{Index: 77}, CA: &pki.CA{PathLen: 2, Range: pki.Range{Last: pki.MaxClass}}}, h.pki.Now)
	h.must(err)
	statement, err := pki.SignRotation(h.pki.CAs[pkitest.RootClass].Signer, h.pki.Root, next, 1, h.pki.Now)
	h.must(err)
	stranger := pkitest.New(t, pkitest.Start())
	foreign, err := pki.SignRotation(stranger.CAs[pkitest.RootClass].Signer, stranger.Root, next, 1, h.pki.Now)
	h.must(err)

	oldSigner := h.pki.CAs[pkitest.RootClass].Signer

	// The home server's CA gets a certificate of the new root, and the home server one under it.
	old := h.pki.Root
	h.pki.Root, h.pki.CAs[pkitest.RootClass] = next, &pki.Authority{Root: next, Signer: key}
	h.pki.CA(pkitest.RootClass, "Next Home Server CA", pki.HomeServer, 0, pkitest.HomeServers, pkitest.HomeServers)
	renewed := h.certify(h.home, pki.HomeServer, pkitest.HomeServers)
	if err := h.home.Enroll(ctx, renewed); err == nil {
		t.Error("a module takes a certificate under a root that it does not know")
	}
	if err := h.home.Learn(ctx, trem.Learned{Rotations: [][]byte{foreign}}); err != nil {
		t.Errorf("a statement of another domain's root is passed over: %v", err)
	}
	broken := bytes.Clone(statement)
	broken[len(broken)-1] ^= 1
	if err := h.home.Learn(ctx, trem.Learned{Rotations: [][]byte{broken}}); err == nil {
		t.Error("a broken statement is taken")
	}
	roots := func(b *box) [][]byte {
		t.Helper()
		s, err := b.Status(ctx)
		h.must(err)
		return s.Roots
	}
	if got := roots(h.home); len(got) != 1 || !bytes.Equal(got[0], old) {
		t.Fatalf("%d roots before the rotation", len(got))
	}
	for range 2 { // twice is once
		h.must(h.home.Learn(ctx, trem.Learned{Rotations: [][]byte{statement}}))
	}
	h.home.restart()
	if got := roots(h.home); len(got) != 2 || !bytes.Equal(got[1], next) {
		t.Fatalf("%d roots after the rotation", len(got))
	}
	h.must(h.home.Enroll(ctx, renewed))
	h.home.restart()
	s, err := h.home.Status(ctx)
	h.must(err)
	if !bytes.Equal(s.Leaf, renewed.Chain[0]) || len(s.Roots) != 2 || s.Device != h.home.id {
		t.Error("the renewed certificate is not the module's")
	}
	// The tablet, which knows only the old root, follows too and pairs with the house then.
	if err := h.pair(h.tablet); err == nil {
		t.Error("a device deals with a house under a root that it does not know")
	}
	h.must(h.tablet.Learn(ctx, trem.Learned{Rotations: [][]byte{statement}}))
	h.must(h.pair(h.tablet))
	// The state, now under the new root, ends the old one: it leads no clock back any more.
	h.state = h.pki.Party(pki.StateSigner)
	h.must(h.builder.RevokeDevice(pkitest.RootClass, 0))
	h.must(h.learnState(h.home, h.publish()))
	reset := func(key crypto.Signer, root []byte) error {
		t.Helper()
		data, err := revocation.SignTimeReset(key, root, revocation.TimeReset{MaxLo: h.now.UnixMilli(), Serial: 1})
		h.must(err)
		return h.home.Learn(ctx, trem.Learned{TimeReset: data})
	}
	if err := reset(oldSigner, old); err == nil {
		t.Error("a root that has ended leads a clock back")
	}
	h.must(reset(key, next))
}
