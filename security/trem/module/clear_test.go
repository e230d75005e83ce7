package module

import (
	"bytes"
	"io"
	"testing"

	"github.com/lares-drm/lares/security/trem"
)

// TestTREM_1_RepliesLeaveNothing: some replies are keys of a link. Neither their headers
// nor the memory that holds them keeps anything when they are written, and none that it
// outgrew does.
func TestTREM_1_RepliesLeaveNothing(t *testing.T) {
	secret := []byte("secret")
	held := replies{conn: struct {
		io.Reader
		io.Writer
	}{nil, io.Discard}}
	var arrays [][]byte
	for n := range 6 {
		header := bytes.Repeat(secret, 10<<n)
		if err := held.add(trem.Message{Header: header}); err != nil {
			t.Fatal(err)
		}
		if arrays = append(arrays, held.b[:cap(held.b)]); bytes.Contains(header, secret) {
			t.Errorf("header %d is left", n)
		}
	}
	if !bytes.Contains(held.b, secret) {
		t.Fatal("nothing is held")
	}
	if err := held.flush(); err != nil {
		t.Fatal(err)
	}
	for n, a := range arrays {
		if bytes.Contains(a, secret) {
			t.Errorf("array %d of %d bytes keeps a reply", n, len(a))
		}
	}
}
