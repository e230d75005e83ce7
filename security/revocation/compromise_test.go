package revocation

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// TestPKI_2_CompromisedKeys: a state names since when a revoked key was others',
// through snapshot and delta, and never later than it did before.
func TestPKI_2_CompromisedKeys(t *testing.T) {
	h := newHouse(t)
	b := h.builder(t)
	must(t, b.Allot(pkitest.Issuers, 1))
	m, other := pki.Member{Class: pkitest.Issuers, Index: 4}, pki.Member{Class: pkitest.Issuers, Index: 2}
	if err := b.Compromise("shop", m, 3); !errors.Is(err, ErrMalformed) {
		t.Errorf("an issuer that the state does not have: %v", err)
	}
	must(t, b.SetIssuer("shop", h.Now, false))
	before := h.at(t, b, 3, 3*time.Hour)
	if _, ok := before.Compromised(m); ok {
		t.Error("compromised before anybody said so")
	}
	must(t, b.Compromise("shop", m, 7))
	must(t, b.Compromise("shop", m, 2))
	must(t, b.Compromise("shop", m, 5))
	must(t, b.Compromise("shop", other, 6))
	must(t, b.SetIssuer("shop", h.Now.Add(time.Hour), true)) // who is heard from keeps it
	must(t, b.SetIssuer("another", h.Now, false))
	must(t, b.Compromise("another", other, 1))
	now := h.at(t, b, 4, 4*time.Hour)
	read, err := h.parse(now)
	must(t, err)
	delta, err := now.Delta(before)
	must(t, err)
	stepped, err := before.Apply(delta, now.Head().Bytes(), h.v, h.signer.Chain, time.Time{})
	must(t, err)
	for name, s := range map[string]*State{"made": now, "read": read, "stepped": stepped} {
		if since, ok := s.Compromised(m); !ok || since != 2 {
			t.Errorf("%s: since %d, %v, want 2", name, since, ok)
		}
		if since, ok := s.Compromised(other); !ok || since != 1 {
			t.Errorf("%s: named by two issuers: since %d, %v, want 1", name, since, ok)
		}
		if _, ok := s.Compromised(pki.Member{Class: m.Class, Index: 5}); ok {
			t.Errorf("%s: a key that stands", name)
		}
		if err := s.Check(m.Class, m.Index, 0); !errors.Is(err, pki.ErrRevoked) {
			t.Errorf("%s: %v, want revoked", name, err)
		}
		l, ok := s.Issuer("shop")
		again, err := ParseIssuerLeaf(l.Encode())
		if !ok || err != nil || !again.same(&l) || !l.Sunset {
			t.Errorf("%s: the leaf %+v, again %+v, %v", name, l, again, err)
		}
	}
	for _, since := range []uint64{0, maxEpoch + 1} {
		if err := b.Compromise("shop", pki.Member{Class: pkitest.Issuers, Index: 9}, since); !errors.Is(err, ErrMalformed) {
			t.Errorf("since %d: %v, want ErrMalformed", since, err)
		}
	}
	for i := range uint32(MaxCompromised - 2) {
		must(t, b.Compromise("shop", pki.Member{Class: pkitest.Issuers, Index: 100 + i}, 1))
	}
	if err := b.Compromise("shop", pki.Member{Class: pkitest.Issuers, Index: 9}, 1); !errors.Is(err, ErrMalformed) {
		t.Errorf("one key too many: %v, want ErrMalformed", err)
	}
}

// TestPKI_2_IssuerLeafHasOneEncoding: lists that are out of order, doubled, empty
// or impossible are refused.
func TestPKI_2_IssuerLeafHasOneEncoding(t *testing.T) {
	at := func(index uint32, since uint64) Compromise {
		return Compromise{Member: pki.Member{Class: 2, Index: index}, Since: since}
	}
	leaf := func(list ...Compromise) []byte {
		l := IssuerLeaf{ID: "shop", Next: "shop", Compromised: list}
		return l.Encode()
	}
	good := leaf(at(1, 2), at(3, 1))
	if _, err := ParseIssuerLeaf(good); err != nil {
		t.Fatal(err)
	}
	empty := append(slices.Clone(leaf()), 0)
	empty[1] |= issuerCompromised
	for name, data := range map[string][]byte{
		"descending":      leaf(at(3, 1), at(1, 2)),
		"twice":           leaf(at(1, 1), at(1, 2)),
		"epoch 0":         leaf(at(1, 0)),
		"epoch 2^63":      leaf(at(1, 1<<63)),
		"none, said":      empty,
		"cut":             good[:len(good)-1],
		"more than said":  append(slices.Clone(good), 0),
		"another flag":    append([]byte{leafIssuer, 4}, good[2:]...),
		"65 of them":      leaf(slices.Repeat([]Compromise{at(1, 1)}, 65)...),
		"without the bit": append([]byte{leafIssuer, 0}, good[2:]...),
	} {
		if _, err := ParseIssuerLeaf(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}
