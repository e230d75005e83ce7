package home_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/service/home"
)

// TestGossip_Spec11_HouseShowsWhatItClaims: of a kept state the head with its
// chain, the step and the whole; of none, nothing is claimed.
func TestGossip_Spec11_HouseShowsWhatItClaims(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	signer := d.Party(pki.StateSigner)
	b := revocation.NewBuilder(nil)
	sign := func(n uint64) *revocation.State {
		at := pkitest.Start().Add(time.Duration(n) * time.Hour)
		s, err := b.Sign(signer.Key, revocation.Issue{Epoch: pki.Epoch{Number: n}, IssuedAt: at, NextUpdate: at.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []pki.Class{pkitest.RootClass, pkitest.Devices} {
		if err := b.Allot(c, 1); err != nil {
			t.Fatal(err)
		}
	}
	old := sign(4)
	if err := b.RevokeDevice(pkitest.Devices, 7); err != nil {
		t.Fatal(err)
	}
	now := sign(5)
	delta, err := now.Delta(old)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := wire.Marshal(ca.Trust{Roots: [][]byte{d.Root}, StateSigner: signer.Chain, TimeSigner: signer.Chain, Rotations: [][]byte{}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := map[string][]byte{
			home.PathHead: now.Head().Bytes(), home.PathSnapshot: now.Snapshot(), home.PathTrust: trust, home.PathDelta + "/4/5": delta,
		}[r.URL.Path]; ok {
			_, _ = w.Write(body)
			return
		}
		http.NotFound(w, r)
	}))
	defer srv.Close()
	r, err := home.NewRelay(t.TempDir(), srv.URL, nil, newClock().Now)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Epoch(); got != 0 {
		t.Errorf("claims epoch %d before it has one", got)
	}
	ask := func(want lrp.GossipKind, known uint64) []byte {
		t.Helper()
		pieces, err := r.Gossip(t.Context(), lrp.Gossip{Kind: lrp.GossipAsk, Want: want, Epoch: known, Bytes: []byte{}})
		if err != nil {
			t.Fatal(err)
		}
		if len(pieces) == 0 {
			return nil
		}
		if pieces[0].Epoch != 5 {
			t.Errorf("of epoch %d, want 5", pieces[0].Epoch)
		}
		whole, err := (&lrp.Gathering{Want: want}).Take(pieces[0])
		if err != nil {
			t.Fatal(err)
		}
		return whole
	}
	c, err := revocation.ParseClaim(ask(lrp.GossipHead, 0))
	if err != nil {
		t.Fatal(err)
	}
	if h, err := c.Verify(d.Trust); err != nil || h.Epoch.Number != 5 || r.Epoch() != 5 {
		t.Errorf("shows %+v, %v; claims epoch %d", h, err, r.Epoch())
	}
	for name, tc := range map[string]struct{ got, want []byte }{
		"the step":                  {ask(lrp.GossipDelta, 4), delta},
		"no step":                   {ask(lrp.GossipDelta, 3), nil},
		"a step from nowhere":       {ask(lrp.GossipDelta, 0), nil},
		"a step to what it has":     {ask(lrp.GossipDelta, 5), nil},
		"the whole":                 {ask(lrp.GossipSnapshot, 4), now.Snapshot()},
		"a page, which nobody asks": {ask(lrp.GossipPage, 4), nil},
	} {
		if !bytes.Equal(tc.got, tc.want) {
			t.Errorf("%s: %d bytes, want %d", name, len(tc.got), len(tc.want))
		}
	}
	if got, err := r.Gossip(t.Context(), lrp.Gossip{Kind: lrp.GossipHead, Want: lrp.GossipHead, Epoch: 99, Total: 1, Bytes: []byte{1}}); err != nil || got != nil {
		t.Errorf("somebody tells it a head: %v, %v", got, err)
	}
	srv.Close()
	none, err := home.NewRelay(t.TempDir(), srv.URL, nil, newClock().Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Gossip(t.Context(), lrp.Gossip{Kind: lrp.GossipAsk, Want: lrp.GossipHead, Bytes: []byte{}}); !errors.Is(err, home.ErrAway) {
		t.Errorf("nothing is kept and nobody answers: %v, want ErrAway", err)
	}
}
