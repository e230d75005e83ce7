package cenc_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
)

func TestContentKey_IsNeverPrintedOrMarshalled(t *testing.T) {
	k, err := cenc.NewContentKey([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	type enclosing struct{ inner cenc.ContentKey }
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U"} {
		for _, v := range []any{k, &k, enclosing{k}, &enclosing{k}, []cenc.ContentKey{k}, map[string]cenc.ContentKey{"k": k}} {
			s := fmt.Sprintf(verb, v)
			for _, leak := range []string{"0123", "3031", "48 49", "48, 49", "0x30, 0x31", "['0' '1'", "U+0030"} {
				if strings.Contains(s, leak) {
					t.Errorf("%s of %T prints the key: %s", verb, v, s)
				}
			}
		}
	}
	if b, err := json.Marshal(k); err == nil {
		t.Errorf("json: %s", b)
	}
	if b, err := wire.Marshal(k); err == nil {
		t.Errorf("cbor: %x", b)
	}
	if err := gob.NewEncoder(&bytes.Buffer{}).Encode(k); err == nil {
		t.Error("gob encodes a key")
	}
}

func TestContentKey_EqualAndClear(t *testing.T) {
	a, b := cenc.GenerateKey(), cenc.GenerateKey()
	raw, err := a.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cenc.NewContentKey(raw[:])
	if err != nil {
		t.Fatal(err)
	}
	if a.Equal(b) || !a.Equal(c) || (cenc.ContentKey{}).Equal(cenc.ContentKey{}) || a.Equal(cenc.ContentKey{}) {
		t.Error("Equal is wrong")
	}
	shared := a
	a.Clear()
	if got, err := shared.Reveal(); err != nil || got != [16]byte{} {
		t.Errorf("after Clear the copy holds %x, %v", got, err)
	}
	if _, err := (cenc.ContentKey{}).Reveal(); !errors.Is(err, cenc.ErrKey) || (cenc.ContentKey{}).Valid() {
		t.Errorf("zero key: %v", err)
	}
	if _, err := cenc.NewContentKey(make([]byte, 15)); !errors.Is(err, cenc.ErrKey) {
		t.Errorf("15 bytes: %v", err)
	}
}

func TestScheme_Text(t *testing.T) {
	for _, s := range []string{"cenc", "cens", "cbc1", "cbcs"} {
		var sc cenc.Scheme
		if err := json.Unmarshal([]byte(`"`+s+`"`), &sc); err != nil || sc.String() != s || !sc.Known() {
			t.Errorf("%s: %v, %v", s, sc, err)
		}
	}
	if _, err := cenc.ParseScheme("piff"); !errors.Is(err, cenc.ErrScheme) {
		t.Errorf("piff: %v", err)
	}
	if s := cenc.Scheme(1).String(); s != "0x00000001" {
		t.Errorf("unprintable scheme prints %q", s)
	}
}
