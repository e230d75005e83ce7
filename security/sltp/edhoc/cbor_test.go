package edhoc

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
)

// TestCBOR_SameAsWire compares what is written by hand here with the encoder
// that everything else goes through, at every boundary of a head.
func TestCBOR_SameAsWire(t *testing.T) {
	check := func(v any, got []byte) {
		t.Helper()
		want, err := wire.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%.40v is %.40x, want %.40x", v, got, want)
		}
	}
	for _, v := range []int64{0, 1, 23, 24, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64} {
		for _, n := range []int64{v, -v, -1 - v} {
			check(n, appendInt(nil, n))
			if got, err := intOf(appendInt(nil, n)); err != nil || got != n {
				t.Errorf("intOf(%d) = %d, %v", n, got, err)
			}
		}
	}
	check(uint64(math.MaxUint64), appendHead(nil, majorUint, math.MaxUint64))
	for _, n := range []int{0, 1, 23, 24, 255, 256, 65535, 65536, 70000} {
		b := bytes.Repeat([]byte{7}, n)
		check(b, bstr(b))
		if got, err := bytesOf(bstr(b)); err != nil || !bytes.Equal(got, b) {
			t.Errorf("bytesOf a string of %d bytes: %d, %v", n, len(got), err)
		}
	}
	der, short := bytes.Repeat([]byte{0x30}, 300), []byte("12345678")
	for _, tc := range []struct {
		id   IDCred
		want any
	}{
		{X5Chain([][]byte{der}), map[int][]byte{33: der}},
		{X5Chain([][]byte{der, der[:9], der[:24]}), map[int][][]byte{33: {der, der[:9], der[:24]}}},
		{IDCred{Hash: short}, map[int][]any{34: {-15, short}}},
		{IDCred{Hash: der[:32]}, map[int][]any{34: {-16, der[:32]}}},
		{IDCred{KID: short}, map[int][]byte{4: short}},
	} {
		got, err := tc.id.header()
		if err != nil {
			t.Fatal(err)
		}
		check(tc.want, got)
	}
	s := schedule{th: [hashLen]byte{9}}
	check([]any{"Encrypt0", []byte{}, s.th[:]}, s.aad())
	aad := append(append(bstr(s.th[:]), bstr(der)...), 1)
	check([]any{"Signature1", short, aad, der[:32]}, s.toBeSigned(short, bstr(der), []byte{1}, der[:32]))
	check([]Suite{SuiteHybrid, Suite6, Suite2}, encodeSuites([]Suite{SuiteHybrid, Suite6, Suite2}))
	check(SuiteHybrid, encodeSuites([]Suite{SuiteHybrid}))
}

// TestCBOR_IntegersTooLong: CBOR has integers that no int64 holds.
func TestCBOR_IntegersTooLong(t *testing.T) {
	for _, hex := range []string{"1b8000000000000000", "3b8000000000000000", "1bffffffffffffffff"} {
		if v, err := intOf(unhex(t, hex)); err == nil {
			t.Errorf("%s is %d", hex, v)
		}
		if _, err := parseEAD(unhex(t, hex)); err == nil {
			t.Errorf("%s is an EAD label", hex)
		}
		if _, err := parseSuites(unhex(t, hex)); err == nil {
			t.Errorf("%s is a suite", hex)
		}
	}
}

// TestCBOR_IDCred has maps that are no name of a credential.
func TestCBOR_IDCred(t *testing.T) {
	for _, hex := range []string{
		"a0", "a2" + "182141aa" + "1822822e480102030405060708", "a1614141aa", // no pair, two, text as the label
		"a1182140", "a118218141aa", "a118218241aa40", "a1182189" + strings.Repeat("41aa", 9), "a11821f6", "a118218201" + "02", // x5chain
		"a1182241aa", "a11822812e", "a11822832e48010203040506070801", "a11822822f480102030405060708", "a11822822e4701020304050607", // x5t
		"a118228261" + "61480102030405060708", "a11822822e6161", "a104412a", "a10401", // text in it; kid as a map
		"a13b800000000000000041aa", // a label that no int64 holds
	} {
		item := unhex(t, hex)
		if err := wire.Check(item, wire.Limit{}); err != nil {
			t.Fatalf("%s does not even get there: %v", hex, err)
		}
		if id, err := parseIDCred(item); err == nil {
			t.Errorf("%s is %+v", hex, id)
		}
	}
}
