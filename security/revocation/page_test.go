package revocation

import (
	"bytes"
	"crypto/elliptic"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func flipS(head []byte) []byte {
	s := head[len(head)-32:]
	new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(s)).FillBytes(s)
	return head
}

// drawPage draws a set that is sparse, dense, in lots, or all of these.
func drawPage(t *rapid.T) []uint16 {
	rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2)) //nolint:gosec // reproducible
	var out []uint16
	if rnd.IntN(8) == 0 { // every other one, so to say
		for i := range PageSize {
			if rnd.IntN(2) == 0 {
				out = append(out, uint16(i))
			}
		}
	}
	for range rapid.IntRange(0, 6).Draw(t, "parts") {
		switch rnd.IntN(3) {
		case 0: // scattered
			for range rnd.IntN(2000) {
				out = append(out, uint16(rnd.IntN(PageSize)))
			}
		case 1: // a lot
			first := rnd.IntN(PageSize)
			for i := first; i < min(PageSize, first+rnd.IntN(PageSize)); i++ {
				out = append(out, uint16(i))
			}
		case 2: // dense noise
			first := rnd.IntN(PageSize)
			for i := first; i < min(PageSize, first+9000); i++ {
				if rnd.IntN(2) == 0 {
					out = append(out, uint16(i))
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestPKI_2_PageHoldsItsSetAndNothingElse(t *testing.T) {
	kinds := map[byte]int{}
	var run, mixed []uint16 // one of each kind is certain, whatever rapid draws
	for i := range uint16(2000) {
		run = append(run, i)
	}
	coin := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same page each time
	for i := range PageSize {
		if coin.IntN(2) == 0 {
			mixed = append(mixed, uint16(i)) //nolint:gosec // below 65,536
		}
	}
	for _, set := range [][]uint16{nil, {1, 5000, 40000}, run, mixed} {
		kinds[NewPage(set...).Encode()[0]&^15]++
	}
	rapid.Check(t, func(rt *rapid.T) {
		set := drawPage(rt)
		p := NewPage(set...)
		enc := p.Encode()
		got, err := ParsePage(enc)
		if err != nil {
			rt.Fatal(err)
		}
		kinds[enc[0]&^15]++
		if got.Len() != len(set) || !bytes.Equal(got.Encode(), enc) {
			rt.Fatalf("%d indexes, want %d", got.Len(), len(set))
		}
		for range 200 {
			i := uint16(rapid.IntRange(0, PageSize-1).Draw(rt, "index"))
			if found, err := find(enc, i); err != nil || found != p.Has(i) {
				rt.Fatalf("index %d is looked for without making the page: %v, %v", i, found, err)
			}
		}
		next := 0
		for i := range PageSize {
			want := next < len(set) && int(set[next]) == i
			if want {
				next++
			}
			if got.Has(uint16(i)) != want {
				rt.Fatalf("index %d: %v, want %v", i, !want, want)
			}
		}
	})
	for _, k := range []byte{pageEmpty, pageList, pageRuns, pageBitmap} {
		if kinds[k] == 0 {
			t.Errorf("no page was written as %#02x: the property does not cover it (%v)", k, kinds)
		}
	}
}

// TestPKI_2_HeaderIsTheShortest writes each page in all 32 ways: only the
// shortest, first in the order of ties, may be read back.
func TestPKI_2_HeaderIsTheShortest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := NewPage(drawPage(rt)...)
		if p.Len() == 0 {
			return
		}
		best, bits := byte(0), 1<<30
		accepted := 0
		for _, h := range headers() {
			w := &bitWriter{out: []byte{h}}
			p.body(w, h)
			if n := 8*len(w.out) - w.free; n < bits {
				best, bits = h, n
			}
			if q, err := ParsePage(w.out); err == nil {
				accepted++
				if h != p.header() || !bytes.Equal(q.Encode(), w.out) {
					rt.Fatalf("accepted with header %#x", h)
				}
			}
		}
		if best != p.header() || accepted != 1 {
			rt.Fatalf("header %#x, shortest is %#x; %d encodings accepted", p.header(), best, accepted)
		}
	})
}

func headers() (out []byte) {
	for k := byte(1); k < 16; k++ {
		out = append(out, pageList|k)
	}
	for k := range byte(16) {
		out = append(out, pageRuns|k)
	}
	return append(out, pageBitmap)
}

func TestPKI_2_MalformedPages(t *testing.T) {
	good := NewPage(1, 2, 70, 9000).Encode()
	for name, data := range map[string][]byte{
		"nothing":            nil,
		"unknown header":     {0x40},
		"empty with k":       {0x01},
		"empty, goes on":     {0, 0},
		"list without entry": {0x1f, 0xc0},
		"bitmap cut off":     {0x30, 1, 2, 3},
		"bitmap of nothing":  append([]byte{0x30}, make([]byte, PageSize/8)...),
		"trailing byte":      append(slices.Clone(good), 0),
		"cut off":            good[:len(good)-1],
		"filled with a one":  append(slices.Clone(good[:len(good)-1]), good[len(good)-1]|1),
		"too long":           make([]byte, MaxPage+1),
	} {
		if p, err := ParsePage(data); err == nil && !bytes.Equal(p.Encode(), data) {
			t.Errorf("%s accepted", name)
		} else if err == nil {
			t.Errorf("%s is valid: the test is wrong", name)
		}
	}
}

func TestPKI_2_FlipIsSymmetricDifference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := drawPage(rt), drawPage(rt)
		got := NewPage(a...).flip(NewPage(b...).spans(), 0)
		var want []uint16
		for _, i := range append(slices.Clone(a), b...) {
			_, inA := slices.BinarySearch(a, i)
			_, inB := slices.BinarySearch(b, i)
			if inA != inB {
				want = append(want, i)
			}
		}
		if !bytes.Equal(got.Encode(), NewPage(want...).Encode()) {
			rt.Fatal("not the symmetric difference")
		}
	})
}

func FuzzParsePage(f *testing.F) {
	f.Add(NewPage(1, 2, 70, 9000).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePage(data)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Encode(), data) {
			t.Fatal("a second encoding of one set")
		}
	})
}
