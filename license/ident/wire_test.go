package ident_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// TestLicense_1_IDsAreByteStrings holds the IDs against the CDDL of docs/spec/license.md: bstr, fixed ones of 16 bytes.
func TestLicense_1_IDsAreByteStrings(t *testing.T) {
	type all struct {
		_ struct{} `cbor:",toarray"`
		C ident.Content
		I ident.Issuer
		K ident.Key
		T ident.Transfer
		M map[ident.Issuer]ident.Domain
	}
	in := all{C: "film", I: "shop", K: ident.NewKey(), T: ident.Transfer{Seq: 7, Src: ident.Device{1}}, M: map[ident.Issuer]ident.Domain{"a": {2}}}
	b, err := wire.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if b[1] != 0x44 || string(b[2:6]) != "film" {
		t.Errorf("content ID encodes as %x, want a byte string", b[1:6])
	}
	var out all
	if err := wire.Unmarshal(b, &out, wire.Limit{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(in, out, cmp.AllowUnexported(all{}, ident.Transfer{})); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"\x40", "\x58\x41" + string(make([]byte, 65)), "\x61a"} {
		var c ident.Content
		if err := wire.Unmarshal([]byte(bad), &c, wire.Limit{}); err == nil {
			t.Errorf("%x accepted as a content ID", bad)
		}
	}
}
