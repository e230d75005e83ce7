package module_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// TestTREM_NotEnrolled gives every command to a module without certificates:
// each answers, none ends it.
func TestTREM_NotEnrolled(t *testing.T) {
	b := &box{t: t, dir: t.TempDir(), clock: &clock{}}
	b.start()
	t.Cleanup(func() { _ = b.Close(); <-b.exited })
	ctx := context.Background()
	for name, do := range map[string]func() error{
		"learn":     func() error { return b.Learn(ctx, trem.Learned{Head: []byte{1}, Time: []byte{1}}) },
		"open":      func() error { _, err := b.Open(ctx, trem.LicenseRequest{Content: "x"}); return err },
		"receive":   func() error { _, err := b.Receive(ctx, trem.SLTPMessage{Bytes: []byte{1}}); return err },
		"prepare":   func() error { _, err := b.Prepare(ctx, h0()); return err },
		"release":   func() error { _, err := b.Release(ctx, 1, []byte{1}); return err },
		"refuse":    func() error { _, err := b.Refuse(ctx, 1, "NO_GRANT", 0); return err },
		"evaluate":  func() error { _, err := b.Evaluate(ctx, trem.Ask{Content: "x", Action: permission.Play}); return err },
		"begin":     func() error { _, err := b.Begin(ctx, trem.Ask{Content: "x", Action: permission.Play}); return err },
		"track":     func() error { _, _, err := b.Track(ctx, 1, nil); return err },
		"decrypt":   func() error { _, err := b.Decrypt(ctx, 1, 0, nil); return err },
		"end":       func() error { return b.End(ctx, 1) },
		"link keys": func() error { _, err := b.LinkKeys(ctx, 1); return err },
		"found":     func() error { _, err := b.Found(ctx); return err },
		"admit":     func() error { _, err := b.Admit(ctx, trem.Candidate{}); return err },
		"join":      func() error { return b.Join(ctx, trem.Admission{}) },
		"remove":    func() error { return b.Remove(ctx, ident.Device{1}) },
		"keys":      func() error { _, err := b.RegisterKeys(ctx, []byte{1}); return err },
		"protect":   func() error { _, err := b.Protect(ctx, []byte{1}); return err },
		"unprotect": func() error { return b.Unprotect(ctx, "x") },
		"resend":    func() error { _, err := b.Resend(ctx, ident.Device{1}); return err },
		"pairwise":  func() error { _, err := b.Pairwise(ctx, "x"); return err },
		"done":      func() error { _, err := b.Done(ctx, trem.Done{Handle: 1}); return err },
		"enroll":    func() error { return b.Enroll(ctx, trem.Enrollment{}) },
	} {
		var e *trem.Error
		if err := do(); !errors.As(err, &e) {
			t.Errorf("%s: %v, want an error of the module", name, err)
		}
	}
	if held, err := b.Licenses(ctx); err != nil || len(held) != 0 {
		t.Errorf("licenses: %v, %v", held, err)
	}
	if s, err := b.Status(ctx); err != nil || s.Role != "" {
		t.Errorf("status after all that: %+v, %v", s, err)
	}
}

func h0() trem.Terms {
	h := trem.Terms{}
	h.Info.Issuer, h.Info.Content = "x", "x"
	h.Info.Subject.Kind = 2
	return h
}

// TestTREM_CommandsOfOtherRoles gives a device the commands of others, and a
// home server those of an issuer.
func TestTREM_CommandsOfOtherRoles(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	var e *trem.Error
	for name, do := range map[string]func() error{
		"a device founds":         func() error { _, err := h.tablet.Found(ctx); return err },
		"a device admits":         func() error { _, err := h.tablet.Admit(ctx, trem.Candidate{}); return err },
		"a device registers keys": func() error { _, err := h.tablet.RegisterKeys(ctx, []byte{1}); return err },
		"a device unprotects":     func() error { return h.tablet.Unprotect(ctx, ourFilm) },
		"a home server prepares":  func() error { _, err := h.home.Prepare(ctx, h0()); return err },
		"a home server joins":     func() error { return h.home.Join(ctx, trem.Admission{}) },
		"a home server sends":     func() error { _, err := h.home.SendSunset(ctx, trem.SunsetOrder{}); return err },
		"an issuer asks": func() error {
			_, err := h.issuer.Open(ctx, trem.LicenseRequest{Peer: h.home.id, Content: "x"})
			return err
		},
		"an issuer founds":           func() error { _, err := h.issuer.Found(ctx); return err },
		"release of what is not its": func() error { _, err := h.issuer.Release(ctx, 1, []byte("not sealed here")); return err },
	} {
		if err := do(); !errors.As(err, &e) || e.Code == trem.CodeInternal {
			t.Errorf("%s: %v", name, err)
		}
	}
}
