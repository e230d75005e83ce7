package cenc

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"reflect"
	"testing"
	"unsafe"
)

// raw gives the memory behind an AES object of the standard library.
func raw(t *testing.T, v any) []byte {
	t.Helper()
	p := reflect.ValueOf(v)
	if p.Kind() == reflect.Struct {
		p = p.Field(0)
	}
	if p.Kind() != reflect.Pointer {
		t.Fatalf("%T is no pointer: this Go keeps its key elsewhere", v)
	}
	return unsafe.Slice((*byte)(p.UnsafePointer()), p.Type().Elem().Size())
}

// swap turns each word around: the schedule holds words of the machine.
func swapped(k []byte) []byte {
	out := bytes.Clone(k)
	for i := 0; i < len(out); i += 4 {
		out[i], out[i+1], out[i+2], out[i+3] = out[i+3], out[i+2], out[i+1], out[i]
	}
	return out
}

// TestContentKey_CiphersAreOverwritten looks at the memory of each AES object
// that a sample needs: the key is in it, and after Close it is not. A Go whose
// objects are built otherwise fails here.
func TestContentKey_CiphersAreOverwritten(t *testing.T) {
	key := []byte("this is the key!")
	k, err := NewContentKey(key)
	if err != nil {
		t.Fatal(err)
	}
	holds := func(b []byte) bool { return bytes.Contains(b, key) || bytes.Contains(b, swapped(key)) }
	for _, scheme := range []Scheme{SchemeCENC, SchemeCENS, SchemeCBC1, SchemeCBCS} {
		c, err := NewCipher(k)
		if err != nil {
			t.Fatal(err)
		}
		s := Sample{Scheme: scheme, Data: make([]byte, 160)}
		if scheme.pattern() {
			s.Crypt, s.Skip = 1, 9
		}
		if err := c.Encrypt(&s); err != nil {
			t.Fatal(err)
		}
		if err := c.Decrypt(&s); err != nil {
			t.Fatal(err)
		}
		for _, v := range []any{c.block, c.dec, c.enc, c.ctr} {
			if _, slow := v.(*counter); slow {
				continue // below
			}
			if v == nil || reflect.ValueOf(v).IsZero() {
				continue
			}
			mem := raw(t, v)
			if v == any(c.block) && !holds(mem) {
				t.Fatalf("%v: the test does not see the key in %T", scheme, v)
			}
			wipe(v)
			if holds(mem) || !bytes.Equal(mem, make([]byte, len(mem))) {
				t.Errorf("%v: %T still holds the key", scheme, v)
			}
		}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	st := &counter{block: block}
	st.reset(IV{})
	mem := raw(t, st.stream)
	if !holds(mem) {
		t.Fatal("the test does not see the key in a counter")
	}
	if st.close(); holds(mem) {
		t.Error("a counter still holds the key")
	}
	if !holds(raw(t, block)) {
		t.Error("closing a counter overwrote the key's own schedule")
	}
	wipe(nil)
	wipe(struct{ b cipher.Block }{block})
	wipe(map[string]int{})
}
