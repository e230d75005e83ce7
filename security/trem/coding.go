package trem

import (
	"bytes"
	"math"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/sltp/transfer"
)

// This file writes and reads by hand what goes over the stream for each license that
// an issuer gives: RECEIVE, PREPARE and RELEASE. The tags of the types say the same;
// the tests hold one against the other.

// AppendCBOR appends [connection ID, message]. It never returns an error.
func (m SLTPMessage) AppendCBOR(b []byte) ([]byte, error) {
	return wire.AppendBytes(wire.AppendBytes(wire.AppendArray(b, 2), m.CID), m.Bytes), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (m *SLTPMessage) ReadCBOR(from *wire.Items) {
	r := from.Array(2, 2)
	m.CID, m.Bytes = bytes.Clone(r.OptionalBytes()), bytes.Clone(r.OptionalBytes())
	from.Done(r)
}

// SLTPMessages are messages to send, in order.
type SLTPMessages []SLTPMessage

// AppendCBOR appends an array of messages. It never returns an error.
func (l SLTPMessages) AppendCBOR(b []byte) ([]byte, error) {
	return appendList(b, l, func(b []byte, m *SLTPMessage) []byte {
		b, _ = m.AppendCBOR(b)
		return b
	}), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (l *SLTPMessages) ReadCBOR(from *wire.Items) { *l = readList(from, (*SLTPMessage).ReadCBOR) }

func appendList[T any](b []byte, list []T, each func([]byte, *T) []byte) []byte {
	if list == nil {
		return wire.AppendBytes(b, nil)
	}
	b = wire.AppendArray(b, len(list))
	for i := range list {
		b = each(b, &list[i])
	}
	return b
}

func readList[T any](from *wire.Items, each func(*T, *wire.Items)) []T {
	if from.Null() {
		from.Raw()
		return nil
	}
	r := from.Array(0, math.MaxInt)
	list := make([]T, r.Len()) // each takes a byte of what was checked
	for i := range list {
		each(&list[i], &r)
	}
	from.Done(r)
	return list
}

// AppendCBOR appends the map of its fields. It never returns an error.
func (e Event) AppendCBOR(b []byte) ([]byte, error) {
	pairs := 16
	if e.Member {
		pairs++
	}
	b = wire.AppendUint(append(wire.AppendMap(b, pairs), 1), uint64(e.Kind))
	b = wire.AppendUint(append(b, 2), e.Handle)
	b = wire.AppendBytes(append(b, 3), e.Peer[:])
	b = wire.AppendBytes(append(b, 4), e.Request[:])
	b = wire.AppendText(append(b, 5), e.Content)
	b = wire.AppendBytes(append(b, 6), e.Domain[:])
	b = wire.AppendBytes(append(b, 7), e.License[:])
	b = wire.AppendBytes(append(b, 8), e.Hash[:])
	b = transfer.AppendID(append(b, 9), e.Transfer)
	b = wire.AppendBytes(append(b, 10), e.XferHash[:])
	b = wire.AppendBool(append(b, 11), e.Installed)
	b = wire.AppendText(append(b, 12), e.Code)
	b = wire.AppendInt(append(b, 13), e.RetryMS)
	b = wire.AppendText(append(b, 14), e.Text)
	b = wire.AppendBytes(append(b, 15), e.Body)
	b = wire.AppendUint(append(b, 16), e.Generation)
	if e.Member {
		b = wire.AppendBool(append(b, 17), true)
	}
	return b, nil
}

// ReadCBOR reads what AppendCBOR appends.
func (e *Event) ReadCBOR(from *wire.Items) {
	r := from.Pairs(17)
	r.Need(1)
	e.Kind = EventKind(r.Uint(math.MaxUint8)) //nolint:gosec // bounded
	r.Need(2)
	e.Handle = r.Uint(math.MaxUint64)
	r.Need(3)
	r.Fixed(e.Peer[:])
	r.Need(4)
	r.Fixed(e.Request[:])
	r.Need(5)
	e.Content = r.Text()
	r.Need(6)
	r.Fixed(e.Domain[:])
	r.Need(7)
	r.Fixed(e.License[:])
	r.Need(8)
	r.Fixed(e.Hash[:])
	r.Need(9)
	e.Transfer = transfer.ReadID(&r)
	r.Need(10)
	r.Fixed(e.XferHash[:])
	r.Need(11)
	e.Installed = r.Bool()
	r.Need(12)
	e.Code = r.Text()
	r.Need(13)
	e.RetryMS = r.Int()
	r.Need(14)
	e.Text = r.Text()
	r.Need(15)
	e.Body = bytes.Clone(r.OptionalBytes())
	r.Need(16)
	e.Generation = r.Uint(math.MaxUint64)
	if r.Key(17) {
		e.Member = r.Bool()
	}
	from.Done(r)
}

// AppendCBOR appends the map of its fields. It never returns an error.
func (o Received) AppendCBOR(b []byte) ([]byte, error) {
	b, _ = SLTPMessages(o.Messages).AppendCBOR(append(wire.AppendMap(b, 2), 1))
	return appendList(append(b, 2), o.Events, func(b []byte, e *Event) []byte {
		b, _ = e.AppendCBOR(b)
		return b
	}), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (o *Received) ReadCBOR(from *wire.Items) {
	r := from.Pairs(2)
	r.Need(1)
	o.Messages = readList(&r, (*SLTPMessage).ReadCBOR)
	r.Need(2)
	o.Events = readList(&r, (*Event).ReadCBOR)
	from.Done(r)
}

// AppendCBOR appends the map of its fields.
func (t Terms) AppendCBOR(b []byte) ([]byte, error) {
	pairs := 5
	if len(t.Roll) > 0 {
		pairs++
	}
	b = wire.AppendUint(append(wire.AppendMap(b, pairs), 1), t.Handle)
	b, err := t.Info.AppendCBOR(append(b, 2))
	if err != nil {
		return b, err
	}
	b = appendList(append(b, 3), t.Tiers, func(b []byte, n *uint64) []byte { return wire.AppendUint(b, *n) })
	b = wire.AppendUint(append(b, 4), t.Seq)
	b = wire.AppendUint(append(b, 5), t.Plays)
	if len(t.Roll) > 0 {
		b = wire.AppendBytes(append(b, 6), t.Roll)
	}
	return b, nil
}

// ReadCBOR reads what AppendCBOR appends.
func (t *Terms) ReadCBOR(from *wire.Items) {
	r := from.Pairs(6)
	r.Need(1)
	t.Handle = r.Uint(math.MaxUint64)
	r.Need(2)
	t.Info.ReadCBOR(&r)
	r.Need(3)
	t.Tiers = readList(&r, func(n *uint64, r *wire.Items) { *n = r.Uint(math.MaxUint64) })
	r.Need(4)
	t.Seq = r.Uint(math.MaxUint64)
	r.Need(5)
	t.Plays = r.Uint(math.MaxUint64)
	if r.Key(6) {
		t.Roll = bytes.Clone(r.OptionalBytes())
	}
	from.Done(r)
}

// AppendCBOR appends the map of its fields. It never returns an error.
func (p Prepared) AppendCBOR(b []byte) ([]byte, error) {
	b = wire.AppendBytes(append(wire.AppendMap(b, 4), 1), p.Sealed)
	b = wire.AppendBytes(append(b, 2), p.Hash[:])
	b = transfer.AppendID(append(b, 3), p.Transfer)
	return wire.AppendBytes(append(b, 4), p.XferHash[:]), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (p *Prepared) ReadCBOR(from *wire.Items) {
	r := from.Pairs(4)
	r.Need(1)
	p.Sealed = bytes.Clone(r.OptionalBytes())
	r.Need(2)
	r.Fixed(p.Hash[:])
	r.Need(3)
	p.Transfer = transfer.ReadID(&r)
	r.Need(4)
	r.Fixed(p.XferHash[:])
	from.Done(r)
}

// AppendCBOR appends the map of its fields. It never returns an error.
func (o Release) AppendCBOR(b []byte) ([]byte, error) {
	b = wire.AppendUint(append(wire.AppendMap(b, 2), 1), o.Handle)
	return wire.AppendBytes(append(b, 2), o.Sealed), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (o *Release) ReadCBOR(from *wire.Items) {
	r := from.Pairs(2)
	r.Need(1)
	o.Handle = r.Uint(math.MaxUint64)
	r.Need(2)
	o.Sealed = bytes.Clone(r.OptionalBytes())
	from.Done(r)
}

// message is a request or a reply that is written: numbers, and a body behind them in
// the same memory.
type message struct {
	head [2]uint64
	n    int // of head
	body any
}

// AppendCBOR appends the array of the numbers and the body.
func (m message) AppendCBOR(b []byte) ([]byte, error) {
	b = wire.AppendArray(b, m.n+1)
	for _, n := range m.head[:m.n] {
		b = wire.AppendUint(b, n)
	}
	if own, ok := m.body.(wire.Appender); ok {
		return own.AppendCBOR(b)
	}
	body, err := wire.Marshal(m.body)
	defer clear(body) // some are keys of a link
	return wire.AppendRaw(b, body), err
}

// AppendCBOR appends [version, command, body]. It never returns an error.
func (r request) AppendCBOR(b []byte) ([]byte, error) {
	b = wire.AppendUint(wire.AppendUint(wire.AppendArray(b, 3), uint64(r.Version)), uint64(r.Command))
	return wire.AppendRaw(b, r.Body), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (r *request) ReadCBOR(from *wire.Items) {
	in := from.Array(3, 3)
	r.Version, r.Command = uint(in.Uint(math.MaxUint32)), Command(in.Uint(math.MaxUint8)) //nolint:gosec // bounded
	r.Body = in.Raw()
	from.Done(in)
}

// AppendCBOR appends [status, body]. It never returns an error.
func (r reply) AppendCBOR(b []byte) ([]byte, error) {
	return wire.AppendRaw(wire.AppendUint(wire.AppendArray(b, 2), uint64(r.Status)), r.Body), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (r *reply) ReadCBOR(from *wire.Items) {
	in := from.Array(2, 2)
	r.Status = uint(in.Uint(math.MaxUint32))
	r.Body = in.Raw()
	from.Done(in)
}
