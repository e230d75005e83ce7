package slots

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// The objects by which a device asks for a place, and its keeper answers.
// Source: local, docs/spec/places.md.
const (
	objectAsk    = wire.Object("place-ask")
	objectAnswer = wire.Object("place")
)

// Nonce is drawn anew for each message: an answer repeats the one of its ask, and an
// ask the one that the keeper gave out last.
type Nonce [16]byte

func newNonce() (n Nonce) {
	rand.Read(n[:])
	return n
}

// Op is what a device asks for.
type Op uint8

// The operations.
const (
	Begin Op = 1 // a slot, for a session that is to begin
	Beat  Op = 2 // heartbeat of a session that runs
	End   Op = 3 // the session is over
)

// Outcome is what the keeper answers.
type Outcome uint8

// The outcomes.
const (
	Granted Outcome = 1 // the device has a slot, from when it asked on for 180 s
	Full    Outcome = 2 // it has none: others have all
	Lost    Outcome = 3 // it has none any more: another one took it over, or it lapsed
	Ended   Outcome = 4 // it has none, as it said
	Again   Outcome = 5 // nothing was done: ask again, with this challenge
)

// Ask is what a device's module says to its keeper. Who signs it is the device.
type Ask struct {
	Nonce     Nonce          `cbor:"1,keyasint"`
	Op        Op             `cbor:"2,keyasint"`
	Keeper    ident.Device   `cbor:"3,keyasint"`
	Challenge Nonce          `cbor:"4,keyasint"`           // the one of the keeper's newest answer; zero: there was none
	License   ident.License  `cbor:"5,keyasint"`           // whose places they are
	Max       uint64         `cbor:"6,keyasint"`           // sessions at a time, as the license says; END: 0
	OnFull    license.OnFull `cbor:"7,keyasint"`           // as the license says; END: 0
	Takeover  bool           `cbor:"8,keyasint,omitempty"` // BEGIN: the oldest may give way
	Age       uint64         `cbor:"9,keyasint,omitempty"` // BEAT: ms since the place was granted; 0: it has none
}

func (a *Ask) rule() license.ConcurrencyRule {
	return license.ConcurrencyRule{Max: a.Max, OnFull: a.OnFull}
}

// Answer is what the keeper says.
type Answer struct {
	Nonce     Nonce         `cbor:"1,keyasint"` // of the ask
	Device    ident.Device  `cbor:"2,keyasint"` // whom it is for
	License   ident.License `cbor:"3,keyasint"`
	Outcome   Outcome       `cbor:"4,keyasint"`
	Challenge Nonce         `cbor:"5,keyasint"`           // for the next ask
	Holders   []Holding     `cbor:"6,keyasint,omitempty"` // FULL and LOST: who has the slots, oldest first
	By        ident.Device  `cbor:"7,keyasint,omitzero"`  // LOST: who took it over; zero: it lapsed
}

// Holding is a slot that somebody else has.
type Holding struct {
	_      struct{} `cbor:",toarray"`
	Device ident.Device
	Since  uint64 // ms since it began
	Seen   uint64 // ms since its last heartbeat
	Own    bool   // a session of the keeper itself, which does not lapse
}

// Limits of messages. Source: local, docs/spec/places.md.
const (
	maxAsk      = 512
	maxAnswer   = 6 << 10
	maxHoldings = 128             // 64 sessions of the keeper, 64 devices
	maxAge      = 1 << 53         // ms
	maxRule     = 65_536          // sessions at a time, as a license may say
	answerItems = 8 * maxHoldings // of its payload, at most
)

// Errors of messages that do not hold.
var (
	ErrMessage = errors.New("place: the message does not hold")
	ErrFresh   = errors.New("place: it answers nothing that was asked")
	ErrRoom    = errors.New("place: too many licenses are in use at once")
)

// Sign signs an ask with the device's identity key, whose certificate is leaf (DER).
func (a *Ask) Sign(signer crypto.Signer, leaf []byte) ([]byte, error) {
	return sign(signer, leaf, objectAsk, a)
}

// Sign signs an answer with the keeper's identity key, whose certificate is leaf (DER).
func (a *Answer) Sign(signer crypto.Signer, leaf []byte) ([]byte, error) {
	return sign(signer, leaf, objectAnswer, a)
}

func sign(signer crypto.Signer, leaf []byte, o wire.Object, v any) ([]byte, error) {
	payload, err := wire.Marshal(v)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, leaf, o, payload)
}

// ParseAsk reads what the holder of the key pub asks of a keeper.
func ParseAsk(data []byte, pub crypto.PublicKey, keeper ident.Device) (*Ask, error) {
	a, sig, err := readAsk(data)
	if err != nil {
		return nil, err
	}
	if a.Keeper != keeper {
		return nil, fmt.Errorf("%w: it is for another keeper", ErrMessage)
	}
	if err := sig.Verify(pub); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return a, nil
}

func readAsk(data []byte) (*Ask, *wire.Sign1, error) {
	a := new(Ask)
	sig, err := read(data, objectAsk, wire.Limit{Bytes: maxAsk, Items: 32, Depth: 4}, a)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case a.Op < Begin || a.Op > End, (a.Max == 0) != (a.Op == End), a.Max > maxRule, a.OnFull > license.TakeoverOldest, a.Age > maxAge,
		a.OnFull > 0 && a.Op == End, a.Takeover && a.Op != Begin, a.Age > 0 && a.Op != Beat:
		return nil, nil, fmt.Errorf("%w: a value out of its range", ErrMessage)
	}
	return a, sig, nil
}

// ParseAnswer reads what the keeper, whose key is pub, answers.
func ParseAnswer(data []byte, pub crypto.PublicKey) (*Answer, error) {
	a, sig, err := readAnswer(data)
	if err != nil {
		return nil, err
	}
	if err := sig.Verify(pub); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return a, nil
}

func readAnswer(data []byte) (*Answer, *wire.Sign1, error) {
	a := new(Answer)
	sig, err := read(data, objectAnswer, wire.Limit{Bytes: maxAnswer, Items: answerItems, Depth: 4}, a)
	if err != nil {
		return nil, nil, err
	}
	told := a.Outcome == Full || a.Outcome == Lost
	if a.Outcome < Granted || a.Outcome > Again || len(a.Holders) > maxHoldings || len(a.Holders) > 0 && !told ||
		a.By != (ident.Device{}) && a.Outcome != Lost {
		return nil, nil, fmt.Errorf("%w: a value out of its range", ErrMessage)
	}
	for _, h := range a.Holders {
		if h.Since >= maxAge || h.Seen >= maxAge || h.Own && h.Seen != 0 {
			return nil, nil, fmt.Errorf("%w: a value out of its range", ErrMessage)
		}
	}
	return a, sig, nil
}

func read(data []byte, o wire.Object, most wire.Limit, v any) (*wire.Sign1, error) {
	sig, err := wire.ParseSign1(data, o, most)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if err := wire.Unmarshal(sig.Payload, v, most); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return sig, nil
}
