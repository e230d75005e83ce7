package revocation

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPKI_2_OfferTravelsInAFile(t *testing.T) {
	h := newHouse(t)
	o := h.offer(h.sign(t, h.builder(t), 1))
	for _, change := range [][]byte{nil, {1, 2, 3}} {
		o.Change = change
		data, err := o.Encode()
		must(t, err)
		got, err := ParseOffer(data)
		if err != nil || !cmp.Equal(got, o) {
			t.Fatalf("%v\n%s", err, cmp.Diff(o, got))
		}
		for n := range len(data) {
			if _, err := ParseOffer(data[:n]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("cut off at %d: %v", n, err)
			}
		}
		if _, err := ParseOffer(append(slices.Clone(data), 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("goes on: %v", err)
		}
	}
	for name, bad := range map[string]Offer{"no head": {Chain: o.Chain, Snapshot: o.Snapshot}, "no chain": {Head: o.Head, Snapshot: o.Snapshot}, "no snapshot": {Head: o.Head, Chain: o.Chain, Delta: []byte{1}}} {
		if _, err := bad.Encode(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseOffer(f *testing.F) {
	f.Add([]byte{0x85, 1, 0x40, 0x80, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseOffer(data)
		if err != nil {
			return
		}
		if again, err := o.Encode(); err != nil || !slices.Equal(again, data) {
			t.Fatalf("a second encoding of one offer: %v", err)
		}
	})
}
