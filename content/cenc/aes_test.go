package cenc

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"testing"
)

// sameCBC holds CBC decryption against the standard library's: in one piece and
// in two, so that the vector is carried on.
func sameCBC(t *testing.T, key [KeySize]byte, iv IV, data []byte, cut int) {
	t.Helper()
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	data = data[:len(data)/BlockSize*BlockSize]
	want := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv[:]).CryptBlocks(want, data)
	mode := newCBCDecrypter(&key, block)
	mode.(interface{ SetIV([]byte) }).SetIV(iv[:])
	got := bytes.Clone(data)
	cut = min(max(cut, 0), len(data)/BlockSize) * BlockSize
	mode.CryptBlocks(got[:cut], got[:cut])
	mode.CryptBlocks(got[cut:], got[cut:])
	if !bytes.Equal(got, want) {
		t.Fatalf("%d blocks, cut at %d: not what the standard library says", len(data)/BlockSize, cut/BlockSize)
	}
}

func TestCENC_CBCDecryptionAgreesWithTheStandardLibrary(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	fill := func(b []byte) {
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
	}
	for blocks := range 70 {
		var key [KeySize]byte
		var iv IV
		fill(key[:])
		fill(iv[:])
		data := make([]byte, blocks*BlockSize+3)[3:] // not aligned
		fill(data)
		for cut := range blocks + 1 {
			sameCBC(t, key, iv, data, cut)
		}
	}
}

// TestNIST_SP80038A_F22 is the vector of CBC-AES128.Decrypt.
func TestNIST_SP80038A_F22(t *testing.T) {
	un := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	k, err := NewContentKey(un("2b7e151628aed2a6abf7158809cf4f3c"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCipher(k)
	if err != nil {
		t.Fatal(err)
	}
	data := un("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7")
	s := Sample{Scheme: SchemeCBCS, IV: IV(un("000102030405060708090a0b0c0d0e0f")), Data: data}
	if err := c.Decrypt(&s); err != nil {
		t.Fatal(err)
	}
	if want := un("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"); !bytes.Equal(data, want) {
		t.Errorf("got %x, want %x", data, want)
	}
}

func FuzzCBC(f *testing.F) {
	f.Add(bytes.Repeat([]byte{7}, 32), make([]byte, 16*9), 3)
	f.Fuzz(func(t *testing.T, head, data []byte, cut int) {
		if len(head) < 32 {
			return
		}
		sameCBC(t, [KeySize]byte(head), IV(head[16:]), data, cut)
	})
}

// sameCTR holds a key stream against that of the standard library's counter, over
// ranges of every length, and near the wrap of the low half.
func sameCTR(t *testing.T, key [KeySize]byte, iv IV, data []byte, cut int) {
	t.Helper()
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	want, got := bytes.Clone(data), bytes.Clone(data)
	cut = min(max(cut, 0), len(data))
	slow, fast := &counter{block: block}, newKeyStream(&key, block)
	slow.reset(iv)
	fast.reset(iv)
	for _, part := range [][2]int{{0, cut}, {cut, len(data)}} {
		slow.xor(want[part[0]:part[1]])
		fast.xor(got[part[0]:part[1]])
	}
	fast.done()
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, cut at %d, from %x: another key stream", len(data), cut, iv)
	}
}

func TestCENC_CounterAgreesWithTheStandardLibrary(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test
	for range 3000 {
		var key [KeySize]byte
		var iv IV
		for i := range key {
			key[i], iv[i] = byte(rnd.Uint32()), byte(rnd.Uint32())
		}
		switch rnd.IntN(3) {
		case 0:
			clear(iv[8:])
		case 1: // the low half wraps soon
			copy(iv[8:], "\xff\xff\xff\xff\xff\xff\xff")
		}
		data := make([]byte, rnd.IntN(1500)+1)[rnd.IntN(2)%2:]
		if len(data) > 0 {
			sameCTR(t, key, iv, data, rnd.IntN(len(data)+1))
		}
	}
}

func FuzzCTR(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xff}, 32), make([]byte, 1100), 3)
	f.Fuzz(func(t *testing.T, head, data []byte, cut int) {
		if len(head) < 32 {
			return
		}
		sameCTR(t, [KeySize]byte(head), IV(head[16:]), data, cut)
	})
}

func BenchmarkCTR(b *testing.B) {
	c, err := NewCipher(GenerateKey())
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{200, 1 << 16} {
		s := Sample{Scheme: SchemeCENC, Data: make([]byte, size)}
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Decrypt(&s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCBCDecrypt(b *testing.B) {
	k := GenerateKey()
	c, err := NewCipher(k)
	if err != nil {
		b.Fatal(err)
	}
	s := Sample{Scheme: SchemeCBCS, Data: make([]byte, 1<<20)}
	b.SetBytes(1 << 20)
	for b.Loop() {
		if err := c.Decrypt(&s); err != nil {
			b.Fatal(err)
		}
	}
}
