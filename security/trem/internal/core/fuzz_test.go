package core

import (
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/keystore/soft"
	"github.com/lares-drm/lares/security/trem"
)

// FuzzDo gives one module arbitrary commands: it answers each of them with a
// reply that a host can read, and goes on.
func FuzzDo(f *testing.F) {
	dir := f.TempDir()
	keys, err := soft.Create(dir)
	if err != nil {
		f.Fatal(err)
	}
	share := func(n int) (shared, own []byte, err error) { return make([]byte, n), make([]byte, n), nil }
	c, err := Open(Config{Dir: dir, Keystore: keys, BuildMS: start, Share: share}, at(start, 0, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close() })
	for _, seed := range []string{"\x83\x01\x01\x80", "\x83\x01\x06\xa0", "\x83\x01\x18\x26\xa5\x01\x50abcdefghijklmnop\x02\x58\x20abcdefghijklmnopabcdefghijklmnop\x03\x63lcp\x04\x80\x05\x00", "\x83\x01\x07\x82\xf6\x41\x00", "\x83\x01\x0e\xa2\x01\x01\x02\x00", "\x83\x01\x18\x17\x50abcdefghijklmnop", "\x83\x01\x18\x27\xa1\x01\x19\x10\x00", "\x83\x01\x0f\xa4\x01\x01\x02\x00\x03\x08\x04\x08", "\x83\x01\x18\x3a\x44abcd", "\x83\x01\x18\x3b\x46urn:ow"} {
		f.Add([]byte(seed), []byte("\x00\x00\x00\x08ftyp"))
	}
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		out, err := c.Do(trem.Message{Header: header, Payload: payload}, at(start, 0, 1))
		if err != nil {
			t.Fatalf("%x ends the module: %v", header, err)
		}
		if err := wire.Check(out.Header, wire.Limit{Bytes: trem.MaxHeader, Items: 4096, Depth: 16}); err != nil {
			t.Errorf("%x is answered by %x: %v", header, out.Header, err)
		}
	})
}
