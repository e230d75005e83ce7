package sltp

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
)

// Session reuse. Source: local, docs/spec/sltp.md.
const (
	phaseLen    = 100  // messages in one direction under one key
	maxMessages = 1000 // messages of a session, both directions together
	windowLen   = 64   // sequence numbers behind the highest that are still taken
)

// Directions of the external_aad.
const (
	toResponder = 0
	toInitiator = 1
)

// Labels of the derivations from a chain key, in the form of EDHOC_KDF.
const (
	deriveKey   = 0 // 16 bytes: AES-128-GCM
	deriveIV    = 1 // 12 bytes; the context is the direction's IV salt
	deriveChain = 2 // 32 bytes: the next phase's chain key
)

// chainKey is the secret of one key phase. It prints redacted.
type chainKey struct {
	_ [0]func()
	b *[32]byte
}

// Format prints nothing of the key.
func (chainKey) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[chain key]") }

func (k chainKey) derive(label int, context []byte, n int) ([]byte, error) {
	var info []byte
	for _, v := range []any{label, context, n} {
		b, err := wire.Marshal(v)
		if err != nil {
			return nil, err
		}
		info = append(info, b...)
	}
	return hkdf.Expand(sha256.New, k.b[:], string(info), n)
}

func (k chainKey) next() (chainKey, error) {
	b, err := k.derive(deriveChain, []byte{}, 32)
	if err != nil {
		return chainKey{}, err
	}
	return chainKey{b: (*[32]byte)(b)}, nil
}

// direction is one of the two streams of APP messages.
type direction struct {
	id    uint64
	salt  []byte
	phase uint64
	key   chainKey
	old   chainKey // of the phase before; the zero value in phase 0
}

// Format prints no key.
func (direction) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[direction]") }

// at returns the chain key of a phase without moving the direction: the
// current one, the one before, or a later one.
func (d *direction) at(phase uint64) (chainKey, error) {
	switch {
	case phase == d.phase:
		return d.key, nil
	case phase+1 == d.phase && d.old.b != nil:
		return d.old, nil
	case phase < d.phase || phase >= maxMessages/phaseLen:
		return chainKey{}, errReplay
	}
	k := d.key
	var err error
	for range phase - d.phase {
		if k, err = k.next(); err != nil {
			return chainKey{}, err
		}
	}
	return k, nil
}

// advance moves to a phase and forgets all but the one before it.
func (d *direction) advance(phase uint64) error {
	for d.phase < phase {
		k, err := d.key.next()
		if err != nil {
			return err
		}
		if d.old.b != nil {
			clear(d.old.b[:])
		}
		d.old, d.key = d.key, k
		d.phase++
	}
	return nil
}

func (d *direction) wipe() {
	for _, k := range []chainKey{d.key, d.old} {
		if k.b != nil {
			clear(k.b[:])
		}
	}
}

// channel is what both sides of an established session hold.
type channel struct {
	sid  [sidLen]byte
	th4  [32]byte
	out  direction
	in   direction
	seq  uint64 // next to send
	seen window
	used int // messages sent and taken
}

// Format prints no key.
func (channel) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[channel]") }

var (
	errReplay  = errors.New("sltp: sequence number was seen or is too old")
	errNotOpen = errors.New("sltp: APP message does not open")
)

func newChannel(ex exporter, initiator bool) (*channel, error) {
	ir, err1 := ex.Export(exportKeyIR, nil, 32)
	ri, err2 := ex.Export(exportKeyRI, nil, 32)
	ivs, err3 := ex.Export(exportIVs, nil, 24)
	sid, err4 := ex.Export(exportSID, nil, sidLen)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	c := &channel{sid: [sidLen]byte(sid), th4: ex.TH4()}
	c.out = direction{id: toResponder, salt: ivs[:12], key: chainKey{b: (*[32]byte)(ir)}}
	c.in = direction{id: toInitiator, salt: ivs[12:], key: chainKey{b: (*[32]byte)(ri)}}
	if !initiator {
		c.out, c.in = c.in, c.out
	}
	return c, nil
}

