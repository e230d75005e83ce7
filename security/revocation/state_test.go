package revocation

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// house is a trust domain with a state signer, and a first state in which the
// domain's own classes stand.
type house struct {
	*pkitest.Domain
	signer *pkitest.Party
	v      *pki.Verifier
}

func newHouse(t testing.TB) *house {
	d := pkitest.New(t, pkitest.Start())
	return &house{Domain: d, signer: d.Party(pki.StateSigner), v: &pki.Verifier{Trust: d.Trust}}
}

func (h *house) builder(t testing.TB) *Builder {
	b := NewBuilder(nil)
	for _, c := range []pki.Class{pkitest.RootClass, pkitest.Manufacturer, pkitest.Devices} {
		must(t, b.Allot(c, 1))
	}
	return b
}

func (h *house) sign(t testing.TB, b *Builder, number uint64) *State {
	t.Helper()
	s, err := b.Sign(h.signer.Key, Issue{Epoch: pki.Epoch{Number: number}, IssuedAt: h.Now, NextUpdate: h.Now.Add(24 * time.Hour)})
	must(t, err)
	return s
}

func (h *house) parse(s *State) (*State, error) {
	return ParseSnapshot(s.Snapshot(), s.Head().Bytes(), h.v, h.signer.Chain, h.Now)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPKI_2_StateAnswersForEachMember(t *testing.T) {
	h := newHouse(t)
	b := h.builder(t)
	must(t, b.Allot(pkitest.Devices, PageSize+1))
	for c := pki.Class(0x1002); c <= 0x1005; c++ {
		must(t, b.Allot(c, 1))
	}
	must(t, b.RevokeDevice(pkitest.Devices, 5))
	must(t, b.RevokeDevice(pkitest.Devices, PageSize+7))
	must(t, b.RevokeDevice(0x1002, 3))
	must(t, b.RevokeClass(0x1002, KeyCompromise))
	must(t, b.Suspend(0x1003, CertificateHold))
	must(t, b.Retire(0x1004, Cessation))
	must(t, b.SetMinSVN(0x1005, 4))
	must(t, b.SetIssuer("shop", h.Now, true))
	signed := h.sign(t, b, 7)
	parsed, err := h.parse(signed)
	must(t, err)
	for _, s := range []*State{signed, parsed} {
		for _, tc := range []struct {
			class      pki.Class
			index, svn uint32
			want       error
		}{
			{pkitest.Devices, 4, 0, nil},
			{pkitest.Devices, 5, 0, pki.ErrRevoked},
			{pkitest.Devices, 5, 99, pki.ErrRevoked},
			{pkitest.Devices, PageSize + 6, 0, nil},
			{pkitest.Devices, PageSize + 7, 0, pki.ErrRevoked},
			{pkitest.Devices, 2*PageSize - 1, 0, nil},
			{pkitest.Devices, 2 * PageSize, 0, pki.ErrNotIssued},
			{0x1002, 0, 0, pki.ErrClassRevoked},
			{0x1003, 0, 0, pki.ErrSuspended},
			{0x1004, 0, 0, pki.ErrRetired},
			{0x1005, 0, 3, pki.ErrSVN},
			{0x1005, 0, 4, nil},
			{0x1006, 0, 0, pki.ErrUnknownClass},
		} {
			if err := s.Check(tc.class, tc.index, tc.svn); !errors.Is(err, tc.want) {
				t.Errorf("%v/%d SVN %d: %v, want %v", tc.class, tc.index, tc.svn, err, tc.want)
			}
		}
		if l, ok := s.Issuer("shop"); !ok || !l.Sunset || l.LastSeen != h.Now.UnixMilli() {
			t.Errorf("issuer %+v", l)
		}
		if _, ok := s.Issuer("other"); ok {
			t.Error("an issuer that was never set")
		}
	}
	if d := cmp.Diff(signed.Leaves(), parsed.Leaves()); d != "" {
		t.Error(d)
	}
	if l, _ := parsed.Leaf(pkitest.Devices); l.Revoked != 2 || l.Issued != 2*PageSize {
		t.Errorf("leaf %+v", l)
	}
}

// TestPKI_2_RevokedPartiesAreRefused is the whole way: certificate, state, Verify.
func TestPKI_2_RevokedPartiesAreRefused(t *testing.T) {
	h := newHouse(t)
	dev := h.Party(pki.Device, func(p *pki.Profile) { p.SVN = 3 })
	manufacturerCA := h.Peer(dev).Members()[2]
	for _, tc := range []struct {
		name string
		do   func(*Builder) error
		want pki.Rule
	}{
		{"nothing", func(*Builder) error { return nil }, ""},
		{"device", func(b *Builder) error { return b.RevokeDevice(dev.Member.Class, dev.Member.Index) }, pki.RuleRevoked},
		{"its neighbor", func(b *Builder) error { return b.RevokeDevice(dev.Member.Class, dev.Member.Index+1) }, ""},
		{"class", func(b *Builder) error { return b.RevokeClass(dev.Member.Class, KeyCompromise) }, pki.RuleClass},
		{"suspended", func(b *Builder) error { return b.Suspend(dev.Member.Class, CertificateHold) }, pki.RuleSuspended},
		{"suspended and resumed", func(b *Builder) error {
			return errors.Join(b.Suspend(dev.Member.Class, CertificateHold), b.Resume(dev.Member.Class))
		}, ""},
		{"retired", func(b *Builder) error { return b.Retire(dev.Member.Class, Cessation) }, pki.RuleRetired},
		{"SVN too low", func(b *Builder) error { return b.SetMinSVN(dev.Member.Class, 4) }, pki.RuleSVN},
		{"SVN high enough", func(b *Builder) error { return b.SetMinSVN(dev.Member.Class, 3) }, ""},
		{"manufacturer CA", func(b *Builder) error { return b.RevokeDevice(manufacturerCA.Class, manufacturerCA.Index) }, pki.RuleRevoked},
		{"all CAs of the manufacturer", func(b *Builder) error { return b.RevokeClass(pkitest.Manufacturer, CACompromise) }, pki.RuleClass},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := h.builder(t)
			must(t, tc.do(b))
			state, err := h.parse(h.sign(t, b, 1))
			must(t, err)
			_, err = (&pki.Verifier{Trust: h.Trust, Status: state}).Verify(dev.Chain, h.Now, pki.Device)
			if got := pki.RuleOf(err); got != tc.want || (tc.want == "") != (err == nil) {
				t.Errorf("got %v, want rule %q", err, tc.want)
			}
		})
	}
	// An index that the class never allotted.
	far := h.Party(pki.Device, func(p *pki.Profile) { p.Member.Index = PageSize })
	state := h.sign(t, h.builder(t), 1)
	if _, err := (&pki.Verifier{Trust: h.Trust, Status: state}).Verify(far.Chain, h.Now); pki.RuleOf(err) != pki.RuleIndex {
		t.Errorf("index at issuedCount: %v", err)
	}
}

