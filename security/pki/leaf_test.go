package pki

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/pem"
	"os"
	"slices"
	"testing"
)

// FuzzReadLeaf: what readLeaf takes, crypto/x509 and the profile take as the same.
func FuzzReadLeaf(f *testing.F) {
	rest, err := os.ReadFile("testdata/example.pem")
	if err != nil {
		f.Fatal(err)
	}
	for b, rest := pem.Decode(rest); b != nil; b, rest = pem.Decode(rest) {
		f.Add(b.Bytes)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		got := readLeaf(der)
		if got == nil {
			return
		}
		want, err := read(der, 0)
		if err != nil {
			t.Fatalf("taken, but %v", err)
		}
		same := got.pos == want.pos && got.kind == want.kind && slices.Equal(got.roles, want.roles) && slices.Equal(got.levels, want.levels) &&
			slices.Equal(got.anchors, want.anchors) && (got.sltp == nil) == (want.sltp == nil) && (want.sltp == nil || slices.Equal(got.sltp.Suites, want.sltp.Suites))
		a, b := *got.member, *want.member
		same = same && a.Member == b.Member && a.SVN == b.SVN && a.Interfaces == b.Interfaces && a.Issuer == b.Issuer && a.Range == nil && b.Range == nil && bytes.Equal(a.Implementation, b.Implementation)
		for _, pair := range [][2][]byte{
			{got.Raw, want.Raw},
			{got.RawTBSCertificate, want.RawTBSCertificate},
			{got.RawSubjectPublicKeyInfo, want.RawSubjectPublicKeyInfo},
			{got.RawSubject, want.RawSubject},
			{got.RawIssuer, want.RawIssuer},
			{got.AuthorityKeyId, want.AuthorityKeyId},
			{got.Signature, want.Signature},
		} {
			same = same && bytes.Equal(pair[0], pair[1])
		}
		key, ok := got.PublicKey.(*ecdsa.PublicKey)
		same = same && ok && key.Equal(want.PublicKey) && got.NotBefore.Equal(want.NotBefore) && got.NotAfter.Equal(want.NotAfter)
		same = same && got.KeyUsage == want.KeyUsage && got.IsCA == want.IsCA && got.MaxPathLen == want.MaxPathLen && got.BasicConstraintsValid && want.BasicConstraintsValid &&
			got.Version == want.Version && got.SignatureAlgorithm == want.SignatureAlgorithm && got.PublicKeyAlgorithm == want.PublicKeyAlgorithm
		if !same {
			t.Fatal("taken as something else")
		}
	})
}

// TestPKI_1_ReadLeaf: it takes the certificates of devices that we issue, or it
// would be of no use, and no other certificate of the example.
func TestPKI_1_ReadLeaf(t *testing.T) {
	rest, err := os.ReadFile("testdata/example.pem")
	if err != nil {
		t.Fatal(err)
	}
	var taken []bool
	for b, rest := pem.Decode(rest); b != nil; b, rest = pem.Decode(rest) {
		taken = append(taken, readLeaf(b.Bytes) != nil)
	}
	if want := []bool{true, false, false, false, true}; !slices.Equal(taken, want) { // leaf, class CA, manufacturer CA, root, delivery
		t.Errorf("took %v, want %v", taken, want)
	}
}

// TestPKI_1_CertificateTimes: both forms of a time, and dates that there are not.
func TestPKI_1_CertificateTimes(t *testing.T) {
	for _, tc := range []struct {
		tag  byte
		text string
		want string // RFC 3339, or nothing
	}{
		{tagUTCTime, "260301110000Z", "2026-03-01T11:00:00Z"},
		{tagUTCTime, "500101000000Z", "1950-01-01T00:00:00Z"},
		{tagUTCTime, "240229235959Z", "2024-02-29T23:59:59Z"},
		{tagGeneralizedTime, "20500101000000Z", "2050-01-01T00:00:00Z"},
		{tagGeneralizedTime, "99991231235959Z", "9999-12-31T23:59:59Z"},
		{tagUTCTime, "260229000000Z", ""},
		{tagUTCTime, "261301000000Z", ""},
		{tagUTCTime, "260001000000Z", ""},
		{tagUTCTime, "260100000000Z", ""},
		{tagUTCTime, "260101240000Z", ""},
		{tagUTCTime, "260101006000Z", ""},
		{tagUTCTime, "260101000060Z", ""},
		{tagUTCTime, "2601010000Z", ""},
		{tagUTCTime, "26010100000aZ", ""},
		{tagUTCTime, "260101000000+", ""},
		{tagGeneralizedTime, "260101000000Z", ""},
		{tagUTCTime, "20500101000000Z", ""},
		{tagOctets, "260101000000Z", ""},
	} {
		r := derReader{rest: append([]byte{tc.tag, byte(len(tc.text))}, tc.text...)}
		got, ok := r.time()
		if ok != (tc.want != "") || ok && got.Format("2006-01-02T15:04:05Z07:00") != tc.want {
			t.Errorf("%q: %v, %v; want %q", tc.text, got, ok, tc.want)
		}
	}
}
