package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// TestTREM_RenewsAfterARotation: the authority gets a new root. A house asks over
// the relay for certificates under it, its device asks through the house, and a
// class that demands a higher security version refuses both until then.
func TestTREM_RenewsAfterARotation(t *testing.T) {
	self := program(t)
	t.Setenv("LARES_TREM", filepath.Join(filepath.Dir(self), "lares-trem"))
	h, err := newHouse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.program = self
	s := &shopTest{house: h, t: t}
	t.Cleanup(func() { s.ok(h.close()) })
	s.do("ca", "ceremony", "--dir", h.path("ca"))
	url, err := h.serve("ca", "ca", "serve", "--dir", h.path("ca"), "--listen", "127.0.0.1:0")
	s.ok(err)
	s.do("home", "init", "--dir", h.path("home"), "--ca", url, "--voucher", s.voucher("--role", "home server"))
	home, err := h.serve("home", "home", "serve", "--dir", h.path("home"), "--ca", url, "--listen", "127.0.0.1:0")
	s.ok(err)
	s.do("trem", "init", "--dir", h.path("device"))
	module, stop, err := startTREM(h.path("device"))
	s.ok(err)
	s.ok(enroll(t.Context(), module, url, pki.Device, s.voucher("--role", "device")))
	if why, err := renewCertificate(t.Context(), module, nil, home, time.Now()); why != "" || err != nil {
		t.Errorf("not due: %q, %v", why, err)
	}
	before, err := module.Status(t.Context())
	s.ok(err)
	s.ok(stop())

	s.do("ca", "root", "rotate", "--dir", h.path("ca"))
	var out renewAnswer
	s.ok(h.query(t.Context(), &out, "trem", "renew", "--dir", h.path("device"), "--ca", home))
	if !out.Renewed || !strings.Contains(out.Why, "root") {
		t.Errorf("after the rotation: %+v", out)
	}
	s.ok(h.query(t.Context(), &out, "trem", "renew", "--dir", h.path("device"), "--ca", url))
	if out.Renewed {
		t.Errorf("twice: %+v", out)
	}
	var after trem.Status
	s.ok(h.query(t.Context(), &after, "trem", "status", "--dir", h.path("device")))
	if after.Device != before.Device || after.Index == before.Index {
		t.Errorf("%v/%d became %v/%d", before.Device, before.Index, after.Device, after.Index)
	}
	// The house renews when it starts.
	s.ok(h.stop("home"))
	s.ok(h.again("home"))
	until := time.Now().Add(10 * time.Second)
	for {
		var shown caAnswer
		s.ok(h.query(t.Context(), &shown, "ca", "show", "--dir", h.path("ca")))
		if i := 3; shown.Classes[i].Class == 3 && shown.Classes[i].Members == 2 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("the house has not renewed: %+v", shown.Classes)
		}
		time.Sleep(100 * time.Millisecond)
	}
	// Now the old root may end, and a version may be demanded.
	s.do("ca", "root", "end", "--dir", h.path("ca"))
	s.do("ca", "class", "raise-svn", "4097", "1", "--dir", h.path("ca"))
	s.ok(h.query(t.Context(), &out, "trem", "renew", "--dir", h.path("device"), "--ca", home))
	s.do("ca", "class", "raise-svn", "4097", "2", "--dir", h.path("ca"))
	if a, err := h.run(t.Context(), "trem", "renew", "--dir", h.path("device"), "--ca", url); err != nil || a.code != statusDone {
		t.Errorf("nothing newer to say: %+v %v", a, err)
	}
	if a, err := h.run(t.Context(), "trem", "renew", "--dir", h.path("device"), "--ca", "http://127.0.0.1:1"); err != nil || a.code == statusDone {
		t.Errorf("nobody there: %+v %v", a, err)
	}
}