func TestPKI_2_BuilderKeepsTheRules(t *testing.T) {
	h := newHouse(t)
	b := h.builder(t)
	for name, tc := range map[string]struct{ got, want error }{
		"unknown class":           {b.RevokeDevice(99, 0), ErrNoClass},
		"index beyond the block":  {b.RevokeDevice(pkitest.Devices, PageSize), ErrIndex},
		"allot beyond the end":    {b.Allot(pkitest.Devices, MaxIssued+1), ErrFull},
		"reason without a number": {b.RevokeClass(pkitest.Devices, 11), ErrMalformed},
	} {
		if !errors.Is(tc.got, tc.want) {
			t.Errorf("%s: %v, want %v", name, tc.got, tc.want)
		}
	}
	must(t, b.RevokeClass(pkitest.Devices, KeyCompromise))
	if err := b.Resume(pkitest.Devices); !errors.Is(err, ErrFinal) {
		t.Errorf("resume a revoked class: %v", err)
	}
	must(t, b.Retire(pkitest.Manufacturer, Cessation))
	if err := b.Resume(pkitest.Manufacturer); !errors.Is(err, ErrFinal) {
		t.Errorf("resume a retired class: %v", err)
	}
	must(t, b.SetMinSVN(pkitest.Manufacturer, 5))
	must(t, b.SetMinSVN(pkitest.Manufacturer, 2))
	must(t, b.Allot(pkitest.Manufacturer, 3))
	s := h.sign(t, b, 1)
	if l, _ := s.Leaf(pkitest.Manufacturer); l.MinSVN != 5 || l.Issued != PageSize {
		t.Errorf("leaf %+v", l)
	}
}

