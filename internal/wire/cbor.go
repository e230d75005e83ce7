package wire

import (
	"bytes"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// RawMessage is one encoded CBOR item, kept byte for byte.
type RawMessage = cbor.RawMessage

// Marshal returns the deterministic encoding of v (RFC 8949 section 4.2.1).
// Byte arrays and types with MarshalBinary become byte strings.
func Marshal(v any) ([]byte, error) {
	b, err := encode(v)
	if err != nil {
		return nil, fmt.Errorf("wire: encode %T: %w", v, err)
	}
	return b, nil
}

// buffers are what encodings are built in. The library's own would keep what
// they held until they are used again, and some of it are keys.
var buffers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 64<<10)) }}

func encode(v any) ([]byte, error) {
	b, ok := buffers.Get().(*bytes.Buffer)
	if !ok {
		b = new(bytes.Buffer)
	}
	defer func() {
		clear(b.Bytes())
		b.Reset()
		buffers.Put(b)
	}()
	if err := encMode.MarshalToBuffer(v, b); err != nil {
		return nil, err
	}
	return bytes.Clone(b.Bytes()), nil
}

// Unmarshal decodes exactly one deterministic item into v. Unknown map keys,
// array lengths that v does not have, and data that v would encode otherwise
// (a text where a byte string belongs) are errors.
func Unmarshal(data []byte, v any, lim Limit) error {
	if err := Check(data, lim); err != nil {
		return err
	}
	if plain(data, v) {
		return nil
	}
	if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrShape, err)
	}
	again, err := encode(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrShape, err)
	}
	defer clear(again)
	if !bytes.Equal(again, data) {
		return fmt.Errorf("%w: not the encoding of its own value", ErrNotCanonical)
	}
	return nil
}

// plain decodes a checked unsigned integer or byte string into an integer, a
// byte array of its length, or a byte slice, of a type with no coding of its
// own. Each has one deterministic encoding, so there is nothing to compare. It
// reports false, and changes nothing, for all else.
func plain(data []byte, v any) bool {
	switch v.(type) {
	case cbor.Marshaler, cbor.Unmarshaler, encoding.BinaryMarshaler, encoding.BinaryUnmarshaler:
		return false
	}
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return false
	}
	to := p.Elem()
	c := checker{in: data}
	major, n, err := c.head()
	content := data[c.off:]
	switch {
	case err != nil || major != majorUint && major != majorBytes:
		return false
	case major == majorUint && to.CanUint() && !to.OverflowUint(n):
		to.SetUint(n)
	case major == majorUint && to.CanInt() && n <= math.MaxInt64 && !to.OverflowInt(int64(n)):
		to.SetInt(int64(n))
	case major == majorBytes && to.Kind() == reflect.Array && to.Type().Elem() == reflect.TypeFor[byte]() && to.Len() == len(content):
		copy(to.Bytes(), content)
	case major == majorBytes && to.Kind() == reflect.Slice && to.Type().Elem() == reflect.TypeFor[byte]():
		to.SetBytes(bytes.Clone(content))
	default:
		return false
	}
	return true
}

// UnmarshalOpen is Unmarshal for maps that may grow: integer keys that v does
// not have are passed over. The caller judges them by reading the map itself.
func UnmarshalOpen(data []byte, v any, lim Limit) error {
	if err := Check(data, lim); err != nil {
		return err
	}
	if err := openMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrShape, err)
	}
	return nil
}

var (
	encMode  = mustEnc()
	decMode  = mustDec(cbor.ExtraDecErrorUnknownField)
	openMode = mustDec(cbor.ExtraDecErrorNone)
)

func mustEnc() cbor.UserBufferEncMode {
	o := cbor.CoreDetEncOptions()
	o.IndefLength = cbor.IndefLengthForbidden
	o.TagsMd = cbor.TagsForbidden
	m, err := o.UserBufferEncMode()
	if err != nil {
		panic(err) //nolint:forbidigo // constant options: fails on the first test run or never
	}
	return m
}

func mustDec(extra cbor.ExtraDecErrorCond) cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:             cbor.DupMapKeyEnforcedAPF,
		IndefLength:           cbor.IndefLengthForbidden,
		TagsMd:                cbor.TagsForbidden,
		ExtraReturnErrors:     extra,
		IntDec:                cbor.IntDecConvertSignedOrFail,
		DefaultByteStringType: nil,
	}.DecMode()
	if err != nil {
		panic(err) //nolint:forbidigo // constant options: fails on the first test run or never
	}
	return m
}
