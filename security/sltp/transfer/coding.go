package transfer

import (
	"maps"
	"math"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// AppendID appends a transfer ID: [source, destination, incarnation, sequence number].
func AppendID(b []byte, id ident.Transfer) []byte {
	b = wire.AppendBytes(wire.AppendBytes(wire.AppendArray(b, 4), id.Src[:]), id.Dst[:])
	return wire.AppendUint(wire.AppendBytes(b, id.Incarnation[:]), id.Seq)
}

// ReadID reads what AppendID appends.
func ReadID(from *wire.Items) (id ident.Transfer) {
	r := from.Array(4, 4)
	r.Fixed(id.Src[:])
	r.Fixed(id.Dst[:])
	r.Fixed(id.Incarnation[:])
	id.Seq = r.Uint(math.MaxUint64)
	from.Done(r)
	return id
}

// AppendCBOR appends an XFER. It never returns an error.
func (w xferWire) AppendCBOR(b []byte) ([]byte, error) {
	b = AppendID(wire.AppendUint(wire.AppendArray(b, 6), uint64(w.Type)), w.TID)
	b = wire.AppendBytes(wire.AppendUint(b, w.Low), w.Hash[:])
	return wire.AppendBytes(wire.AppendBytes(b, w.Body), w.Head), nil
}

// AppendCBOR appends a body. It never returns an error.
func (w bodyWire) AppendCBOR(b []byte) ([]byte, error) {
	b = wire.AppendUint(wire.AppendArray(b, 6), uint64(w.Op))
	b = wire.AppendBytes(wire.AppendList(b, w.Chain), w.State)
	if w.Amounts == nil {
		b = wire.AppendBytes(b, nil)
	} else {
		b = wire.AppendMap(b, len(w.Amounts))
	}
	for _, right := range slices.Sorted(maps.Keys(w.Amounts)) {
		b = w.Amounts[right].append(wire.AppendUint(b, right))
	}
	if w.HoldUntil == nil {
		b = wire.AppendBytes(b, nil)
	} else {
		b = wire.AppendInt(b, *w.HoldUntil)
	}
	return wire.AppendBytes(b, w.Bundle), nil
}

func (a amount) append(b []byte) []byte {
	if uint64(a) == All {
		return wire.AppendText(b, allText)
	}
	return wire.AppendUint(b, uint64(a))
}