// drawEdits changes a builder at random, and the model beside it.
func drawEdits(t *rapid.T, b *Builder, model map[pki.Member]bool) {
	n := rapid.IntRange(0, 40).Draw(t, "edits")
	seed := rapid.Uint64().Draw(t, "seed")
	rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // reproducible
	for range n {
		class := pki.Class(0x1001 + rnd.IntN(4))
		upto := uint32(1 + rnd.IntN(3*PageSize))
		must2(t, b.Allot(class, upto))
		at := rnd.Uint32N(upto)
		long := uint32(1)
		if rnd.IntN(4) == 0 {
			long = min(upto-at, rnd.Uint32N(300))
		}
		l := b.next.row(class)
		for i := at; i < at+long; i++ {
			must2(t, b.RevokeDevice(class, i))
			if l.Status != Revoked {
				model[pki.Member{Class: class, Index: i}] = true
			}
		}
		switch rnd.IntN(30) {
		case 0:
			must2(t, b.RevokeClass(class, KeyCompromise))
			maps.DeleteFunc(model, func(m pki.Member, _ bool) bool { return m.Class == class })
		case 1:
			must2(t, b.SetMinSVN(class, rnd.Uint32N(9)))
		case 2:
			must2(t, b.SetIssuer(ident.Issuer("shop"+class.String()), time.UnixMilli(rnd.Int64N(1<<40)), rnd.IntN(2) == 0))
		case 4:
			must2(t, b.SetCRL(class, hash{byte(rnd.IntN(2)), 7}))
		case 3:
			if l.Status != Revoked {
				must2(t, b.Suspend(class, CertificateHold))
			}
		}
	}
}