func (c *channel) wipe() {
	c.in.wipe()
	c.out.wipe()
}

type appHeader struct {
	Alg int    `cbor:"1,keyasint"`
	Seq []byte `cbor:"6,keyasint"`  // Partial IV: shortest big-endian form
	SID []byte `cbor:"10,keyasint"` // kid context
}

func (c *channel) header(seq uint64) ([]byte, error) {
	return wire.Marshal(appHeader{Alg: wire.AlgA128GCM, Seq: partialIV(seq), SID: c.sid[:]})
}

func partialIV(seq uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, seq)
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

func parseHeader(prot []byte) (seq uint64, sid []byte, err error) {
	var h appHeader
	if err := wire.Unmarshal(prot, &h, wire.Limit{Bytes: 64, Items: 3, Depth: 1}); err != nil {
		return 0, nil, err
	}
	if h.Alg != wire.AlgA128GCM || len(h.SID) != sidLen || len(h.Seq) == 0 || len(h.Seq) > 8 {
		return 0, nil, wire.ErrShape
	}
	var b [8]byte
	copy(b[8-len(h.Seq):], h.Seq)
	seq = binary.BigEndian.Uint64(b[:])
	if !slices.Equal(partialIV(seq), h.Seq) {
		return 0, nil, wire.ErrNotCanonical
	}
	return seq, h.SID, nil
}

// keys derives key, nonce and external_aad of one message.
func (c *channel) keys(d *direction, k chainKey, seq uint64) (key, nonce, aad []byte, err error) {
	if key, err = k.derive(deriveKey, []byte{}, 16); err != nil {
		return nil, nil, nil, err
	}
	if nonce, err = k.derive(deriveIV, d.salt, 12); err != nil {
		return nil, nil, nil, err
	}
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], seq)
	subtle.XORBytes(nonce[4:], nonce[4:], n[:])
	aad, err = wire.Marshal([]any{"SLTP-APP", d.id, c.th4, seq / phaseLen})
	return key, nonce, aad, err
}

func (c *channel) seal(plain []byte) ([]byte, error) {
	seq := c.seq
	if err := c.out.advance(seq / phaseLen); err != nil {
		return nil, err
	}
	if c.out.old.b != nil {
		clear(c.out.old.b[:]) // nothing is sent in an older phase
	}
	key, nonce, aad, err := c.keys(&c.out, c.out.key, seq)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	prot, err := c.header(seq)
	if err != nil {
		return nil, err
	}
	msg, err := wire.NewEncrypt0(key, nonce, prot, aad, plain)
	if err != nil {
		return nil, err
	}
	if len(msg) > MaxMessage {
		return nil, ErrTooLarge
	}
	c.seq++
	c.used++
	return msg, nil
}

// open checks and opens a message; nothing moves unless it holds.
func (c *channel) open(msg []byte) (seq uint64, plain []byte, err error) {
	prot, ct, err := wire.ParseEncrypt0(msg, bodyLimit())
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errNotOpen, err)
	}
	seq, sid, err := parseHeader(prot)
	if err != nil || subtle.ConstantTimeCompare(sid, c.sid[:]) != 1 {
		return 0, nil, errNotOpen
	}
	if seq >= maxMessages || !c.seen.fresh(seq) {
		return 0, nil, errReplay
	}
	k, err := c.in.at(seq / phaseLen)
	if err != nil {
		return 0, nil, err
	}
	key, nonce, aad, err := c.keys(&c.in, k, seq)
	if err != nil {
		return 0, nil, err
	}
	defer clear(key)
	if plain, err = wire.OpenEncrypt0(key, nonce, prot, aad, ct); err != nil {
		return 0, nil, errNotOpen
	}
	if err := c.in.advance(seq / phaseLen); err != nil {
		return 0, nil, err
	}
	c.seen.mark(seq)
	c.used++
	return seq, plain, nil
}
