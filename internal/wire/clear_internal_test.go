package wire

import (
	"bytes"
	"errors"
	"testing"
)

// spied is a value of many parts, which notes the arrays that it is written into.
type spied struct {
	parts [][]byte
	fail  bool
	seen  *[][]byte
}

func (s spied) AppendCBOR(b []byte) ([]byte, error) {
	note := func() { *s.seen = append(*s.seen, b[:cap(b)]) }
	note()
	b = AppendMap(b, len(s.parts))
	for i, p := range s.parts {
		b = AppendUint(append(b, byte(i%24)), uint64(i))
		note()
		if b = AppendBytes(b, p); i%2 == 0 {
			b = AppendRaw(b, p)
		}
		note()
	}
	if s.fail {
		return b, errors.New("it does not end")
	}
	return b, nil
}

func secrets(sizes ...int) (parts [][]byte) {
	for _, n := range sizes {
		parts = append(parts, bytes.Repeat([]byte("secret"), n/6+1))
	}
	return parts
}

// TestWire_ArraysAreLeftClear: of a value that writes itself no array keeps anything,
// neither the last one nor those that it outgrew, nor when it gives up.
func TestWire_ArraysAreLeftClear(t *testing.T) {
	many := make([]int, 3000)
	for i := range many {
		many[i] = 30 + i%40 // every length of what is left of an array
	}
	for name, sizes := range map[string][]int{"small": {10, 20}, "one long": {70 << 10}, "grows often": {60 << 10, 10, 70 << 10, 400 << 10, 1 << 20}, "many": many} {
		for _, fail := range []bool{false, true} {
			var seen [][]byte
			b := bytes.NewBuffer(make([]byte, 0, 64<<10))
			used := 0
			err := encodeIn(b, spied{secrets(sizes...), fail, &seen}, 0, func(out []byte) { used = bytes.Count(out, []byte("secret")) })
			if (err != nil) != fail || (used > 0) == fail {
				t.Fatalf("%s: %v, %d of them used", name, err, used)
			}
			for n, array := range append(seen, b.Bytes()[:b.Cap()]) {
				if bytes.Contains(array, []byte("sec")) {
					t.Errorf("%s, fails %v: array %d of %d bytes keeps a secret", name, fail, n, len(array))
				}
			}
		}
	}
}

type (
	bounded struct {
		_ struct{} `cbor:",toarray"`
		A []byte
		B [32]byte
		C []uint64
		D map[string]any
		E *bounded
		F []bounded
		G string
	}
	boundedMap struct {
		Name  string `cbor:"1,keyasint"`
		Other int64  `cbor:"a rather long name,omitzero"`
		Raw   RawMessage
	}
)

// TestWire_BufferIsAsLongAsItGets: what the library encodes never outgrows its buffer,
// which would leave an array behind.
func TestWire_BufferIsAsLongAsItGets(t *testing.T) {
	inner := bounded{A: make([]byte, 100<<10), C: []uint64{0, 1 << 63}, G: "text"}
	for _, v := range []any{
		nil, true, -1, uint64(1 << 63), 1.5, "text", make([]byte, 1<<20),
		[]string{"a", "b"},
		[][]byte{nil, make([]byte, 70<<10)},
		map[int]any{1: nil, 2: []any{1, "x"}},
		inner, &inner,
		bounded{E: &inner, F: []bounded{inner, inner}, D: map[string]any{"k": inner}},
		boundedMap{Name: "n", Other: 1, Raw: RawMessage{0x80}},
	} {
		b := new(bytes.Buffer)
		before, after := 0, 0
		err := encodeIn(b, v, 0, func(out []byte) { before, after = len(out), b.Cap() })
		if err != nil {
			t.Fatal(err)
		}
		first := bytes.NewBuffer(make([]byte, 0, after))
		kept := first.AvailableBuffer()[:after]
		if err := encodeIn(first, v, 0, func(out []byte) {
			if &out[0] != &kept[0] {
				t.Errorf("%T: the encoding of %d bytes outgrew its buffer", v, before)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsFunc(kept, func(r rune) bool { return r != 0 }) {
			t.Errorf("%T: something is left", v)
		}
	}
}

// TestWire_RoomClearsWhatItLeaves: an array that is outgrown is cleared, one that is long
// enough stays.
func TestWire_RoomClearsWhatItLeaves(t *testing.T) {
	b := append(make([]byte, 0, 8), "secret"...)
	if same := Room(b, 2); &same[0] != &b[0] {
		t.Error("another array, and this one has room")
	}
	more := Room(b, 3)
	if string(more) != "secret" || cap(more) < 9 || string(b) != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("%q of %d, and %q is left", more, cap(more), b)
	}
}