func must2(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// TestPKI_2_DeltaGivesTheSameState: whatever changes, applying the delta gives
// the state that the builder signed, byte for byte.
func TestPKI_2_DeltaGivesTheSameState(t *testing.T) {
	h := newHouse(t)
	rapid.Check(t, func(rt *rapid.T) {
		b, model := h.builder(t), map[pki.Member]bool{}
		drawEdits(rt, b, model)
		from, err := h.parse(h.sign(t, b, 1))
		must2(rt, err)
		b = NewBuilder(from)
		drawEdits(rt, b, model)
		to := h.sign(t, b, 2)
		delta, err := to.Delta(from)
		must2(rt, err)
		before := from.Snapshot()
		got, err := from.Apply(delta, to.Head().Bytes(), h.v, h.signer.Chain, h.Now)
		must2(rt, err)
		if !slices.Equal(got.Snapshot(), to.Snapshot()) {
			rt.Fatal("another state")
		}
		if !slices.Equal(from.Snapshot(), before) {
			rt.Fatal("Apply changed the older state")
		}
		again, err := h.parse(to)
		must2(rt, err)
		checkModel(rt, again, model)
		if _, err := got.Apply(delta, to.Head().Bytes(), h.v, h.signer.Chain, h.Now); !errors.Is(err, ErrOlder) {
			rt.Fatalf("the same epoch again: %v", err)
		}
	})
}

func checkModel(t *rapid.T, s *State, model map[pki.Member]bool) {
	got := map[pki.Member]bool{}
	for i := range s.rows {
		r := &s.rows[i]
		for _, p := range r.pages {
			for _, x := range p.page.runs {
				for j := int(x.first); j <= int(x.last); j++ {
					got[pki.Member{Class: r.Class, Index: uint32(p.no*PageSize + j)}] = true
				}
			}
		}
	}
	if !maps.Equal(got, model) {
		t.Fatalf("%d revoked, want %d", len(got), len(model))
	}
}

func TestPKI_2_DeltaOnAnotherStateDoesNotGiveTheRoot(t *testing.T) {
	h := newHouse(t)
	b := h.builder(t)
	first := h.sign(t, b, 1)
	must(t, b.RevokeDevice(pkitest.Devices, 1))
	second := h.sign(t, b, 2)
	must(t, b.RevokeDevice(pkitest.Devices, 2))
	third := h.sign(t, b, 3)
	delta, err := third.Delta(second)
	must(t, err)
	if _, err := first.Apply(delta, third.Head().Bytes(), h.v, h.signer.Chain, h.Now); !errors.Is(err, ErrRoot) {
		t.Errorf("got %v, want ErrRoot", err)
	}
	if _, err := first.Delta(third); err != nil { // backwards is a delta too; its head is what Apply refuses
		t.Error(err)
	}
	other := NewBuilder(nil)
	must(t, other.Allot(0, 1))
	if _, err := h.sign(t, other, 4).Delta(third); !errors.Is(err, ErrNoDelta) {
		t.Errorf("classes gone: %v, want ErrNoDelta", err)
	}
}

func TestPKI_2_HeadIsCheckedInEveryPart(t *testing.T) {
	h := newHouse(t)
	state := h.sign(t, h.builder(t), 7)
	head := state.Head().Bytes()
	if len(head) != HeadLen {
		t.Fatalf("%d bytes", len(head))
	}
	if _, err := VerifyHead(head, h.v, h.signer.Chain, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for i := range head { // no byte may change
		bad := slices.Clone(head)
		bad[i] ^= 1
		if _, err := VerifyHead(bad, h.v, h.signer.Chain, h.Now); err == nil {
			t.Errorf("byte %d changed and accepted", i)
		}
	}
	if _, err := VerifyHead(flipS(slices.Clone(head)), h.v, h.signer.Chain, h.Now); !errors.Is(err, ErrSigner) {
		t.Errorf("high s: %v", err)
	}
	for name, p := range map[string]*pkitest.Party{"time signer": h.Party(pki.TimeSigner), "another state signer": h.Party(pki.StateSigner), "home server": h.Party(pki.HomeServer)} {
		if _, err := VerifyHead(head, h.v, p.Chain, h.Now); !errors.Is(err, ErrSigner) {
			t.Errorf("chain of a %s: %v", name, err)
		}
	}
	if _, err := VerifyHead(head, h.v, h.signer.Chain, h.Now.Add(-MaxAhead-time.Second)); !errors.Is(err, ErrEpoch) {
		t.Errorf("from the future: %v", err)
	}
	if _, err := h.parse(state); err != nil {
		t.Fatal(err)
	}
	snapshot := state.Snapshot()
	for i := range 8 * len(snapshot) { // no bit may change
		bad := slices.Clone(snapshot)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := ParseSnapshot(bad, head, h.v, h.signer.Chain, h.Now); err == nil {
			t.Errorf("bit %d of the snapshot changed and accepted", i)
		}
	}
}

func TestPKI_2_EpochRules(t *testing.T) {
	h := newHouse(t)
	hours := uint64(h.Now.Sub(T0()) / time.Hour)
	for _, tc := range []struct {
		name   string
		number uint64
		at     time.Time
		next   time.Time
		ok     bool
	}{
		{"first", 1, h.Now, h.Now.Add(time.Hour), true},
		{"all hours used", hours, h.Now, h.Now.Add(time.Hour), true},
		{"more than the hours since T0", hours + 1, h.Now, h.Now.Add(time.Hour), false},
		{"zero", 0, h.Now, h.Now.Add(time.Hour), false},
		{"before T0", 1, T0().Add(-time.Hour), h.Now, false},
		{"next update before the issue", 1, h.Now, h.Now, false},
	} {
		_, err := h.builder(t).Sign(h.signer.Key, Issue{Epoch: pki.Epoch{Number: tc.number}, IssuedAt: tc.at, NextUpdate: tc.next})
		if tc.ok != (err == nil) || err != nil && !errors.Is(err, ErrEpoch) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	// The signer's certificate must hold at the time of issue.
	late, err := h.builder(t).Sign(h.signer.Key, Issue{Epoch: pki.Epoch{Number: 1}, IssuedAt: h.Now.AddDate(2, 0, 0), NextUpdate: h.Now.AddDate(2, 0, 1)})
	must(t, err)
	if _, err := VerifyHead(late.Head().Bytes(), h.v, h.signer.Chain, time.Time{}); pki.RuleOf(err) != pki.RuleValidity {
		t.Errorf("signed after its certificate ended: %v", err)
	}
	// Later than that, a head from within its validity still counts.
	old := h.sign(t, h.builder(t), 1)
	if _, err := VerifyHead(old.Head().Bytes(), h.v, h.signer.Chain, h.Now.AddDate(2, 0, 0)); err != nil {
		t.Errorf("head of a signer that has expired since: %v", err)
	}
}

func TestPKI_2_SignerRevokedByItsOwnState(t *testing.T) {
	h := newHouse(t)
	b := h.builder(t)
	must(t, b.RevokeDevice(h.signer.Member.Class, h.signer.Member.Index))
	if _, err := h.parse(h.sign(t, b, 1)); !errors.Is(err, ErrSigner) || !errors.Is(err, pki.ErrRevoked) {
		t.Errorf("got %v", err)
	}
}
