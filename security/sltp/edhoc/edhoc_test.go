package edhoc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	if s == "-" {
		return []byte{}
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRFC9529_4_Invalid has the invalid messages of RFC 9529 chapter 4. Those
// of method 3 are turned into method 0 first, so that the fault is the one meant.
func TestRFC9529_4_Invalid(t *testing.T) {
	const gx = "58 20 74 1a 13 d7 ba 04 8f bb 61 5e 94 38 6a a3 b6 1b ea 5b 3d 8f 65 f3 26 20 b7 49 be e8 d2 78 ef a9"
	for _, tc := range []struct {
		name, msg string
		want      error
	}{
		{"valid", "00 02 " + gx + " 0e", nil},
		{"array around the message", "84 00 02 " + gx + " 0e", ErrMalformed},
		{"bstr around a short ID", "00 02 " + gx + " 41 0e", ErrMalformed},
		{"array around one suite", "00 81 02 " + gx + " 0e", ErrMalformed},
		{"text for G_X", "00 02 78 20 20 61 69 72 20 73 70 65 65 64 20 6F 66 20 61 20 75 6E 6C 61 64 65 6E 20 73 77 61 6C 6C 6F 77 20 0e", ErrMalformed},
		{"short G_X", "00 02 58 1f d9 69 77 25 d2 3a 68 8b 12 d1 c7 e0 10 8a 08 c9 f7 1a 85 a0 9c 20 81 49 76 ab 21 12 22 48 fc 0e", ErrMalformed},
		{"long form of the method", "19 00 00 02 " + gx + " 0e", ErrMalformed},
		{"indefinite array", "00 9f 06 02 ff " + gx + " 0e", ErrMalformed},
		{"method 3", "03 02 " + gx + " 0e", ErrRejected},
		{"x beyond the field", "00 02 58 20 ff ff ff ff 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff ff ff ff ff 0e", ErrRejected},
		{"x not on the curve", "00 02 58 20 a0 4e 73 60 1d f5 44 a7 0b a7 ea 1e 57 03 0f 7d 4b 4e b7 f6 73 92 4e 58 d5 4c a7 7a 5e 7d 4d 4a 0e", ErrRejected},
		{"point of low order", "00 00 58 20 ed ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff 7f 0e", ErrRejected},
		{"all zeros", "00 06 58 20" + strings.Repeat(" 00", 32) + " 0e", ErrRejected},
		{"suite twice", "00 82 02 02 " + gx + " 0e", ErrMalformed},
		{"nothing", "", ErrMalformed},
		{"EAD value without label", "00 02 " + gx + " 0e 41 00", ErrMalformed},
		{"two EAD values", "00 02 " + gx + " 0e 01 41 00 41 00", ErrMalformed},
		{"text in EAD", "00 02 " + gx + " 0e 61 61", ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Every suite goes on its own, so that each can be the selected one.
			var err error
			for _, s := range []Suite{Suite2, Suite0, Suite6} {
				res, e := NewResponder(Config{Suites: []Suite{s}})
				if e != nil {
					t.Fatal(e)
				}
				if _, err = res.Message1(unhex(t, tc.msg)); err != nil {
					if _, ok := errors.AsType[*SuiteError](err); ok {
						continue
					}
					break
				}
				_, err = res.Message2([]byte{1}, testIdentity(t, s), nil)
				break
			}
			if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

// TestRFC9529_4_InvalidPlaintext has those whose fault is under encryption, and
// a message_2 of two items.
func TestRFC9529_4_InvalidPlaintext(t *testing.T) {
	for _, tc := range []struct{ name, plain string }{
		{"map around kid", "27 a1 04 42 32 10 48 fa 5e fa 2e bf 92 0b f3"},
		{"bstr around short kid", "27 41 32 48 fa 5e fa 2e bf 92 0b f3"},
		{"no signature", "27 32"},
		{"text for the signature", "27 32 61 61"},
	} {
		if _, err := parsePlaintext(unhex(t, tc.plain), true); err == nil {
			t.Errorf("%s: accepted", tc.name)
		}
	}
	ini, _ := begun(t, Suite2)
	if _, err := ini.Message2(unhex(t, "58 20 41 97 01 d7 f0 0a 26 c2 dc 58 7a 36 dd 75 25 49 f3 37 63 c8 93 42 2c 8e a0 f9 55 a1 3a 4f f5 d5 4B 98 62 a1 1d e4 2a 95 d7 85 38 6a")); !errors.Is(err, ErrMalformed) {
		t.Errorf("two items in message_2: %v", err)
	}
}

func everySuite() []Suite { return []Suite{Suite0, Suite2, Suite3, Suite6, SuiteHybrid} }

func testIdentity(t testing.TB, s Suite) Identity {
	t.Helper()
	id := Identity{ID: IDCred{KID: []byte{0x2b}}, Cred: encode("credential")}
	if s == Suite0 {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		id.Signer = key
		return id
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id.Signer = key
	return id
}

func begun(t testing.TB, s Suite) (*Initiator, []byte) {
	t.Helper()
	ini, err := NewInitiator(Config{Suites: []Suite{s}})
	if err != nil {
		t.Fatal(err)
	}
	m1, err := ini.Message1([]Suite{s}, []byte("initiate"), []EAD{{Label: 1}, {Label: 5, Value: []byte{}}})
	if err != nil {
		t.Fatal(err)
	}
	return ini, m1
}

// exchange runs all four messages and gives both ends.
func exchange(t testing.TB, s Suite, idI, idR Identity) (*Initiator, *Responder) {
	t.Helper()
	ini, m1 := begun(t, s)
	res, err := NewResponder(Config{Suites: []Suite{s}})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	hello, err := res.Message1(m1)
	must(err)
	if diff := cmp.Diff(Hello{CID: []byte("initiate"), Suite: s, EAD: []EAD{{Label: 1}, {Label: 5, Value: []byte{}}}}, hello); diff != "" {
		t.Error(diff)
	}
	m2, err := res.Message2([]byte{}, idR, []EAD{{Label: -2, Value: []byte{2}}})
	must(err)
	claim, err := ini.Message2(m2)
	must(err)
	if diff := cmp.Diff(Claim{CID: []byte{}, ID: idR.ID}, claim); diff != "" {
		t.Error(diff)
	}
	ead, err := ini.Authenticate(idR.Cred, idR.Signer.Public())
	must(err)
	if diff := cmp.Diff([]EAD{{Label: -2, Value: []byte{2}}}, ead); diff != "" {
		t.Error(diff)
	}
	m3, err := ini.Message3(idI, []EAD{{Label: -3}})
	must(err)
	claim, err = res.Message3(m3)
	must(err)
	if diff := cmp.Diff(Claim{ID: idI.ID}, claim); diff != "" {
		t.Error(diff)
	}
	ead, err = res.Authenticate(idI.Cred, idI.Signer.Public())
	must(err)
	if diff := cmp.Diff([]EAD{{Label: -3}}, ead); diff != "" {
		t.Error(diff)
	}
	m4, err := res.Message4([]EAD{{Label: 0}, {Label: 4, Value: []byte{4}}})
	must(err)
	ead, err = ini.Message4(m4)
	must(err)
	if diff := cmp.Diff([]EAD{{Label: 0}, {Label: 4, Value: []byte{4}}}, ead); diff != "" {
		t.Error(diff)
	}
	return ini, res
}

func TestEDHOC_5_EverySuiteAndCredential(t *testing.T) {
	der := bytes.Repeat([]byte{0x30}, 300)
	for _, s := range everySuite() {
		for _, id := range []IDCred{
			{KID: []byte{}},
			{KID: []byte{0x17}},
			{KID: []byte{0x18}},
			{KID: []byte("a longer key ID")},
			X5T(der),
			{Hash: bytes.Repeat([]byte{7}, 32)},
			X5Chain([][]byte{der}), X5Chain([][]byte{der, der[:20]}),
		} {
			i, r := testIdentity(t, s), testIdentity(t, s)
			i.ID, r.ID, r.Cred = id, id, CertCred(der)
			ini, res := exchange(t, s, i, r)
			a, err1 := ini.Export(40000, []byte("context"), 48)
			b, err2 := res.Export(40000, []byte("context"), 48)
			if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, b) || ini.TH4() != res.TH4() || ini.Suite() != res.Suite() {
				t.Errorf("%v, %+v: exports differ: %v", s, id, err)
			}
			c, err := ini.Export(40001, []byte("context"), 48)
			if err != nil || bytes.Equal(a, c) {
				t.Errorf("%v: two labels, one export: %v", s, err)
			}
			ini.Close()
			res.Close()
			if _, err := ini.Export(40000, nil, 1); !errors.Is(err, ErrStep) {
				t.Errorf("export after Close: %v", err)
			}
		}
	}
}

// TestEDHOC_6_Acceptable has the examples of RFC 9528 section 6.3.2 and the
// rule that defeats a forged error message.
func TestEDHOC_6_Acceptable(t *testing.T) {
	for _, tc := range []struct {
		list, own []Suite
		ok        bool
	}{
		{[]Suite{5}, []Suite{6}, false},
		{[]Suite{5, 6}, []Suite{6}, true},
		{[]Suite{5, 6}, []Suite{8, 9}, false},
		{[]Suite{5, 6, 7, 8}, []Suite{9, 8}, true},
		{[]Suite{5, 6}, []Suite{5, 6}, false}, // 5 is preferred and supported
		{[]Suite{6, 5}, []Suite{5}, true},
		{[]Suite{2}, []Suite{6, 2}, true},
		{[]Suite{SuiteHybrid}, []Suite{SuiteHybrid, 6, 3, 2}, true},
		{[]Suite{SuiteHybrid, 6}, []Suite{SuiteHybrid, 6}, false}, // the downgrade of a forged error
		{[]Suite{SuiteHybrid, 6}, []Suite{6, 3, 2}, true},
	} {
		wrong, ok := Acceptable(tc.list, tc.own)
		if ok != tc.ok || !ok && !slices.Equal(wrong, tc.own) {
			t.Errorf("Acceptable(%v, %v) = %v, %v", tc.list, tc.own, wrong, ok)
		}
	}
	for _, tc := range []struct{ own, peer, want []Suite }{
		{[]Suite{6, 3, 2}, nil, []Suite{6}},
		{[]Suite{6, 3, 2}, []Suite{2, 3}, []Suite{6, 3}},
		{[]Suite{6, 3, 2}, []Suite{9}, nil},
		{[]Suite{SuiteHybrid, 6, 3, 2}, nil, []Suite{SuiteHybrid}},
		{[]Suite{SuiteHybrid, 6, 3, 2}, []Suite{2, 6}, []Suite{SuiteHybrid, 6}},
	} {
		if got := Propose(tc.own, tc.peer); !slices.Equal(got, tc.want) {
			t.Errorf("Propose(%v, %v) = %v", tc.own, tc.peer, got)
		}
	}
	res, err := NewResponder(Config{Suites: []Suite{Suite2, Suite3}})
	if err != nil {
		t.Fatal(err)
	}
	_, m1 := begun(t, Suite6)
	_, err = res.Message1(m1)
	se, ok := errors.AsType[*SuiteError](err)
	if !ok || !slices.Equal(se.Suites, []Suite{Suite2, Suite3}) || string(se.CID) != "initiate" {
		t.Errorf("Message1 = %v", err)
	}
	if !strings.Contains(err.Error(), "2") {
		t.Errorf("error says %q", err)
	}
}

func TestEDHOC_6_ErrorMessage(t *testing.T) {
	for _, tc := range []struct {
		m    ErrorMessage
		want string
	}{
		{ErrorMessage{Code: 1, Text: "no"}, "01626e6f"},
		{ErrorMessage{Code: 2, Suites: []Suite{2}}, "0202"},
		{ErrorMessage{Code: 2, Suites: []Suite{2, 3}}, "02820203"},
		{ErrorMessage{Code: 3}, "03f5"},
		{ErrorMessage{Code: 62225, Info: []byte{0x41, 7}}, "19f3114107"},
		{ErrorMessage{Code: -5}, "24f5"},
	} {
		if got := hex.EncodeToString(tc.m.Encode()); got != tc.want {
			t.Errorf("%+v = %s, want %s", tc.m, got, tc.want)
		}
		got, err := ParseError(tc.m.Encode())
		if err != nil || !reflect.DeepEqual(got, tc.m) || !IsError(tc.m.Encode()) {
			t.Errorf("ParseError(%s) = %+v, %v", tc.want, got, err)
		}
	}
	for _, bad := range []string{"", "00f5", "03", "03f5f5", "0102", "0281", "028102", "6161f5", "01" + "79ffff", "410041"} {
		if got, err := ParseError(unhex(t, bad)); err == nil {
			t.Errorf("ParseError(%s) = %+v", bad, got)
		}
	}
}

// TestEDHOC_9_NoEADBeforeTheSignature: a wrong key gives no EAD and ends the exchange.
func TestEDHOC_9_NoEADBeforeTheSignature(t *testing.T) {
	idI, idR, other := testIdentity(t, Suite2), testIdentity(t, Suite2), testIdentity(t, Suite2)
	for _, tc := range []struct {
		name string
		id   Identity
		want error
	}{
		{"another key", Identity{Signer: other.Signer, Cred: idR.Cred}, ErrRejected},
		{"another kind of key", Identity{Signer: testIdentity(t, Suite0).Signer, Cred: idR.Cred}, ErrRejected},
		{"another credential", Identity{Signer: idR.Signer, Cred: encode("another")}, ErrRejected},
		{"no CBOR", Identity{Signer: idR.Signer, Cred: []byte{0xff}}, ErrRejected},
	} {
		ini, m1 := begun(t, Suite2)
		res, err := NewResponder(Config{Suites: []Suite{Suite2}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := res.Message1(m1); err != nil {
			t.Fatal(err)
		}
		m2, err := res.Message2([]byte{1}, idR, []EAD{{Label: 9}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ini.Message2(m2); err != nil {
			t.Fatal(err)
		}
		ead, err := ini.Authenticate(tc.id.Cred, tc.id.Signer.Public())
		if !errors.Is(err, tc.want) || ead != nil {
			t.Errorf("%s: %v, %v", tc.name, ead, err)
		}
		if _, err := ini.Message3(idI, nil); !errors.Is(err, ErrStep) {
			t.Errorf("%s: message_3 after that: %v", tc.name, err)
		}
	}
}

func TestEDHOC_KeysPrintRedacted(t *testing.T) {
	ini, res := exchange(t, Suite2, testIdentity(t, Suite2), testIdentity(t, Suite2))
	for _, v := range []any{ini, res, ini.sched, &ini.sched, ini.sched.out, ini.sched.exp} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, hex.EncodeToString(ini.sched.out.b[:4])) || !strings.HasPrefix(got, "[") {
				t.Errorf("%T prints as %.60s", v, got)
			}
		}
	}
}
