package cenc_test

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
)

// slow encrypts a sample byte by byte from the words of ISO/IEC 23001-7 as this
// project understands them: one block at a time, no modes of the library.
func slow(t *testing.T, key []byte, s cenc.Sample) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(s.Data)
	subs := s.Subsamples
	if len(subs) == 0 {
		subs = []cenc.Subsample{{Protected: uint32(len(out))}}
	}
	ctr := s.Scheme == cenc.SchemeCENC || s.Scheme == cenc.SchemeCENS
	counter, chain := [16]byte(s.IV), [16]byte(s.IV)
	stream, used := [16]byte{}, 16
	keyByte := func() byte {
		if used == 16 {
			block.Encrypt(stream[:], counter[:])
			binary.BigEndian.PutUint64(counter[8:], binary.BigEndian.Uint64(counter[8:])+1)
			used = 0
		}
		used++
		return stream[used-1]
	}
	pos := 0
	for _, sub := range subs {
		pos += int(sub.Clear)
		end := pos + int(sub.Protected)
		if s.Scheme == cenc.SchemeCBCS {
			chain = [16]byte(s.IV)
		}
		for n := 0; pos < end; n++ {
			size := min(16, end-pos)
			// A group of Crypt blocks that does not end within the range stays clear.
			if at := n % max(int(s.Crypt+s.Skip), 1); s.Skip > 0 && at >= int(s.Crypt) {
				pos += size
				continue
			} else if s.Skip > 0 && end-pos < 16*(int(s.Crypt)-at) {
				pos = end
				continue
			}
			b := out[pos : pos+size]
			switch {
			case s.Scheme == cenc.SchemeCENS && size < 16: // whole blocks only
			case ctr:
				for i := range b {
					b[i] ^= keyByte()
				}
			case size == 16:
				for i := range b {
					b[i] ^= chain[i]
				}
				block.Encrypt(b, b)
				chain = [16]byte(b)
			}
			pos += size
		}
	}
	return out
}

func TestCENC_AllSchemesAgreeWithTheSlowWay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	fill := func(b []byte) []byte {
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCENS, cenc.SchemeCBC1, cenc.SchemeCBCS} {
		for range 300 {
			s := cenc.Sample{Scheme: scheme, IV: cenc.IV(fill(make([]byte, 16)))}
			if scheme == cenc.SchemeCENS || scheme == cenc.SchemeCBCS {
				if p := rnd.IntN(4); p > 0 {
					s.Crypt, s.Skip = uint8(1+rnd.IntN(3)), uint8(rnd.IntN(10)) //nolint:gosec // small
				}
			}
			if rnd.IntN(3) == 0 { // the counter wraps within the sample
				binary.BigEndian.PutUint64(s.IV[8:], -uint64(rnd.IntN(4)))
			}
			n := rnd.IntN(600)
			for range rnd.IntN(4) {
				sub := cenc.Subsample{Clear: uint32(rnd.IntN(40)), Protected: uint32(rnd.IntN(300))} //nolint:gosec // small
				if scheme == cenc.SchemeCBC1 {
					sub.Protected &^= 15
				}
				s.Subsamples = append(s.Subsamples, sub)
			}
			if len(s.Subsamples) > 0 {
				n = 0
				for _, sub := range s.Subsamples {
					n += int(sub.Clear + sub.Protected)
				}
			}
			raw, plain := fill(make([]byte, 16)), fill(make([]byte, n))
			s.Data = bytes.Clone(plain)
			want := slow(t, raw, s)
			key, err := cenc.NewContentKey(raw)
			if err != nil {
				t.Fatal(err)
			}
			c, err := cenc.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Encrypt(&s); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.Data, want) {
				t.Fatalf("%v %d:%d iv %x subsamples %v: got %x, want %x", scheme, s.Crypt, s.Skip, s.IV, s.Subsamples, s.Data, want)
			}
			if err := c.Decrypt(&s); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.Data, plain) {
				t.Fatalf("%v %d:%d does not decrypt to what was encrypted", scheme, s.Crypt, s.Skip)
			}
		}
	}
}

