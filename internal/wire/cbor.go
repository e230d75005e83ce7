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
	var out []byte
	if err := encode(v, 0, func(b []byte) { out = bytes.Clone(b) }); err != nil {
		return nil, fmt.Errorf("wire: encode %T: %w", v, err)
	}
	return out, nil
}

// Appender is a value that appends its own encoding without reflection. It gives the
// bytes that Marshal makes of its fields; a value with no encoding is an error, and then
// it gives what it has appended, which is cleared.
type Appender interface {
	AppendCBOR(b []byte) ([]byte, error)
}

// Coder is an Appender that reads from the next item of r what it appends. It sets
// what is not there to zero and copies what it keeps. Unmarshal holds the value's
// encoding against the data: it need not know which values are left out.
type Coder interface {
	Appender
	ReadCBOR(r *Items)
}

// buffers are what encodings are built in. The library's own would keep what
// they held until they are used again, and some of it are keys.
var buffers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 64<<10)) }}

// encode calls use with the encoding of v, which is overwritten then. size is how long
// it is, 0 if that is not known.
func encode(v any, size int, use func([]byte)) error {
	b, ok := buffers.Get().(*bytes.Buffer)
	if !ok {
		b = new(bytes.Buffer)
	}
	defer buffers.Put(b)
	return encodeIn(b, v, size, use)
}

// encodeIn encodes in an empty buffer, and leaves it and every array that it had cleared.
func encodeIn(b *bytes.Buffer, v any, size int, use func([]byte)) error {
	if own, ok := v.(Appender); ok {
		out, err := own.AppendCBOR(b.AvailableBuffer())
		if err == nil {
			use(out)
		}
		clear(out)
		return err
	}
	if size == 0 { // a buffer that grows leaves what it held
		size = bound(reflect.ValueOf(v))
	}
	b.Grow(2 * size) // it sorts the pairs of a map behind them
	err := encMode.MarshalToBuffer(v, b)
	if err == nil {
		use(b.Bytes())
	}
	used := b.Bytes()
	clear(used[:min(2*len(used), cap(used))])
	b.Reset()
	return err
}

// bound is at least as much as the library's encoding of v has, in bytes. Types with a
// coding of their own have to be as their fields are, or within ownCoding of that.
func bound(v reflect.Value) int {
	n := headLen
	if !v.IsValid() { // null
		return n
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			n = bound(v.Elem())
		}
	case reflect.String:
		n += v.Len()
	case reflect.Slice, reflect.Array:
		n += boundAll(v)
	case reflect.Map:
		for all := v.MapRange(); all.Next(); {
			n += bound(all.Key()) + bound(all.Value())
		}
	case reflect.Struct:
		n += boundFields(v)
	default: // a number
	}
	if _, own := reflect.TypeAssert[cbor.Marshaler](v); own {
		n += ownCoding
	}
	return n
}

// ownCoding is what a type's own coding may take beyond its fields, in bytes.
const ownCoding = 1 << 10

func boundAll(v reflect.Value) (n int) {
	switch v.Type().Elem().Kind() {
	case reflect.Uint8:
		return v.Len()
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return v.Len() * headLen
	default:
		for i := range v.Len() {
			n += bound(v.Index(i))
		}
		return n
	}
}

func boundFields(v reflect.Value) (n int) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			n += headLen + max(len(f.Name), len(f.Tag)) + bound(v.Field(i))
		}
	}
	return n
}

// Unmarshal decodes exactly one deterministic item into v. Unknown map keys,
// array lengths that v does not have, and data that v would encode otherwise
// (a text where a byte string belongs) are errors.
func Unmarshal(data []byte, v any, lim Limit) error {
	if err := Check(data, lim); err != nil {
		return err
	}
	if own, ok := v.(Coder); ok {
		r := Items{in: data, left: 1}
		if own.ReadCBOR(&r); r.err != nil {
			return r.err
		}
	} else if plain(data, v) {
		return nil
	} else if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrShape, err)
	}
	same := false
	if err := encode(v, len(data), func(again []byte) { same = bytes.Equal(again, data) }); err != nil {
		return fmt.Errorf("%w: %w", ErrShape, err)
	}
	if !same {
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
