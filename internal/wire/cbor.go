package wire

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// RawMessage is one encoded CBOR item, kept byte for byte.
type RawMessage = cbor.RawMessage

// Marshal returns the deterministic encoding of v (RFC 8949 section 4.2.1).
// Byte arrays and types with MarshalBinary become byte strings.
func Marshal(v any) ([]byte, error) {
	b, err := encMode.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("wire: encode %T: %w", v, err)
	}
	return b, nil
}

// Unmarshal decodes exactly one deterministic item into v. Unknown map keys,
// array lengths that v does not have, and data that v would encode otherwise
// (a text where a byte string belongs) are errors.
func Unmarshal(data []byte, v any, lim Limit) error {
	if err := Check(data, lim); err != nil {
		return err
	}
	if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrShape, err)
	}
	again, err := encMode.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrShape, err)
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("%w: not the encoding of its own value", ErrNotCanonical)
	}
	return nil
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

// Array decodes an array item whose number of elements is between least and
// most and returns the elements undecoded.
func Array(data []byte, least, most int, lim Limit) ([]RawMessage, error) {
	var items []RawMessage
	if err := Unmarshal(data, &items, lim); err != nil {
		return nil, err
	}
	if len(items) < least || len(items) > most {
		return nil, fmt.Errorf("%w: array of %d items", ErrShape, len(items))
	}
	return items, nil
}

var (
	encMode  = mustEnc()
	decMode  = mustDec(cbor.ExtraDecErrorUnknownField)
	openMode = mustDec(cbor.ExtraDecErrorNone)
)

func mustEnc() cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	o.IndefLength = cbor.IndefLengthForbidden
	o.TagsMd = cbor.TagsForbidden
	m, err := o.EncMode()
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
