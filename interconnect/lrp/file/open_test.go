package file

import (
	"context"
	"crypto/sha256"
	"testing"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/interconnect/lrp/lrptest"
)

// FuzzOpen: what a file's signature holds for is its frame, byte for byte.
func FuzzOpen(f *testing.F) {
	p, relay := lrptest.NewParty(f), lrp.Addr{1}
	frame := lrp.NewTransaction(relay, p.Addr, lrptest.Start(), lrp.Life).Next(lrp.TypeSLTP, []byte{1})
	data, err := frame.Encode()
	if err != nil {
		f.Fatal(err)
	}
	hello, err := lrp.DefaultHello().Sign(sha256.Sum256(data), relay, func(l lrp.LinkID, r lrp.Addr, h [32]byte) (lrp.Proof, error) {
		return p.Sign(context.Background(), l, r, h)
	})
	if err != nil {
		f.Fatal(err)
	}
	first := frame
	first.Type, first.Body = lrp.TypeHello, hello
	head, err := first.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(append(head, data...))
	s := &Server{Self: relay}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, by, ok := s.open(in)
		if !ok || by.Signed != p.Addr {
			return
		}
		if again, err := got.Encode(); err != nil || string(again) != string(data) {
			t.Errorf("%x is signed for %x", in, again)
		}
	})
}
