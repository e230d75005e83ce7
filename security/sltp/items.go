package sltp

import (
	"fmt"

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
	items, err := wire.Array(data, 3, 4, wire.Limit{Bytes: 64})
	if err != nil {
		return h, fmt.Errorf("%w: hello", ErrBody)
	}
	var ver, epoch uint64
	if err = each(items, &ver, &h.maxSize, &epoch, &h.have); err != nil || ver != version {
		return h, fmt.Errorf("%w: hello", ErrBody)
	}
	if len(items) == 4 && len(h.have) != wire.X5TLen {
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
	items, err := wire.Array(data, 4, 5, bodyLimit())
	if err != nil {
		return s, fmt.Errorf("%w: status", ErrBody)
	}
	var epoch, least uint64
	if err := each(items, &epoch, &s.Head, &s.TimeMS, &least, &s.Proof); err != nil || s.TimeMS < 0 {
		return s, fmt.Errorf("%w: status", ErrBody)
	}
	if len(items) == 5 && len(s.Proof) == 0 {
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
	if r.Purpose < PurposeLicense || r.Purpose > PurposeClosing || r.Quality > 3 || r.ClockMS < 0 || r.Head != nil && len(r.Head) == 0 {
		return nil, fmt.Errorf("%w: request", ErrBody)
	}
	return wire.Marshal([]any{r.Dst, r.Purpose, r.ReqID, epoch, []any{r.ClockMS, r.Quality}, r.Head, wire.RawMessage(r.Body)})
}

func parseRequest(data []byte) (r Request, err error) {
	items, err := wire.Array(data, 7, 7, bodyLimit())
	if err != nil {
		return r, fmt.Errorf("%w: request", ErrBody)
	}
	var epoch uint64
	var clock wire.RawMessage
	if err := each(items, &r.Dst, &r.Purpose, &r.ReqID, &epoch, &clock, &r.Head, (*wire.RawMessage)(&r.Body)); err != nil {
		return r, fmt.Errorf("%w: request", ErrBody)
	}
	parts, err := wire.Array(clock, 2, 2, wire.Limit{})
	if err != nil || each(parts, &r.ClockMS, &r.Quality) != nil {
		return r, fmt.Errorf("%w: request", ErrBody)
	}
	if r.Purpose < PurposeLicense || r.Purpose > PurposeClosing || r.Quality > 3 || r.ClockMS < 0 || r.Head != nil && len(r.Head) == 0 {
		return r, fmt.Errorf("%w: request", ErrBody)
	}
	if r.Epoch, err = EpochFromWire(epoch); err != nil {
		return r, err
	}
	return r, checkBody(r.Body)
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
	v := []any{r.ReqID, r.Status, wire.RawMessage(r.Body), r.Head}
	if len(r.Delta) > 0 {
		v = append(v, r.Delta)
	}
	if r.TimeMS > 0 {
		v = append(v, r.TimeMS)
	}
	return wire.Marshal(v)
}

func parseReply(data []byte) (r Reply, err error) {
	items, err := wire.Array(data, 4, 6, bodyLimit())
	if err != nil {
		return r, fmt.Errorf("%w: reply", ErrBody)
	}
	if err := each(items[:4], &r.ReqID, &r.Status, (*wire.RawMessage)(&r.Body), &r.Head); err != nil {
		return r, fmt.Errorf("%w: reply", ErrBody)
	}
	tail := items[4:]
	if len(tail) > 0 && tail[0][0]>>5 == 2 {
		if err := wire.Unmarshal(tail[0], &r.Delta, bodyLimit()); err != nil || len(r.Delta) == 0 {
			return r, fmt.Errorf("%w: reply", ErrBody)
		}
		tail = tail[1:]
	}
	if len(tail) > 1 || len(tail) == 1 && (wire.Unmarshal(tail[0], &r.TimeMS, wire.Limit{}) != nil || r.TimeMS <= 0) {
		return r, fmt.Errorf("%w: reply", ErrBody)
	}
	if r.Status < StatusDone || r.Status > StatusLater || r.Head != nil && len(r.Head) == 0 {
		return r, fmt.Errorf("%w: reply", ErrBody)
	}
	return r, checkBody(r.Body)
}

func checkBody(b Body) error {
	if len(b) == 0 || b[0]>>5 != 4 {
		return fmt.Errorf("%w: not an array", ErrBody)
	}
	if err := wire.Check(b, bodyLimit()); err != nil {
		return fmt.Errorf("%w: %w", ErrBody, err)
	}
	return nil
}

// each decodes items one by one; there may be fewer items than targets.
func each(items []wire.RawMessage, into ...any) error {
	for i, item := range items {
		if err := wire.Unmarshal(item, into[i], bodyLimit()); err != nil {
			return err
		}
	}
	return nil
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
