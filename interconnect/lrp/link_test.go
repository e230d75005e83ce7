package lrp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// party is a module with a key and a certificate of that key.
type party struct {
	key  *ecdsa.PrivateKey
	leaf []byte
	addr lrp.Addr
}

func newParty(t testing.TB) party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "module"}, NotBefore: start, NotAfter: start.Add(time.Hour)}
	leaf, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return party{key, leaf, lrp.AddrOf(cert.RawSubjectPublicKeyInfo)}
}

func (p party) sign(link lrp.LinkID, relay lrp.Addr, hello [32]byte) (lrp.Proof, error) {
	s, err := pki.SignLink(p.key, p.leaf, pki.LinkStatement{Link: link, Relay: ident.Device(relay), Hello: hello})
	return lrp.Proof{Leaf: p.leaf, Statement: s}, err
}

func (p party) hello(t testing.TB, link lrp.LinkID, relay lrp.Addr) []byte {
	t.Helper()
	b, err := lrp.DefaultHello("http").Sign(link, relay, p.sign)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func anybody(lrp.Addr) bool { return true }

func TestLink_Spec8_AProofHoldsOnItsLinkOnly(t *testing.T) {
	links, p := lrp.NewLinks(home), newParty(t)
	id, other := links.Open(start), links.Open(start)
	if src, err := links.Prove(id, p.hello(t, id, home), start, anybody); err != nil || src != p.addr {
		t.Fatalf("%v, %v", src, err)
	}
	if !links.Proved(id, p.addr, start) || links.Proved(other, p.addr, start) || links.Proved(id, device, start) {
		t.Error("proven elsewhere, or not where it was")
	}
	if !links.Proved(id, p.addr, start.Add(lrp.LinkLife-1)) || links.Proved(id, p.addr, start.Add(lrp.LinkLife)) {
		t.Error("a proof holds for LinkLife")
	}
	links.Forget(p.addr)
	if links.Proved(id, p.addr, start) {
		t.Error("a source that was forgotten is still proven")
	}
}

func TestLink_Spec8_WhatProvesNothing(t *testing.T) {
	p, thief := newParty(t), newParty(t)
	links := lrp.NewLinks(home)
	id := links.Open(start)
	swapped, err := lrp.DefaultHello("http").Sign(id, home, func(l lrp.LinkID, r lrp.Addr, h [32]byte) (lrp.Proof, error) {
		proof, err := thief.sign(l, r, h)
		proof.Leaf = p.leaf
		return proof, err
	})
	if err != nil {
		t.Fatal(err)
	}
	changed, err := lrp.ParseHello(p.hello(t, id, home))
	if err != nil {
		t.Fatal(err)
	}
	changed.Epoch = 7
	plain := encode(t, lrp.DefaultHello("http"))
	strange := lrp.NewLinks(home).Open(start)
	for name, tc := range map[string]struct {
		link  lrp.LinkID
		body  []byte
		now   time.Time
		known func(lrp.Addr) bool
	}{
		"of another link":            {id, p.hello(t, links.Open(start), home), start, anybody},
		"for another relay":          {id, p.hello(t, id, device), start, anybody},
		"by another key":             {id, swapped, start, anybody},
		"of another HELLO":           {id, encode(t, changed), start, anybody},
		"no proof":                   {id, plain, start, anybody},
		"no HELLO":                   {id, []byte{0xf6}, start, anybody},
		"on a link nobody has named": {strange, p.hello(t, strange, home), start, anybody},
		"too late":                   {id, p.hello(t, id, home), start.Add(lrp.ProveWithin + time.Second), anybody},
		"of a stranger":              {id, p.hello(t, id, home), start, func(lrp.Addr) bool { return false }},
	} {
		if src, err := links.Prove(tc.link, tc.body, tc.now, tc.known); err == nil {
			t.Errorf("%s: taken as %v", name, src)
		} else if name != "no HELLO" && !errors.Is(err, lrp.ErrProof) {
			t.Errorf("%s: %v, want ErrProof", name, err)
		}
	}
	if links.Proved(id, p.addr, start) || links.Proved(id, thief.addr, start) {
		t.Error("something was proven all the same")
	}
}

func TestLink_Spec8_MemoryIsBounded(t *testing.T) {
	links, p, q := lrp.NewLinks(home), newParty(t), newParty(t)
	prove := func(p party, id lrp.LinkID) {
		t.Helper()
		if _, err := links.Prove(id, p.hello(t, id, home), start, anybody); err != nil {
			t.Fatal(err)
		}
	}
	theirs, first := links.Open(start), links.Open(start)
	prove(q, theirs)
	prove(p, first)
	for range lrp.MaxLinksOf {
		prove(p, links.Open(start))
	}
	if links.Proved(first, p.addr, start) {
		t.Error("more than MaxLinksOf links of one source")
	}
	if !links.Proved(theirs, q.addr, start) {
		t.Error("one source's links put another's out")
	}
	for range lrp.MaxSources - 1 {
		prove(newParty(t), theirs)
	}
	late := newParty(t)
	if _, err := links.Prove(theirs, late.hello(t, theirs, home), start, anybody); !errors.Is(err, lrp.ErrProof) {
		t.Errorf("one source more than MaxSources on a link: %v", err)
	}
	if got := len(links.Sources(theirs, start)); got != lrp.MaxSources {
		t.Errorf("%d sources, want %d", got, lrp.MaxSources)
	}
}

func TestEndpoint_Spec8_SignedHello(t *testing.T) {
	p := newParty(t)
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: home, Known: func(a lrp.Addr) bool { return a == p.addr }})
	if err != nil {
		t.Fatal(err)
	}
	tx := lrp.NewTransaction(home, p.addr, start, lrp.Life)
	offer := encode(t, lrp.DefaultHello("http"))
	got := e.Handle(tx.Next(lrp.TypeHello, offer), start, nil)
	answer, err := lrp.ParseHello(got[0].Body)
	if err != nil || len(answer.Link) != 32 {
		t.Fatalf("%+v, %v", answer, err)
	}
	if _, err := lrp.DefaultHello("http").Accept(offer, got[0].Body); err != nil {
		t.Error(err)
	}
	id := lrp.LinkID(answer.Link)
	again, err := lrp.ParseLinkID(id.Header())
	if err != nil || again != id {
		t.Errorf("%v, %v", again, err)
	}
	if got := e.HandleBy(lrp.Arrival{Link: id}, tx.Next(lrp.TypeHello, p.hello(t, id, home)), start, nil); got[0].Type != lrp.TypeHello || !e.Proved(id, p.addr, start) {
		t.Errorf("answer %v; proven: %v", got, e.Proved(id, p.addr, start))
	}
	lie := lrp.NewTransaction(home, device, start, lrp.Life)
	if c := code(t, e.HandleBy(lrp.Arrival{Link: id}, lie.Next(lrp.TypeHello, p.hello(t, id, home)), start, nil)); c != lrp.CodeUnproven {
		t.Errorf("a proof of another than the frame's source: %v, want UNPROVEN", c)
	}
}

