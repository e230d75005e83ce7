package wire_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/lares-drm/lares/internal/wire"
)

// library decodes as this package did before it read by hand: the CBOR library
// decodes and encodes again, and the bytes must be the same.
func library[T any](t *testing.T, data []byte) (v T, ok bool) {
	t.Helper()
	if wire.Check(data, wire.Limit{}) != nil {
		return v, false
	}
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	dec, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, IntDec: cbor.IntDecConvertSignedOrFail}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	if dec.Unmarshal(data, &v) != nil {
		return v, false
	}
	again, err := enc.Marshal(v)
	return v, err == nil && bytes.Equal(again, data)
}

// same holds Unmarshal into a T against the library.
func same[T any](t *testing.T, data []byte) {
	t.Helper()
	want, ok := library[T](t, data)
	var got T
	err := wire.Unmarshal(data, &got, wire.Limit{})
	if (err == nil) != ok {
		t.Errorf("%x as %T: %v, the library says %v", data, got, err, ok)
	}
	if err != nil {
		return
	}
	a, err1 := wire.Marshal(got)
	b, err2 := wire.Marshal(want)
	if err1 != nil || err2 != nil || !bytes.Equal(a, b) || !bytes.Equal(a, data) {
		t.Errorf("%x as %T: got %v, the library has %v", data, got, got, want)
	}
}

type (
	number  uint64
	id      [4]byte
	opaque  []byte
	ordinal int8
)

// FuzzByHand holds what is read without reflection against the CBOR library.
func FuzzByHand(f *testing.F) {
	for _, s := range []string{
		"80", "81f6", "f6", "8301430102034161", "82a1014102f6", "9f01ff", "8100 00", "8201", "81 1817", "981801", "00", "17", "1818", "18ff", "190100",
		"1b7fffffffffffffff", "1bffffffffffffffff", "20", "387f", "40", "4401020304", "4161", "6161", "a0", "f5", "8401020304", "830a8105f6", "9bffffffffffffffff",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, ok := library[[]wire.RawMessage](t, data)
		ok = ok && len(want) >= 1 && len(want) <= 5
		got, err := wire.Array(data, 1, 5, wire.Limit{})
		if (err == nil) != ok || ok && len(got) != len(want) {
			t.Fatalf("%x: %d items, %v; the library has %d, %v", data, len(got), err, len(want), ok)
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) || cap(got[i]) != len(got[i]) {
				t.Errorf("%x: item %d is %x, the library has %x", data, i, got[i], want[i])
			}
		}
		if err := wire.Check(data, wire.Limit{}); err != nil {
			if _, of := wire.Array(data, 1, 5, wire.Limit{}); !errors.Is(of, errors.Unwrap(err)) && !errors.Is(of, err) {
				t.Errorf("%x: Array says %v, Check %v", data, of, err)
			}
		}
		if n, ok := wire.LeadingUint(data, 5); len(got) > 0 && ok {
			if want, is := library[uint64](t, got[0]); !is || want != n {
				t.Errorf("%x begins with %d, the library says %d, %v", data, n, want, is)
			}
		}
		same[uint64](t, data)
		same[number](t, data)
		same[uint8](t, data)
		same[int64](t, data)
		same[ordinal](t, data)
		same[[]byte](t, data)
		same[opaque](t, data)
		same[id](t, data)
		same[wire.RawMessage](t, data)
		same[[]uint64](t, data)
		same[*uint64](t, data)
		same[any](t, data)
	})
}

// TestItems: each reader takes its own type and nothing else, and what comes
// after a mistake does not count.
func TestItems(t *testing.T) {
	b := wire.AppendArray(nil, 5)
	b = wire.AppendUint(b, 1<<32)
	b = wire.AppendBytes(b, []byte{1, 2})
	b = wire.AppendBytes(b, nil)
	b = wire.AppendBytes(b, []byte{3, 4})
	b = wire.AppendUint(b, 23)
	want, err := wire.Marshal([]any{uint64(1 << 32), []byte{1, 2}, nil, []byte{3, 4}, 23})
	if err != nil || !bytes.Equal(b, want) {
		t.Fatalf("appended %x, Marshal gives %x (%v)", b, want, err)
	}
	r, err := wire.ItemsOf(b, 5, 5, wire.Limit{})
	if err != nil {
		t.Fatal(err)
	}
	var fixed [2]byte
	if n := r.Uint(math.MaxUint64); n != 1<<32 || !r.IsBytes() {
		t.Errorf("first %d", n)
	}
	if r.Fixed(fixed[:]); fixed != [2]byte{1, 2} || !r.Null() || r.OptionalBytes() != nil || !bytes.Equal(r.OptionalBytes(), []byte{3, 4}) || r.Len() != 1 {
		t.Errorf("byte strings: %x", fixed)
	}
	if !bytes.Equal(r.Raw(), []byte{23}) || r.Err() != nil {
		t.Errorf("last: %v", r.Err())
	}
	if r.Raw() != nil || !errors.Is(r.Err(), wire.ErrShape) || r.Null() || r.IsBytes() {
		t.Error("past the end")
	}
	for name, read := range map[string]func(*wire.Items){
		"number too large":    func(r *wire.Items) { r.Uint(1<<32 - 1) },
		"number as bytes":     func(r *wire.Items) { r.Bytes() },
		"number as optional":  func(r *wire.Items) { r.OptionalBytes() },
		"bytes as number":     func(r *wire.Items) { r.Raw(); r.Uint(math.MaxUint64) },
		"longer than fixed":   func(r *wire.Items) { r.Raw(); r.Fixed(fixed[:1]) },
		"shorter than fixed":  func(r *wire.Items) { r.Raw(); r.Fixed(make([]byte, 3)) },
		"null as bytes":       func(r *wire.Items) { r.Raw(); r.Raw(); r.Bytes() },
		"an error that stays": func(r *wire.Items) { r.Bytes(); r.Raw() },
	} {
		r, err := wire.ItemsOf(b, 5, 5, wire.Limit{})
		if err != nil {
			t.Fatal(err)
		}
		if read(&r); !errors.Is(r.Err(), wire.ErrShape) {
			t.Errorf("%s: %v", name, r.Err())
		}
	}
	if _, ok := wire.LeadingUint(b, 4); ok {
		t.Error("an array of more items than that")
	}
}
