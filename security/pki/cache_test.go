package pki_test

import (
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// moving is a revocation state that a test moves.
type moving struct {
	epoch   pki.Epoch
	revoked pki.Member
}

func (m *moving) Check(class pki.Class, index, _ uint32) error {
	if m.revoked != (pki.Member{}) && m.revoked == (pki.Member{Class: class, Index: index}) {
		return pki.ErrRevoked
	}
	return nil
}

func (m *moving) Epoch() pki.Epoch { return m.epoch }

// TestPKI_2_CacheForgetsNothingThatMatters: what a chain may lose after its
// signatures held, it loses with a Cache too.
func TestPKI_2_CacheForgetsNothingThatMatters(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	p, dev := d.Party(pki.LicenseIssuer), d.Party(pki.Device)
	st := &moving{}
	v := &pki.Verifier{Trust: d.Trust, Status: st, Cache: pki.NewCache(0)}
	first, err := v.Verify(p.Chain, d.Now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.Verify(p.Chain, d.Now)
	if err != nil || again.ID() != first.ID() || !slices.EqualFunc(again.Chain(), first.Chain(), slices.Equal) || again.Expires() != first.Expires() {
		t.Fatalf("the second time: %v", err)
	}
	rule := func(name string, want pki.Rule, chain [][]byte, now time.Time, roles ...pki.Role) {
		t.Helper()
		if peer, err := v.Verify(chain, now, roles...); pki.RuleOf(err) != want || (want == "") != (peer != nil) {
			t.Errorf("%s: %v, want rule %q", name, err, want)
		}
	}
	rule("after its end", pki.RuleValidity, p.Chain, d.Now.Add(91*24*time.Hour))
	rule("before its start", pki.RuleValidity, p.Chain, d.Now.Add(-2*time.Hour))
	rule("no time", pki.RuleTime, p.Chain, time.Time{})
	rule("another role", pki.RuleRole, p.Chain, d.Now, pki.Device)
	rule("another order", pki.RuleTrust, [][]byte{p.Chain[0], p.Chain[0]}, d.Now)
	st.revoked = p.Member
	rule("revoked in the same epoch", pki.RuleRevoked, p.Chain, d.Now)
	st.epoch.Number++
	rule("revoked", pki.RuleRevoked, p.Chain, d.Now)
	st.revoked = pki.Member{}
	rule("good again", "", p.Chain, d.Now)
	for range 2 { // by all of the work, then by the Cache
		if at, err := v.Verify(p.Chain, d.Now); err != nil || at.Epoch() != st.epoch || first.Epoch() == st.epoch {
			t.Errorf("judged at epoch %v, want %v; %v", at.Epoch(), st.epoch, err)
		}
	}
	// A chain is held for the kind of key that it was verified for.
	peer, err := v.Verify(dev.Chain, d.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.VerifyDelivery(peer, dev.DelLeaf, d.Now); err != nil {
		t.Fatal(err)
	}
	rule("delivery key as identity", pki.RuleKind, append([][]byte{dev.DelLeaf}, dev.Chain[1:]...), d.Now)
	// Another trust store knows nothing of what held under this one.
	v.Trust = pkitest.New(t, d.Now).Trust
	if _, err := v.Verify(dev.Chain, d.Now); err == nil {
		t.Error("a chain of another trust domain was accepted")
	}
}

// TestPKI_2_CacheSavesTheSignatures: the point of it, and its bound.
func TestPKI_2_CacheSavesTheSignatures(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	st := &moving{}
	v := &pki.Verifier{Trust: d.Trust, Status: st, Cache: pki.NewCache(2)}
	parties := []*pkitest.Party{d.Party(pki.Device), d.Party(pki.Device), d.Party(pki.Device)}
	verify := func(p *pkitest.Party) {
		t.Helper()
		if _, err := v.Verify(p.Chain, d.Now); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range parties {
		verify(p)
		verify(p)
	}
	if got := v.Cache.Len(); got != 2 {
		t.Errorf("%d chains held, want 2", got)
	}
	cold := testing.AllocsPerRun(20, func() { st.epoch.Number++; verify(parties[0]) })
	warm := testing.AllocsPerRun(20, func() { verify(parties[0]) })
	if warm > cold/4 {
		t.Errorf("%v allocations with the chain held, %v without", warm, cold)
	}
}

func BenchmarkVerify(b *testing.B) {
	d := pkitest.New(b, pkitest.Start())
	p := d.Party(pki.Device)
	for name, cache := range map[string]*pki.Cache{"uncached": nil, "cached": pki.NewCache(0)} {
		b.Run(name, func(b *testing.B) {
			v := &pki.Verifier{Trust: d.Trust, Cache: cache}
			for b.Loop() {
				if _, err := v.Verify(p.Chain, d.Now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestPKI_2_PeerKeepsItsOwnChain: what a caller does afterwards to the bytes
// that it showed changes neither the Peer nor what the Cache holds.
func TestPKI_2_PeerKeepsItsOwnChain(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	p := d.Party(pki.LicenseIssuer)
	v := &pki.Verifier{Trust: d.Trust, Cache: pki.NewCache(0)}
	var shown [][]byte
	for _, der := range p.Chain {
		shown = append(shown, slices.Clone(der))
	}
	peer, err := v.Verify(shown, d.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, der := range shown {
		clear(der)
	}
	again, err := v.Verify(p.Chain, d.Now)
	if err != nil || again != peer {
		t.Errorf("another peer, %v", err)
	}
	chain := peer.Chain()
	if !slices.EqualFunc(chain, p.Chain, slices.Equal) {
		t.Error("the peer's chain changed with what was shown")
	}
	chain[0] = nil
	if peer.Chain()[0] == nil || peer.Members()[0] != p.Member {
		t.Error("the peer changed with what it gave")
	}
}
