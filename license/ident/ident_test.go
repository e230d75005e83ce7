package ident_test

import (
	"crypto/sha256"
	"encoding"
	"errors"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

func TestLicense_1_IDsReadWhatTheyPrint(t *testing.T) {
	lic, dev, dom, req, kid := ident.NewLicense(), ident.DeviceOf([]byte("spki")), ident.NewDomain(), ident.NewRequest(), ident.NewKey()
	content, issuer, binary := ident.Content("film-1"), ident.Issuer("shop.example"), ident.Content("\x00\xff")
	for name, p := range map[string]struct {
		out encoding.TextMarshaler
		in  encoding.TextUnmarshaler
	}{
		"license": {lic, new(ident.License)}, "device": {dev, new(ident.Device)}, "domain": {dom, new(ident.Domain)}, "request": {req, new(ident.Request)},
		"key": {kid, new(ident.Key)}, "content": {content, new(ident.Content)}, "issuer": {issuer, new(ident.Issuer)}, "binary content": {binary, new(ident.Content)},
	} {
		text, err := p.out.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.in.UnmarshalText(text); err != nil {
			t.Errorf("%s %s: %v", name, text, err)
			continue
		}
		again, err := p.in.(encoding.TextMarshaler).MarshalText()
		if err != nil || string(again) != string(text) {
			t.Errorf("%s: %s reads as %s", name, text, again)
		}
		for _, bad := range []string{"", "0xzz", strings.Repeat("f", 200)} {
			if err := p.in.UnmarshalText([]byte(bad)); !errors.Is(err, ident.ErrID) {
				t.Errorf("%s: %q gives %v, want ErrID", name, bad, err)
			}
		}
	}
}

func TestLicense_1_DeviceIDIsOfTheKey(t *testing.T) {
	h := sha256.Sum256([]byte("spki"))
	if got := ident.DeviceOf([]byte("spki")); got != ident.Device(h[:16]) {
		t.Errorf("got %v", got)
	}
}

func TestLicense_1_RandomIDsDiffer(t *testing.T) {
	licenses, incarnations, keys := map[ident.License]bool{}, map[ident.Incarnation]bool{}, map[ident.Key]bool{}
	for range 8 {
		licenses[ident.NewLicense()], incarnations[ident.NewIncarnation()], keys[ident.NewKey()] = true, true, true
	}
	if len(licenses) != 8 || len(incarnations) != 8 || len(keys) != 8 || keys[ident.Key{}] {
		t.Error("not random")
	}
}

func TestLicense_1_TransferPrintsShort(t *testing.T) {
	id := ident.Transfer{Src: ident.Device{0xaa}, Dst: ident.Device{0xbb}, Incarnation: ident.Incarnation{0xcc}, Seq: 7}
	if got, want := id.String(), "aa000000>bb000000/cc000000/7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