// RESUME is answered on the link that began the transaction, where its source proves itself.
func TestEndpoint_Spec5_ResumeOfAKnownSourceNeedsItsLink(t *testing.T) {
	p := newParty(t)
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: home, Known: func(a lrp.Addr) bool { return a == p.addr }})
	if err != nil {
		t.Fatal(err)
	}
	tx := lrp.NewTransaction(home, p.addr, start, lrp.Life)
	e.Handle(tx.Next(lrp.TypeSLTP, body(t, 1)), start, new(echo).serve)
	if c := code(t, e.Handle(tx.Resume(), start, nil)); c != lrp.CodeUnproven {
		t.Errorf("%v, want UNPROVEN", c)
	}
	links := e.Handle(tx.Next(lrp.TypeHello, encode(t, lrp.DefaultHello("http"))), start, nil)
	h, err := lrp.ParseHello(links[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	id := lrp.LinkID(h.Link)
	e.HandleBy(lrp.Arrival{Link: id}, tx.Next(lrp.TypeHello, p.hello(t, id, home)), start, nil)
	if got := e.HandleBy(lrp.Arrival{Link: id}, tx.Resume(), start, nil); len(got) != 1 || got[0].Type != lrp.TypeSLTP {
		t.Errorf("%v", got)
	}
}

func TestAddr_Spec1_BlindAddressesCannotBeCompared(t *testing.T) {
	spki := []byte("the module's public key")
	a, b := lrp.Blind(home, spki), lrp.Blind(device, spki)
	if a == b || a == lrp.AddrOf(spki) || a != lrp.Blind(home, spki) {
		t.Errorf("blinded %v and %v of %v", a, b, lrp.AddrOf(spki))
	}
}

// An answer is signed by the module that was asked, over the name that was offered:
// a courier that answers in its place, or changes a byte, is not believed.
func TestLink_Spec8_AnAnswerProvesItsModule(t *testing.T) {
	house, courier := newParty(t), newParty(t)
	sum := bytes.Repeat([]byte{7}, 32)
	endpoint := func(p party, self lrp.Addr) *lrp.Endpoint {
		hello := lrp.DefaultHello("http")
		hello.TLS = sum
		e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: self, Hello: hello, Prove: p.sign})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	ask := func(e *lrp.Endpoint, change func(*lrp.Frame)) (lrp.Hello, error) {
		return lrp.Recognize(t.Context(), lrp.Addr{1}, house.addr, lrp.DefaultHello("http"), start, func(_ context.Context, _ lrp.LinkID, f lrp.Frame) ([]lrp.Frame, error) {
			out := e.Handle(f, start, nil)
			for i := range out {
				change(&out[i])
			}
			return out, nil
		})
	}
	same := func(*lrp.Frame) {}
	e := endpoint(house, house.addr)
	if h, err := ask(e, same); err != nil || !bytes.Equal(h.TLS, sum) {
		t.Errorf("the house: %x, %v", h.TLS, err)
	}
	other := func(f *lrp.Frame) { f.Body = bytes.Replace(f.Body, sum, bytes.Repeat([]byte{8}, 32), 1) }
	for what, err := range map[string]error{
		"a courier":      second(ask(endpoint(courier, house.addr), same)),
		"a changed byte": second(ask(e, other)),
	} {
		if !errors.Is(err, lrp.ErrProof) {
			t.Errorf("%s is believed: %v", what, err)
		}
	}
	signed := 0
	for range 20 { // who makes a module sign for ever is answered without a proof
		if _, err := ask(e, same); err == nil {
			signed++
		}
	}
	if signed > 8 {
		t.Errorf("%d signatures in a second", signed)
	}
}

func second(_ lrp.Hello, err error) error { return err }
