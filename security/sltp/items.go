package sltp

import (
	"bytes"
	"fmt"
	"math"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// Labels of the EAD items. Negative on the wire is critical: who does not know
// it must abort. The registry has no private range. Source: local, docs/spec/sltp.md.
const (
	labelHello   = 62224
	labelStatus  = -62225
	labelRequest = -62226
	labelReply   = -62227
	// labelPacked, in EAD_1 and EAD_2, has no value: packed chains are taken.
	// Not critical, so that who knows none passes it over and sends x5chain.
	labelPacked = 62228
)

// version is the version of this profile in EAD_1.
const version = 1

// epochShift places the generation above the number in an epoch on the wire,
// so that epochs compare as (generation, number). Source: local, docs/spec/sltp.md.
const epochShift = 40

// EpochToWire encodes a revocation epoch as one number that sorts like the epoch.
func EpochToWire(e pki.Epoch) (uint64, error) {
	if e.Number >= 1<<epochShift || e.Generation >= 1<<(63-epochShift) {
		return 0, fmt.Errorf("%w: epoch", ErrBody)
	}
	return e.Generation<<epochShift | e.Number, nil
}

// EpochFromWire decodes what EpochToWire gives; n must be below 2^63.
func EpochFromWire(n uint64) (pki.Epoch, error) {
	if n >= 1<<63 {
		return pki.Epoch{}, fmt.Errorf("%w: epoch", ErrBody)
	}
	return pki.Epoch{Generation: n >> epochShift, Number: n & (1<<epochShift - 1)}, nil
}

// hello is EAD_1. It is not authenticated until message_2 verifies, and it
// never moves time or epoch.
type hello struct {
	maxSize uint64
	epoch   pki.Epoch
	have    []byte // x5t of the addressed peer's leaf, 8 bytes; nil when not held
}

func (h hello) encode() ([]byte, error) {
	epoch, err := EpochToWire(h.epoch)
	if err != nil {
		return nil, err
	}
	v := []any{version, h.maxSize, epoch}
	if h.have != nil {
		v = append(v, h.have)
	}
	return wire.Marshal(v)
}

func parseHello(data []byte) (h hello, err error) {
	r, err := wire.ItemsOf(data, 3, 4, wire.Limit{Bytes: 64})
	if err != nil {
		return h, fmt.Errorf("%w: hello", ErrBody)
	}
	ver := r.Uint(version)
	h.maxSize = r.Uint(math.MaxUint64)
	epoch := r.Uint(math.MaxUint64)
	if r.Len() > 0 {
		var have [wire.X5TLen]byte
		r.Fixed(have[:])
		h.have = have[:]
	}
	if r.Err() != nil || ver != version {
		return h, fmt.Errorf("%w: hello", ErrBody)
	}
	h.epoch, err = EpochFromWire(epoch)
	return h, err
}

// PeerStatus is EAD_2: what an authenticated Responder said of itself.
type PeerStatus struct {
	Epoch    pki.Epoch // of its revocation state
	Head     [32]byte  // SHA-256 of its revocation head; zero without one
	TimeMS   int64     // its time when it answered, Unix milliseconds
	MinEpoch pki.Epoch // it deals with nobody whose state is older
	Proof    []byte    // stapled revocation proof; nil without
}

func (s PeerStatus) encode() ([]byte, error) {
	epoch, err := EpochToWire(s.Epoch)
	if err != nil {
		return nil, err
	}
	least, err := EpochToWire(s.MinEpoch)
	if err != nil {
		return nil, err
	}
	if s.TimeMS < 0 {
		return nil, fmt.Errorf("%w: time", ErrBody)
	}
	v := []any{epoch, s.Head, s.TimeMS, least}
	if len(s.Proof) > 0 {
		v = append(v, s.Proof)
	}
	return wire.Marshal(v)
}

func parseStatus(data []byte) (s PeerStatus, err error) {
	r, err := wire.ItemsOf(data, 4, 5, bodyLimit())
	if err != nil {
		return s, fmt.Errorf("%w: status", ErrBody)
	}
	epoch := r.Uint(math.MaxUint64)
	r.Fixed(s.Head[:])
	s.TimeMS = int64(r.Uint(math.MaxInt64)) //nolint:gosec // at most MaxInt64
	least := r.Uint(math.MaxUint64)
	if r.Len() > 0 {
		if s.Proof = bytes.Clone(r.Bytes()); len(s.Proof) == 0 {
			return s, fmt.Errorf("%w: status", ErrBody)
		}
	}
	if r.Err() != nil {
		return s, fmt.Errorf("%w: status", ErrBody)
	}
	if s.Epoch, err = EpochFromWire(epoch); err != nil {
		return s, err
	}
	s.MinEpoch, err = EpochFromWire(least)
	return s, err
}

// Purpose says what a request is about, for policy before the body is read.
type Purpose uint8

// The purposes. Source: local, docs/spec/sltp.md.
const (
	PurposeLicense  Purpose = 1 // LICENSE-REQ
	PurposeTransfer Purpose = 2 // MOVE-OPEN
	PurposeClosing  Purpose = 3 // messages of a transfer that was opened before
)

func (p Purpose) known() bool { return p >= PurposeLicense && p <= PurposeClosing }

// Request is EAD_3. Open sets Dst and Epoch.
type Request struct {
	Dst     ident.Device // the source that is addressed
	Purpose Purpose
	ReqID   ident.Request // the same in every repetition of a request
	Epoch   pki.Epoch     // of the asker's revocation state
	ClockMS int64         // the asker's estimate of the time, Unix milliseconds
	Quality uint8         // of that clock: 0 UNSET, 1 FREE, 2 ANCHORED, 3 SECURE
	Head    []byte        // the asker's vault HEAD; opaque here; nil without
	Body    Body
}

func (r Request) encode() ([]byte, error) {
	epoch, err := EpochToWire(r.Epoch)
	if err != nil {
		return nil, err
	}
	if err := checkBody(r.Body); err != nil {
		return nil, err
	}
	if !r.Purpose.known() || r.Quality > 3 || r.ClockMS < 0 || r.Head != nil && len(r.Head) == 0 {
		return nil, fmt.Errorf("%w: request", ErrBody)
	}
	b := wire.AppendArray(make([]byte, 0, 80+len(r.Head)+len(r.Body)), 7)
	b = wire.AppendBytes(b, r.Dst[:])
	b = wire.AppendUint(b, uint64(r.Purpose))
	b = wire.AppendBytes(b, r.ReqID[:])
	b = wire.AppendUint(b, epoch)
	b = wire.AppendUint(wire.AppendArray(b, 2), uint64(r.ClockMS))
	b = wire.AppendUint(b, uint64(r.Quality))
	return append(wire.AppendBytes(b, r.Head), r.Body...), nil
}

// parseRequest copies what it keeps of data.
func parseRequest(data []byte) (r Request, err error) {
	in, err := wire.ItemsOf(data, 7, 7, bodyLimit())
	if err != nil {
		return r, fmt.Errorf("%w: request", ErrBody)
	}
	in.Fixed(r.Dst[:])
	r.Purpose = Purpose(in.Uint(uint64(PurposeClosing))) //nolint:gosec // bounded
	in.Fixed(r.ReqID[:])
	epoch := in.Uint(math.MaxUint64)
	clock, err := wire.ItemsOf(in.Raw(), 2, 2, wire.Limit{})
	if err != nil {
		return r, fmt.Errorf("%w: request", ErrBody)
	}
	r.ClockMS = int64(clock.Uint(math.MaxInt64)) //nolint:gosec // at most MaxInt64
	r.Quality = uint8(clock.Uint(3))             //nolint:gosec // bounded
	r.Head = bytes.Clone(in.OptionalBytes())
	r.Body = Body(bytes.Clone(in.Raw()))
	if in.Err() != nil || clock.Err() != nil || r.Purpose < PurposeLicense || r.Head != nil && len(r.Head) == 0 {
		return r, fmt.Errorf("%w: request", ErrBody)
	}
	if r.Epoch, err = EpochFromWire(epoch); err != nil {
		return r, err
	}
	return r, isArray(r.Body)
}

// Status values of a Reply. Source: local, docs/spec/sltp.md.
const (
	StatusDone    = 0 // the body is what was asked for
	StatusRefused = 1 // the body is ERROR
	StatusLater   = 2 // the body is ERROR; asking again may help
)

// Reply is EAD_4. Endpoint.Reply sets ReqID, but in a session where several
// requests wait.
type Reply struct {
	ReqID  ident.Request
	Status int
	Body   Body
	Head   []byte // the source's vault HEAD; opaque here; nil without
	Delta  []byte // revocation delta for the asker; opaque here; nil without
	TimeMS int64  // the source's time, Unix milliseconds; 0 = not said
	Ends   bool   // every license in Body has an end time (SuiteFloor); not on the wire
}

func (r Reply) encode() ([]byte, error) {
	if err := checkBody(r.Body); err != nil {
		return nil, err
	}
	if r.Status < StatusDone || r.Status > StatusLater || r.TimeMS < 0 || r.Head != nil && len(r.Head) == 0 {
		return nil, fmt.Errorf("%w: reply", ErrBody)
	}
	n := 4
	if len(r.Delta) > 0 {
		n++
	}
	if r.TimeMS > 0 {
		n++
	}
	b := wire.AppendArray(make([]byte, 0, 48+len(r.Body)+len(r.Head)+len(r.Delta)), n)
	b = wire.AppendBytes(b, r.ReqID[:])
	b = append(wire.AppendUint(b, uint64(r.Status)), r.Body...)
	b = wire.AppendBytes(b, r.Head)
	if len(r.Delta) > 0 {
		b = wire.AppendBytes(b, r.Delta)
	}
	if r.TimeMS > 0 {
		b = wire.AppendUint(b, uint64(r.TimeMS))
	}
	return b, nil
}

// parseReply copies what it keeps of data.
func parseReply(data []byte) (r Reply, err error) {
	in, err := wire.ItemsOf(data, 4, 6, bodyLimit())
	if err != nil {
		return r, fmt.Errorf("%w: reply", ErrBody)
	}
	in.Fixed(r.ReqID[:])
	r.Status = int(in.Uint(StatusLater)) //nolint:gosec // at most StatusLater
	r.Body = Body(bytes.Clone(in.Raw()))
	r.Head = bytes.Clone(in.OptionalBytes())
	ok := r.Head == nil || len(r.Head) > 0
	if in.IsBytes() {
		r.Delta = bytes.Clone(in.Bytes())
		ok = ok && len(r.Delta) > 0
	}
	if in.Len() > 0 {
		r.TimeMS = int64(in.Uint(math.MaxInt64)) //nolint:gosec // at most MaxInt64
		ok = ok && r.TimeMS > 0
	}
	if !ok || in.Err() != nil || in.Len() > 0 {
		return r, fmt.Errorf("%w: reply", ErrBody)
	}
	return r, isArray(r.Body)
}

// checkBody checks a body that was not yet a part of something checked.
func checkBody(b Body) error {
	if err := isArray(b); err != nil {
		return err
	}
	if err := wire.Check(b, bodyLimit()); err != nil {
		return fmt.Errorf("%w: %w", ErrBody, err)
	}
	return nil
}

func isArray(b Body) error {
	if len(b) == 0 || b[0]>>5 != 4 {
		return fmt.Errorf("%w: not an array", ErrBody)
	}
	return nil
}

// takesPacked reports whether an EAD_1 or EAD_2 says that its sender takes
// packed chains.
func takesPacked(ead []edhoc.EAD) (said bool, err error) {
	for _, it := range ead {
		if it.Label != labelPacked {
			continue
		}
		if said || it.Value != nil {
			return false, alert(AlertRejected, "EAD item %d twice or with a value", it.Label)
		}
		said = true
	}
	return said, nil
}

// pick finds the one EAD item with the label. Padding and items that are not
// critical are passed over; an unknown critical item is an alert.
func pick(ead []edhoc.EAD, label int64) ([]byte, error) {
	var found []byte
	for _, it := range ead {
		switch {
		case it.Label == label && found == nil && it.Value != nil:
			found = it.Value
		case it.Label == label:
			return nil, alert(AlertRejected, "EAD item %d twice or empty", label)
		case it.Label < 0:
			return nil, alert(AlertUnsupported, "critical EAD item %d", it.Label)
		}
	}
	if found == nil {
		return nil, alert(AlertRejected, "EAD item %d is missing", label)
	}
	return found, nil
}
