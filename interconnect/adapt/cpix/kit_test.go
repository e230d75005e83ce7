package cpix_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt/cpix"
	"github.com/lares-drm/lares/license/ident"
)

// now is when the tests' documents are read.
var now = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// kid and key are those of the vectors.
var (
	kid = ident.Key{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	key = []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
)

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func certificate(tb testing.TB, who string) *x509.Certificate {
	tb.Helper()
	block, _ := pem.Decode(read(tb, "vectors/"+who+".pem"))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func private(tb testing.TB, who string) *rsa.PrivateKey {
	tb.Helper()
	block, _ := pem.Decode(read(tb, "vectors/"+who+".key"))
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return k.(*rsa.PrivateKey)
}

func trust(tb testing.TB, who ...string) cpix.Trust {
	tb.Helper()
	t := cpix.Trust{Now: now}
	for _, w := range who {
		t.Signers = append(t.Signers, certificate(tb, w))
	}
	return t
}

// reveal is a key of a document in hexadecimal, "" when it has none.
func reveal(tb testing.TB, k cenc.ContentKey) string {
	tb.Helper()
	if !k.Valid() {
		return ""
	}
	b, err := k.Reveal()
	if err != nil {
		tb.Fatal(err)
	}
	return hex.EncodeToString(b[:])
}

func contentKey(tb testing.TB, b []byte) cenc.ContentKey {
	tb.Helper()
	k, err := cenc.NewContentKey(b)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// sample is a document with everything that is written.
func sample(tb testing.TB) *cpix.Document {
	tb.Helper()
	yes := true
	return &cpix.Document{
		ContentID: "film & <co>", Name: "a \"film\"", Version: "2.3",
		Keys:    []cpix.Key{{KID: kid, Scheme: cenc.SchemeCBCS, IV: make([]byte, 16), Value: contentKey(tb, key)}, {KID: ident.Key{1}}},
		Systems: []cpix.System{{System: cenc.ClearKeySystem(), KID: kid, PSSH: []byte("pssh"), HLSMedia: []byte("media"), HLSMaster: []byte{}, SmoothStreaming: []byte("a<b")}},
		Periods: []cpix.Period{{ID: "p1", Index: "7", Start: "2027-01-01T00:00:00Z", End: "2027-01-02T00:00:00Z"}},
		Rules: []cpix.Rule{
			{KID: kid, TrackType: "HD", Periods: []string{"p1"}, Labels: []string{"main"}, Video: []cpix.VideoFilter{{MinPixels: 1, MaxPixels: 2, MinFPS: 3, MaxFPS: 4, HDR: &yes}}},
			{KID: ident.Key{1}, Audio: []cpix.AudioFilter{{MinChannels: 1, MaxChannels: 2}}},
		},
	}
}
