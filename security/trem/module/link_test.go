package module_test

import (
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// A module proves itself to a courier under its own ID, and each link asks anew.
func TestTREM_LINK_ProvesThisModuleOnOneLink(t *testing.T) {
	h := newHouse(t)
	st, err := h.tablet.Status(t.Context())
	h.must(err)
	home, err := h.home.Status(t.Context())
	h.must(err)
	order := trem.LinkOrder{Link: [32]byte{1}, Relay: home.Device, Hello: [32]byte{2}}
	p, err := h.tablet.ProveLink(t.Context(), order)
	h.must(err)
	want := pki.LinkStatement{Link: order.Link, Relay: order.Relay, Hello: order.Hello}
	if got, err := pki.VerifyLink(p.Leaf, p.Statement, want); err != nil || got != st.Device {
		t.Errorf("proven: %v (%v), want %v", got, err, st.Device)
	}
	for name, change := range map[string]func(*pki.LinkStatement){
		"another link":  func(s *pki.LinkStatement) { s.Link[31]++ },
		"another relay": func(s *pki.LinkStatement) { s.Relay = ident.Device{9} },
		"another HELLO": func(s *pki.LinkStatement) { s.Hello[0]++ },
	} {
		s := want
		change(&s)
		if got, err := pki.VerifyLink(p.Leaf, p.Statement, s); err == nil {
			t.Errorf("%s: proven as %v", name, got)
		}
	}
	if _, err := pki.VerifyLink(home.Leaf, p.Statement, want); err == nil {
		t.Error("proven with another's certificate")
	}
}
