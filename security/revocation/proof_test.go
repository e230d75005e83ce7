package revocation

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

func TestPKI_2_StapledProofCoversTheDeviceAndItsCAs(t *testing.T) {
	h := newHouse(t)
	dev := h.Party(pki.Device)
	b := h.builder(t)
	for c := pki.Class(0x1002); c < 0x1400; c++ {
		must(t, b.Allot(c, 3*PageSize))
		must(t, b.RevokeDevice(c, uint32(c)*7%(3*PageSize)))
	}
	must(t, b.RevokeDevice(pkitest.Devices, 3))
	state, err := h.parse(h.sign(t, b, 1))
	must(t, err)
	members := h.Peer(dev).Members()
	data, err := state.Proof(members...)
	must(t, err)
	if len(data) > 2048 {
		t.Errorf("proof of %d bytes", len(data))
	}
	// A verifier that has only the head.
	trusted, err := VerifyHead(state.Head().Bytes(), h.v, h.signer.Chain, h.Now)
	must(t, err)
	proof, err := OpenProof(data, trusted)
	must(t, err)
	if _, err := (&pki.Verifier{Trust: h.Trust, Status: proof}).Verify(dev.Chain, h.Now, pki.Device); err != nil {
		t.Errorf("by its proof: %v", err)
	}
	if err := proof.Check(pkitest.Devices, 3, 0); !errors.Is(err, pki.ErrRevoked) {
		t.Errorf("its revoked neighbor: %v", err)
	}
	for name, m := range map[string]pki.Member{"another class": {Class: 0x1002}, "another page": {Class: pkitest.HomeServers}} {
		if err := proof.Check(m.Class, m.Index, 0); !errors.Is(err, pki.ErrUnknownClass) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range data { // no byte may change
		bad := slices.Clone(data)
		bad[i] ^= 1
		if _, err := OpenProof(bad, trusted); err == nil && i < 1+headSigned {
			t.Errorf("byte %d changed and accepted", i)
		} else if err == nil && i >= 1+HeadLen {
			t.Errorf("byte %d changed and accepted", i)
		}
	}
	for n := range len(data) {
		if _, err := OpenProof(data[:n], trusted); err == nil {
			t.Fatalf("cut off at %d and accepted", n)
		}
	}
	if _, err := OpenProof(data, nil); !errors.Is(err, ErrSigner) {
		t.Errorf("without a trusted head: %v", err)
	}
	if _, err := OpenProof(data, &Trusted{}); !errors.Is(err, ErrSigner) {
		t.Errorf("with the zero head: %v", err)
	}
}

// TestPKI_2_OldProofIsRefused: a device cannot show a proof from before its revocation.
func TestPKI_2_OldProofIsRefused(t *testing.T) {
	h := newHouse(t)
	dev := h.Party(pki.Device)
	b := h.builder(t)
	old := h.sign(t, b, 1)
	data, err := old.Proof(h.Peer(dev).Members()...)
	must(t, err)
	must(t, b.RevokeDevice(dev.Member.Class, dev.Member.Index))
	now := h.sign(t, b, 2)
	if _, err := OpenProof(data, now.Trusted()); !errors.Is(err, ErrEpoch) {
		t.Errorf("old proof: %v", err)
	}
	data, err = now.Proof(h.Peer(dev).Members()...)
	must(t, err)
	proof, err := OpenProof(data, now.Trusted())
	must(t, err)
	if _, err := (&pki.Verifier{Trust: h.Trust, Status: proof}).Verify(dev.Chain, h.Now); pki.RuleOf(err) != pki.RuleRevoked {
		t.Errorf("revoked: %v", err)
	}
}

// TestPKI_2_ProofSaysWhatTheStateSays for members drawn at random.
func TestPKI_2_ProofSaysWhatTheStateSays(t *testing.T) {
	h := newHouse(t)
	rapid.Check(t, func(rt *rapid.T) {
		b := h.builder(t)
		drawEdits(rt, b, map[pki.Member]bool{})
		state, err := h.parse(h.sign(t, b, 1))
		must2(rt, err)
		leaves := state.Leaves()
		var members []pki.Member
		pages := map[pki.Class]int{}
		for range rapid.IntRange(1, 6).Draw(rt, "members") {
			l := leaves[rapid.IntRange(0, len(leaves)-1).Draw(rt, "class")]
			if pages[l.Class]++; pages[l.Class] <= maxProofPages {
				members = append(members, pki.Member{Class: l.Class, Index: rapid.Uint32Range(0, l.Issued-1).Draw(rt, "index")})
			}
		}
		data, err := state.Proof(members...)
		must2(rt, err)
		proof, err := OpenProof(data, state.Trusted())
		must2(rt, err)
		for _, m := range members {
			for _, svn := range []uint32{0, 9} {
				got, want := proof.Check(m.Class, m.Index, svn), state.Check(m.Class, m.Index, svn)
				if !errors.Is(got, statusOf(want)) {
					rt.Fatalf("%v: %v, want %v", m, got, want)
				}
			}
		}
	})
}

func flat(hs []hash) (out []byte) {
	for _, h := range hs {
		out = append(out, h[:]...)
	}
	return out
}

func statusOf(err error) error {
	for _, e := range []error{pki.ErrRevoked, pki.ErrClassRevoked, pki.ErrSuspended, pki.ErrRetired, pki.ErrSVN, pki.ErrNotIssued, pki.ErrUnknownClass} {
		if errors.Is(err, e) {
			return e
		}
	}
	return err
}

// TestPKI_2_TreeIsThatOfRFC6962 compares the sparse tree of pages and the
// proofs with the tree over every leaf.
func TestPKI_2_TreeIsThatOfRFC6962(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(rt, "pages")
		var pages []numbered
		full := make([]hash, n)
		for i := range n {
			full[i] = leafHash((*Page)(nil).Encode())
			if rapid.IntRange(0, 9).Draw(rt, "filled") == 0 {
				p := NewPage(uint16(i), 99)
				full[i] = leafHash(p.Encode())
				pages = append(pages, numbered{no: i, page: p, leaf: full[i]})
			}
		}
		want := treeOf(full)(span{0, n})
		if got := pagesTree(pages)(span{0, n}); got != want {
			rt.Fatal("the sparse tree has another root")
		}
		at := rapid.IntRange(0, n-1).Draw(rt, "at")
		path := prove(span{0, n}, []int{at}, treeOf(full), nil)
		if got, ok := (&rebuilder{given: flat(path)}).root(n, []int{at}, full[at:at+1]); !ok || got != want {
			rt.Fatal("the proof gives another root")
		}
		if _, ok := (&rebuilder{given: flat(append(path, hash{}))}).root(n, []int{at}, full[at:at+1]); ok {
			rt.Fatal("a hash too many")
		}
	})
	// The known answers of RFC 6962: an empty tree, and one of the empty string.
	for _, tc := range []struct {
		leaves []hash
		want   string
	}{
		{nil, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{[]hash{leafHash(nil)}, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
	} {
		if got := treeOf(tc.leaves)(span{0, len(tc.leaves)}); hexOf(got[:]) != tc.want {
			t.Errorf("%d leaves: %x, want %s", len(tc.leaves), got, tc.want)
		}
	}
}

func TestPKI_5_TimeTokenHoldsForItsNonceAndSigner(t *testing.T) {
	h := newHouse(t)
	signer := h.Party(pki.TimeSigner)
	nonce := [NonceLen]byte{1, 2, 3}
	token, err := SignTime(signer.Key, signer.Leaf(), h.Now, nonce)
	must(t, err)
	at, err := VerifyTime(token, signer.Chain, h.v, nonce)
	if err != nil || at != h.Now.UnixMilli() {
		t.Fatalf("%d %v", at, err)
	}
	for i := range token {
		bad := slices.Clone(token)
		bad[i] ^= 1
		if _, err := VerifyTime(bad, signer.Chain, h.v, nonce); !errors.Is(err, ErrTime) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	if _, err := VerifyTime(token, signer.Chain, h.v, [NonceLen]byte{}); !errors.Is(err, ErrTime) {
		t.Errorf("another nonce: %v", err)
	}
	if _, err := VerifyTime(token, h.Party(pki.TimeSigner).Chain, h.v, nonce); !errors.Is(err, ErrTime) {
		t.Errorf("another time signer's chain: %v", err)
	}
	byState, err := SignTime(h.signer.Key, h.signer.Leaf(), h.Now, nonce)
	must(t, err)
	if _, err := VerifyTime(byState, h.signer.Chain, h.v, nonce); pki.RuleOf(err) != pki.RuleRole {
		t.Errorf("signed by the state signer: %v", err)
	}
	for name, when := range map[string]time.Time{"before": h.Now.Add(-2 * time.Hour), "after": h.Now.AddDate(2, 0, 0)} {
		token, err := SignTime(signer.Key, signer.Leaf(), when, nonce)
		must(t, err)
		if _, err := VerifyTime(token, signer.Chain, h.v, nonce); pki.RuleOf(err) != pki.RuleValidity {
			t.Errorf("a time %s its signer's validity: %v", name, err)
		}
	}
	b := h.builder(t)
	must(t, b.RevokeDevice(signer.Member.Class, signer.Member.Index))
	v := &pki.Verifier{Trust: h.Trust, Status: h.sign(t, b, 1)}
	if _, err := VerifyTime(token, signer.Chain, v, nonce); pki.RuleOf(err) != pki.RuleRevoked {
		t.Errorf("revoked time signer: %v", err)
	}
}

// TestPKI_2_MetNodesAreCompared: what a proof of another device showed spares
// hashes, and a proof that says something else of it is refused.
func TestPKI_2_MetNodesAreCompared(t *testing.T) {
	h := newHouse(t)
	b := h.builder(t)
	for c := pki.Class(0x1002); c < 0x1200; c++ {
		must(t, b.Allot(c, 1))
	}
	state := h.sign(t, b, 1)
	var proofs [][]byte
	for c := pki.Class(0x1002); c < 0x1200; c += 5 {
		p, err := state.Proof(pki.Member{Class: c}, pki.Member{Class: 0x1000}, pki.Member{})
		must(t, err)
		proofs = append(proofs, p)
	}
	open := func(trusted *Trusted, data []byte) {
		if _, err := OpenProof(data, trusted); err != nil {
			t.Error(err)
		}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for _, p := range proofs {
				open(state.Trusted(), p)
			}
		})
	}
	all.Wait()
	for _, p := range proofs[:3] {
		for i := 1 + HeadLen; i < len(p); i++ {
			bad := slices.Clone(p)
			bad[i] ^= 0x80
			if _, err := OpenProof(bad, state.Trusted()); err == nil {
				t.Errorf("byte %d changed and accepted", i)
			}
		}
	}
	met := testing.AllocsPerRun(50, func() { open(state.Trusted(), proofs[0]) })
	first := testing.AllocsPerRun(50, func() {
		open(&Trusted{head: state.trusted.head, signer: state.trusted.signer, memory: &memory{}}, proofs[0])
	})
	if met > 1 || first < 4 {
		t.Errorf("%v allocations for a proof whose nodes were met, %v for the first; want 1 and more", met, first)
	}
}

