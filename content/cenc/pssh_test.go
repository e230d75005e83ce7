package cenc_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// w3cPSSH is a common pssh with two key IDs, built field by field.
func w3cPSSH() []byte {
	return append([]byte("\x00\x00\x00\x44pssh\x01\x00\x00\x00"+
		"\x10\x77\xef\xec\xc0\xb2\x4d\x02\xac\xe3\x3c\x1e\x52\xe2\xfb\x4b"+
		"\x00\x00\x00\x02"+"0123456789012345"+"ABCDEFGHIJKLMNOP"), 0, 0, 0, 0)
}

func TestPSSH_CommonVersion1(t *testing.T) {
	p, err := cenc.ParsePSSH(w3cPSSH())
	if err != nil {
		t.Fatal(err)
	}
	want := &cenc.PSSH{Version: 1, System: cenc.CommonSystem(), KIDs: []ident.Key{ident.Key([]byte("0123456789012345")), ident.Key([]byte("ABCDEFGHIJKLMNOP"))}}
	if d := cmp.Diff(want, p); d != "" {
		t.Error(d)
	}
	if b, err := p.Encode(); err != nil || !bytes.Equal(b, w3cPSSH()) {
		t.Errorf("encodes as %x, %v", b, err)
	}
	if s := p.System.String(); s != "1077efec-c0b2-4d02-ace3-3c1e52e2fb4b" {
		t.Errorf("system %s", s)
	}
	if s := cenc.ClearKeySystem().String(); s != "e2719d58-a985-b3c9-781a-b030af78d30e" {
		t.Errorf("Clear Key is %s", s)
	}
}

func TestPSSH_Refusals(t *testing.T) {
	for name, p := range map[string]cenc.PSSH{
		"key IDs in version 0": {KIDs: make([]ident.Key, 1)},
		"version 2":            {Version: 2},
		"too many key IDs":     {Version: 1, KIDs: make([]ident.Key, cenc.MaxPSSHKIDs+1)},
		"too long":             {Data: make([]byte, cenc.MaxPSSH)},
	} {
		if _, err := p.Encode(); !errors.Is(err, cenc.ErrPSSH) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := w3cPSSH()
	for i := range good {
		if _, err := cenc.ParsePSSH(good[:i]); !errors.Is(err, cenc.ErrPSSH) {
			t.Errorf("cut to %d: %v", i, err)
		}
	}
}

func FuzzPSSH(f *testing.F) {
	f.Add(w3cPSSH())
	v0, err := base64.StdEncoding.DecodeString("AAAAInBzc2gAAAAA7e+LqXnWSs6jyCfc1R0h7QAAAAIIAQ==")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v0)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := cenc.ParsePSSH(data)
		if err != nil {
			return
		}
		b, err := p.Encode()
		if err != nil || !bytes.Equal(b, data) {
			t.Errorf("encodes as %x, %v, was %x", b, err, data)
		}
	})
}
