package sltp

import (
	"bytes"
	"math"

	"github.com/lares-drm/lares/internal/wire"
)

// This file codes by hand the bodies that an issuer meets for each license. The tags
// of the types say the same; the tests hold one against the other.

// AppendCBOR appends [10, what, permission, subject, membership, tiers, level]. It
// never returns an error.
func (r licenseRequest) AppendCBOR(b []byte) ([]byte, error) {
	b = wire.AppendUint(wire.AppendArray(b, 7), r.Number)
	b = wire.AppendBytes(wire.AppendUint(wire.AppendArray(b, 2), r.What.Kind), r.What.Value)
	b = append(wire.AppendUint(b, uint64(r.Permission)), r.Subject...)
	b = wire.AppendBytes(b, r.Membership)
	if r.Tiers == nil {
		b = wire.AppendBytes(b, nil)
	} else {
		b = wire.AppendArray(b, len(r.Tiers))
	}
	for _, t := range r.Tiers {
		b = wire.AppendUint(b, t)
	}
	return wire.AppendUint(b, uint64(r.Level)), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (r *licenseRequest) ReadCBOR(from *wire.Items) {
	in := from.Array(7, 7)
	r.Number = in.Uint(math.MaxUint64)
	what := in.Array(2, 2)
	r.What = pair{Kind: what.Uint(math.MaxUint64), Value: bytes.Clone(what.OptionalBytes())}
	in.Done(what)
	r.Permission = uint8(in.Uint(math.MaxUint8)) //nolint:gosec // bounded
	r.Subject = bytes.Clone(in.Raw())
	r.Membership = bytes.Clone(in.OptionalBytes())
	if r.Tiers = nil; in.Null() {
		in.Raw()
	} else {
		tiers := in.Array(0, math.MaxInt)
		r.Tiers = make([]uint64, tiers.Len())
		for i := range r.Tiers {
			r.Tiers[i] = tiers.Uint(math.MaxUint64)
		}
		in.Done(tiers)
	}
	r.Level = uint8(in.Uint(math.MaxUint8)) //nolint:gosec // bounded
	from.Done(in)
}

// AppendCBOR appends [11, chain, bundle]. It never returns an error.
func (b licenseBody) AppendCBOR(to []byte) ([]byte, error) {
	to = wire.AppendUint(wire.AppendArray(to, 3), b.Number)
	return wire.AppendBytes(wire.AppendList(to, b.Chain), b.Bundle), nil
}
