package permission_test

import (
	"bytes"
	"testing"

	"github.com/lares-drm/lares/license/permission"
)

// The corpora are in testdata/fuzz.

func FuzzCode(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := permission.Parse(data)
		if err != nil {
			return
		}
		again, err := u.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x encodes as %x (%v)", data, []byte(again), err)
		}
		text, err := permission.ParseText(u.Text())
		if err != nil {
			t.Fatalf("%q: %v", u.Text(), err)
		}
		if again, err := text.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%q encodes as %x, not %x (%v)", u.Text(), []byte(again), data, err)
		}
		u.UnknownCritical(0)
		u.Words()
	})
}

func FuzzText(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		u, err := permission.ParseText(s)
		if err != nil {
			return
		}
		a, err := u.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := permission.ParseText(u.Text())
		if err != nil {
			t.Fatalf("%q: %v", u.Text(), err)
		}
		if b, err := again.Encode(); err != nil || !bytes.Equal(a, b) {
			t.Fatalf("%q and %q differ (%v)", s, u.Text(), err)
		}
	})
}
