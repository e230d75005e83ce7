package lrp

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// Errors of a negotiation.
var (
	// ErrVersion: the two sides have no version in common.
	ErrVersion = errors.New("lrp: no common version")
	// ErrAnswer: the answer does not belong to the offer that was sent.
	ErrAnswer = errors.New("lrp: answer is not for this offer")
)

// Limits are what a module accepts from one peer. Zero fields mean the default.
type Limits struct {
	_       struct{} `cbor:",toarray"`
	Body    uint32   // bytes in a frame's body; default MaxBody
	Frames  uint32   // frames in one answer; default MaxFrames
	Pending uint32   // transactions remembered for one source; default MaxPending
}

// Hello is the body of a frame of TypeHello: an offer, or with Offer set its answer.
type Hello struct {
	Versions  []uint64 `cbor:"1,keyasint"` // ascending; an answer names exactly one
	Protocols []string `cbor:"2,keyasint"` // carried: ProtocolSLTP …
	Bindings  []string `cbor:"3,keyasint"` // "http" …
	Limits    Limits   `cbor:"4,keyasint"`
	// Epoch is the revocation epoch that the sender claims. It has no effect:
	// only a verified head moves an epoch.
	Epoch uint64 `cbor:"5,keyasint"`
	// Offer is SHA-256 of the offer's body, in an answer.
	Offer []byte `cbor:"6,keyasint,omitempty"`
	// Link is, in an answer, the link's name to prove oneself on; in an offer a
	// random name that the answerer proves itself on. Nil: no proofs.
	Link []byte `cbor:"16,keyasint,omitempty"`
	// Proof is the encoded Proof of who sends this HELLO; nil: not proven.
	Proof []byte `cbor:"18,keyasint,omitempty"`
	// Seal is the sender's key for AUTH: a point of P-256, uncompressed.
	Seal []byte `cbor:"20,keyasint,omitempty"`
	// TLS is SHA-256 of the certificate of the household's CA, DER: what an answerer
	// that proves itself says for its TLS.
	TLS []byte `cbor:"22,keyasint,omitempty"`
	// Other holds what later versions added under even keys of 16 and above,
	// byte for byte. Odd ones are critical and refused.
	Other map[uint64]wire.RawMessage `cbor:"-"`
}

// Protocols a module may carry, as HELLO names them. Source: local, docs/spec/lrp.md.
const (
	ProtocolSLTP = "sltp/edhoc-0-2" // SLTP in Diffie-Hellman mode, EDHOC method 0, suite 2
)

// Keys of a HELLO that older versions pass over.
const (
	keyLink  = 16
	keyProof = 18
	keySeal  = 20
	keyTLS   = 22
)

// helloLimit bounds a HELLO body.
var helloLimit = wire.Limit{Bytes: 4096, Items: 32, Depth: 4}

// Encode returns the body.
func (h Hello) Encode() ([]byte, error) {
	h.Limits = h.Limits.orDefault()
	if err := h.check(); err != nil {
		return nil, err
	}
	known, err := wire.Marshal(h)
	if err != nil || len(h.Other) == 0 {
		return known, err
	}
	all := map[uint64]wire.RawMessage{}
	if err := wire.Unmarshal(known, &all, helloLimit); err != nil {
		return nil, err
	}
	maps.Copy(all, h.Other)
	return wire.Marshal(all)
}