// TestPKI_2_Staple: to who knows nothing but the roots it shows how a party stands.
func TestPKI_2_Staple(t *testing.T) {
	h := newHouse(t)
	dev := h.Party(pki.Device)
	b := h.builder(t)
	state := h.sign(t, b, 4)
	proof, err := state.Proof(h.Peer(dev).Members()...)
	must(t, err)
	good := Staple{Proof: proof, Chain: h.signer.Chain}
	data, err := good.Encode()
	must(t, err)
	s, err := ParseStaple(data)
	must(t, err)
	if head, err := s.Head(); err != nil || head.Epoch.Number != 4 {
		t.Errorf("head %v, %v", head, err)
	}
	p, err := s.Open(h.v, h.Now)
	must(t, err)
	if _, err := (&pki.Verifier{Trust: h.Trust, Status: p}).Verify(dev.Chain, h.Now); err != nil {
		t.Error(err)
	}
	bent := slices.Clone(proof)
	bent[1+HeadLen+40] ^= 1 // in a page root
	for name, tc := range map[string]struct {
		staple Staple
		now    time.Time
		want   error
	}{
		"of another signer":      {Staple{Proof: proof, Chain: h.Party(pki.StateSigner).Chain}, h.Now, ErrSigner},
		"of no signer":           {Staple{Proof: proof, Chain: dev.Chain}, h.Now, ErrSigner},
		"bent":                   {Staple{Proof: bent, Chain: h.signer.Chain}, h.Now, ErrRoot},
		"cut off in its head":    {Staple{Proof: proof[:99], Chain: h.signer.Chain}, h.Now, ErrMalformed},
		"from far in the future": {good, h.Now.Add(-MaxAhead - time.Second), ErrEpoch},
	} {
		if _, err := tc.staple.Open(h.v, tc.now); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

func BenchmarkOpenProof(b *testing.B) {
	h := newHouse(b)
	bu := h.builder(b)
	for c := pki.Class(0x1002); c < 0x1400; c++ {
		must(b, bu.Allot(c, 16*PageSize))
		must(b, bu.RevokeDevice(c, 7))
	}
	state := h.sign(b, bu, 1)
	data, err := state.Proof(pki.Member{Class: 0x1234}, pki.Member{Class: 0x1000}, pki.Member{})
	must(b, err)
	for name, trusted := range map[string]func() *Trusted{
		"met": state.Trusted,
		"first": func() *Trusted {
			return &Trusted{head: state.trusted.head, signer: state.trusted.signer, memory: &memory{}}
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := OpenProof(data, trusted()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
