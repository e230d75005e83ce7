package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/lares-drm/lares/internal/wire"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRFC8949_4_2_1_Deterministic gives one item a line: what is the
// deterministic encoding, and each way of not being it.
func TestRFC8949_4_2_1_Deterministic(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     error
	}{
		{"zero", "00", nil},
		{"23", "17", nil},
		{"24", "1818", nil},
		{"256", "190100", nil},
		{"negative", "3863", nil},
		{"largest", "1bffffffffffffffff", nil},
		{"bytes", "43010203", nil},
		{"text", "63c3a975", nil},
		{"array", "83 01 02 80", nil},
		{"map sorted", "a2 01 02 1818 03", nil},
		{"true false null", "83 f5 f4 f6", nil},
		{"long 23", "1817", wire.ErrNotCanonical},
		{"long 255", "1900ff", wire.ErrNotCanonical},
		{"long 65535", "1a0000ffff", wire.ErrNotCanonical},
		{"long length", "580100", wire.ErrNotCanonical},
		{"indefinite array", "9f01ff", wire.ErrNotCanonical},
		{"indefinite bytes", "5f4101ff", wire.ErrNotCanonical},
		{"unsorted map", "a2 02 01 01 01", wire.ErrNotCanonical},
		{"twin keys", "a2 01 01 01 02", wire.ErrNotCanonical},
		{"length-first order", "a2 1818 01 01 02", wire.ErrNotCanonical},
		{"tag", "c000", wire.ErrNotCanonical},
		{"half float", "f93c00", wire.ErrNotCanonical},
		{"undefined", "f7", wire.ErrNotCanonical},
		{"simple 32", "f820", wire.ErrNotCanonical},
		{"bad UTF-8", "61ff", wire.ErrNotCanonical},
		{"trailing", "0000", wire.ErrTrailing},
		{"empty", "", wire.ErrTruncated},
		{"short bytes", "4301", wire.ErrTruncated},
		{"short head", "19 01", wire.ErrTruncated},
		{"huge count", "9bffffffffffffffff", wire.ErrTooLarge},
		{"deep", "81818181818181818181818180", wire.ErrTooLarge},
		{"many", "9841" + strings.Repeat("00", 65), wire.ErrTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := wire.Check(unhex(t, tc.in), wire.Limit{Depth: 12}); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestLimitBytes(t *testing.T) {
	long := append([]byte{0x59, 0x01, 0x00}, make([]byte, 256)...)
	if err := wire.Check(long, wire.Limit{Bytes: 258}); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("259 bytes under a limit of 258: %v", err)
	}
	if err := wire.Check(long, wire.Limit{Bytes: 259}); err != nil {
		t.Errorf("259 bytes under a limit of 259: %v", err)
	}
}

func TestUnmarshalIsStrict(t *testing.T) {
	type two struct {
		A int    `cbor:"1,keyasint"`
		B []byte `cbor:"2,keyasint,omitempty"`
	}
	for in, ok := range map[string]bool{
		"a1 01 05": true, "a2 01 05 02 4100": true,
		"a2 01 05 03 00": false, "a1 01 6161": false, "80": false, "a2 01 05 02 40": false, "a2 01 05 02 6161": false,
	} {
		var v two
		if err := wire.Unmarshal(unhex(t, in), &v, wire.Limit{}); (err == nil) != ok {
			t.Errorf("%s: got %v", in, err)
		}
	}
	var v two
	if err := wire.UnmarshalOpen(unhex(t, "a2 01 05 03 00"), &v, wire.Limit{}); err != nil || v.A != 5 {
		t.Errorf("open decoding: %v, %+v", err, v)
	}
}

// FuzzCheck holds our judgement against the library's: what we accept it
// decodes, and encodes to the same bytes.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"00", "a201021818 03", "83f5f4f6", "63c3a975", "9bffffffffffffffff", "a10181a10240"} {
		f.Add(unhex(f, s))
	}
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if wire.Check(in, wire.Limit{}) != nil {
			return
		}
		var v any
		if err := cbor.Unmarshal(in, &v); err != nil {
			if strings.Contains(err.Error(), "invalid map key type") || strings.Contains(err.Error(), "overflow") {
				return // well-formed, but not a Go value
			}
			t.Fatalf("%x accepted, the library says %v", in, err)
		}
		if out, err := enc.Marshal(v); err != nil || !bytes.Equal(out, in) {
			t.Errorf("%x encodes again as %x (%v)", in, out, err)
		}
	})
}