// ParseHello reads a HELLO body.
func ParseHello(body []byte) (Hello, error) {
	all := map[uint64]wire.RawMessage{}
	if err := wire.Unmarshal(body, &all, helloLimit); err != nil {
		return Hello{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	other := map[uint64]wire.RawMessage{}
	for k, v := range all {
		switch {
		case k < 16 || named(k):
			continue
		case k%2 == 1:
			return Hello{}, fmt.Errorf("%w: unknown critical key %d", ErrFrame, k)
		}
		other[k] = v
		delete(all, k)
	}
	known, err := wire.Marshal(all)
	if err != nil {
		return Hello{}, err
	}
	var h Hello
	if err := wire.Unmarshal(known, &h, helloLimit); err != nil {
		return Hello{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	if len(other) > 0 {
		h.Other = other
	}
	if h.Limits != h.Limits.orDefault() {
		return Hello{}, fmt.Errorf("%w: a limit is 0", ErrFrame)
	}
	return h, h.check()
}

// named reports whether a key of 16 and above has a field here.
func named(k uint64) bool { return k == keyLink || k == keyProof || k == keySeal || k == keyTLS }

func (h Hello) check() error {
	if len(h.Versions) == 0 || !slices.IsSorted(h.Versions) || len(slices.Compact(slices.Clone(h.Versions))) != len(h.Versions) {
		return fmt.Errorf("%w: versions are not ascending", ErrFrame)
	}
	if h.Protocols == nil || h.Bindings == nil {
		return fmt.Errorf("%w: HELLO without protocols or bindings", ErrFrame)
	}
	if h.Offer != nil && (len(h.Offer) != sha256.Size || len(h.Versions) != 1) {
		return fmt.Errorf("%w: answer without one version or the offer's hash", ErrFrame)
	}
	if h.Link != nil && len(h.Link) != len(LinkID{}) || h.Seal != nil && len(h.Seal) != sealKeyLen || len(h.Proof) > maxProof || h.TLS != nil && len(h.TLS) != sha256.Size {
		return fmt.Errorf("%w: link, proof, key or hash of another length", ErrFrame)
	}
	for k := range h.Other {
		if k < 16 || k%2 == 1 || named(k) {
			return fmt.Errorf("%w: extension under key %d", ErrFrame, k)
		}
	}
	return nil
}

// Agreement is what two modules may use with each other.
type Agreement struct {
	Version   uint64
	Protocols []string // both carry
	Bindings  []string // both have
	Limits    Limits   // the smaller of each
	Epoch     uint64   // that the other side claims: without effect until it shows a head (Inquiry)
}

// Answer answers an offer's body with what both sides have. The answer is
// the body of the HELLO to send back. Without a common version it is ErrVersion.
func (h Hello) Answer(offer []byte) (body []byte, a Agreement, err error) {
	o, err := ParseHello(offer)
	if err != nil {
		return nil, Agreement{}, err
	}
	if o.Offer != nil {
		return nil, Agreement{}, fmt.Errorf("%w: an answer where an offer belongs", ErrFrame)
	}
	if a, err = agree(h, o); err != nil {
		return nil, Agreement{}, err
	}
	sum := sha256.Sum256(offer)
	body, err = Hello{
		Versions: []uint64{a.Version}, Protocols: a.Protocols, Bindings: a.Bindings, Limits: a.Limits, Epoch: h.Epoch, Offer: sum[:],
		Link: h.Link, Seal: h.Seal, TLS: h.TLS,
	}.Encode()
	return body, a, err
}

// Accept checks the answer to the offer whose body was sent. An answer to
// something else, or one that names what was not offered, is refused. That the
// version is the highest of both the answerer alone can know.
func (h Hello) Accept(offer, answer []byte) (Agreement, error) {
	a, err := ParseHello(answer)
	if err != nil {
		return Agreement{}, err
	}
	if sum := sha256.Sum256(offer); string(a.Offer) != string(sum[:]) {
		return Agreement{}, ErrAnswer
	}
	got, err := agree(h, a)
	if err != nil {
		return Agreement{}, err
	}
	if len(got.Protocols) != len(a.Protocols) || len(got.Bindings) != len(a.Bindings) {
		return Agreement{}, fmt.Errorf("%w: it names what was not offered", ErrAnswer)
	}
	return got, nil
}

// Sign adds the sender's proof to a HELLO, for the link of the given relay. sign is
// the module's: it makes a pki.LinkStatement of these three and returns its certificate,
// too. The result is the body to send.
func (h Hello) Sign(link LinkID, relay Addr, sign func(link LinkID, relay Addr, hello [32]byte) (Proof, error)) ([]byte, error) {
	bare, err := h.withoutProof()
	if err != nil {
		return nil, err
	}
	p, err := sign(link, relay, sha256.Sum256(bare))
	if err != nil {
		return nil, err
	}
	if h.Proof, err = p.Encode(); err != nil {
		return nil, err
	}
	return h.Encode()
}

func (h Hello) withoutProof() ([]byte, error) {
	h.Proof = nil
	return h.Encode()
}

// SignedBy returns whose proof a HELLO's body has, for this link and relay.
func SignedBy(body []byte, link LinkID, relay Addr) (Addr, error) {
	h, err := ParseHello(body)
	if err != nil {
		return Addr{}, err
	}
	bare, err := h.withoutProof()
	if err != nil {
		return Addr{}, err
	}
	return verify(h.Proof, pki.LinkStatement{Link: link, Relay: ident.Device(relay), Hello: sha256.Sum256(bare)})
}

func agree(mine, theirs Hello) (Agreement, error) {
	common := both(mine.Versions, theirs.Versions)
	if len(common) == 0 {
		return Agreement{}, ErrVersion
	}
	m, t := mine.Limits.orDefault(), theirs.Limits.orDefault()
	return Agreement{
		Version:   slices.Max(common),
		Protocols: both(mine.Protocols, theirs.Protocols),
		Bindings:  both(mine.Bindings, theirs.Bindings),
		Limits:    Limits{Body: min(m.Body, t.Body), Frames: min(m.Frames, t.Frames), Pending: min(m.Pending, t.Pending)},
		Epoch:     theirs.Epoch,
	}, nil
}

// both keeps what stands in both lists, in mine's order, never nil.
func both[T comparable](mine, theirs []T) []T {
	out := []T{}
	for _, v := range mine {
		if slices.Contains(theirs, v) && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func (l Limits) orDefault() Limits {
	if l.Body == 0 {
		l.Body = MaxBody
	}
	if l.Frames == 0 {
		l.Frames = MaxFrames
	}
	if l.Pending == 0 {
		l.Pending = MaxPending
	}
	return l
}