// TestCENC_CounterWrapsIn64Bits shows the vector that tells the schemes' counter
// from CTR mode's 128-bit one (NIST SP 800-38A counts over the whole block).
func TestCENC_CounterWrapsIn64Bits(t *testing.T) {
	raw, err := hex.DecodeString("2b7e151628aed2a6abf7158809cf4f3c")
	if err != nil {
		t.Fatal(err)
	}
	iv, err := cenc.NewIV(append([]byte{1, 2, 3, 4, 5, 6, 7, 8}, bytes.Repeat([]byte{0xff}, 8)...))
	if err != nil {
		t.Fatal(err)
	}
	key, err := cenc.NewContentKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cenc.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	s := cenc.Sample{Scheme: cenc.SchemeCENC, IV: iv, Data: make([]byte, 32)}
	if err := c.Encrypt(&s); err != nil {
		t.Fatal(err)
	}
	block, err := key.Block()
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 16)
	block.Encrypt(want, []byte{1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0})
	if !bytes.Equal(s.Data[16:], want) {
		t.Errorf("second block %x, want %x", s.Data[16:], want)
	}
}

func TestCENC_RefusesWhatDoesNotFit(t *testing.T) {
	c, err := cenc.NewCipher(cenc.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		s    cenc.Sample
		want error
	}{
		"no scheme":          {cenc.Sample{}, cenc.ErrScheme},
		"pattern in cenc":    {cenc.Sample{Scheme: cenc.SchemeCENC, Crypt: 1, Skip: 9}, cenc.ErrPattern},
		"pattern 0:9":        {cenc.Sample{Scheme: cenc.SchemeCBCS, Skip: 9}, cenc.ErrPattern},
		"pattern over 15":    {cenc.Sample{Scheme: cenc.SchemeCBCS, Crypt: 16}, cenc.ErrPattern},
		"short":              {cenc.Sample{Scheme: cenc.SchemeCENC, Subsamples: []cenc.Subsample{{1, 16}}, Data: make([]byte, 18)}, cenc.ErrSample},
		"long":               {cenc.Sample{Scheme: cenc.SchemeCENC, Subsamples: []cenc.Subsample{{1, 16}, {0, 16}}, Data: make([]byte, 18)}, cenc.ErrSample},
		"overflow":           {cenc.Sample{Scheme: cenc.SchemeCENC, Subsamples: []cenc.Subsample{{1 << 31, 1 << 31}, {0, 16}}, Data: make([]byte, 16)}, cenc.ErrSample},
		"cbc1 partial block": {cenc.Sample{Scheme: cenc.SchemeCBC1, Subsamples: []cenc.Subsample{{0, 17}}, Data: make([]byte, 17)}, cenc.ErrSample},
	} {
		before := slices.Clone(tc.s.Data)
		if err := c.Decrypt(&tc.s); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if !bytes.Equal(before, tc.s.Data) {
			t.Errorf("%s: data was changed", name)
		}
	}
	if _, err := cenc.NewIV(make([]byte, 12)); !errors.Is(err, cenc.ErrIV) {
		t.Errorf("IV of 12 bytes: %v", err)
	}
	if _, err := cenc.NewCipher(cenc.ContentKey{}); !errors.Is(err, cenc.ErrKey) {
		t.Errorf("zero key: %v", err)
	}
}

func ExampleCipher() {
	key, err := cenc.NewContentKey([]byte("16 bytes of key."))
	if err != nil {
		return
	}
	c, err := cenc.NewCipher(key)
	if err != nil {
		return
	}
	s := cenc.Sample{
		Scheme: cenc.SchemeCENC, IV: cenc.IV{1},
		Subsamples: []cenc.Subsample{{Clear: 5, Protected: 7}},
		Data:       []byte("head:picture"),
	}
	fmt.Println(key, c.Encrypt(&s) == nil, string(s.Data[:5]), string(s.Data[5:]) == "picture")
	fmt.Println(c.Decrypt(&s) == nil, string(s.Data))
	// Output:
	// [content key] true head: false
	// true head:picture
}

func BenchmarkDecrypt(b *testing.B) {
	sample := func(scheme cenc.Scheme, crypt, skip uint8, subs []cenc.Subsample) cenc.Sample {
		return cenc.Sample{Scheme: scheme, Crypt: crypt, Skip: skip, Subsamples: subs, Data: make([]byte, 50_000)}
	}
	video := []cenc.Subsample{{Clear: 100, Protected: 24_900}, {Clear: 104, Protected: 24_896}}
	for name, s := range map[string]cenc.Sample{
		"cenc/video": sample(cenc.SchemeCENC, 0, 0, video),
		"cbcs/1:9":   sample(cenc.SchemeCBCS, 1, 9, video),
		"cbcs/whole": sample(cenc.SchemeCBCS, 0, 0, nil),
	} {
		b.Run(name, func(b *testing.B) {
			c, err := cenc.NewCipher(cenc.GenerateKey())
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(s.Data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Decrypt(&s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
