package sltp

import (
	"bytes"
	"crypto/cipher"
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
	_    [0]func()
	b    *[32]byte
	made *sealer // shared by copies; filled with the first message of the phase
}

func newChainKey(b []byte) chainKey { return chainKey{b: (*[32]byte)(b), made: new(sealer)} }

// sealer is what the messages of one phase in one direction have in common.
type sealer struct {
	aead cipher.AEAD // nil until it is made
	iv   [12]byte
	aad  []byte
}

// Format prints no key.
func (sealer) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[sealer]") }

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
	return newChainKey(b), nil
}

// keys derives the AES key and the IV of the phase.
func (k chainKey) keys(salt []byte) (key, iv []byte, err error) {
	if key, err = k.derive(deriveKey, []byte{}, 16); err != nil {
		return nil, nil, err
	}
	iv, err = k.derive(deriveIV, salt, 12)
	return key, iv, err
}

// wipe clears the key and lets go of what was made of it.
func (k chainKey) wipe() {
	if k.b != nil {
		clear(k.b[:])
		*k.made = sealer{}
	}
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
		d.old.wipe()
		d.old, d.key = d.key, k
		d.phase++
	}
	return nil
}

func (d *direction) wipe() {
	d.key.wipe()
	d.old.wipe()
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
	c.out = direction{id: toResponder, salt: ivs[:12], key: newChainKey(ir)}
	c.in = direction{id: toInitiator, salt: ivs[12:], key: newChainKey(ri)}
	if !initiator {
		c.out, c.in = c.in, c.out
	}
	return c, nil
}

func (c *channel) wipe() {
	c.in.wipe()
	c.out.wipe()
}

// The protected header is {1: A128GCM, 6: Partial IV, 10: session ID}, with the
// Partial IV in its shortest big-endian form and the session ID as kid context.
const (
	headerStart = "\xa3\x01\x01\x06"
	headerSID   = "\x0a"
)

func (c *channel) header(seq uint64) []byte {
	b := append(make([]byte, 0, 24), headerStart...)
	b = append(wire.AppendBytes(b, partialIV(seq)), headerSID...)
	return wire.AppendBytes(b, c.sid[:])
}

func partialIV(seq uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, seq)
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// parseHeader takes the header apart by its lengths; it is one if header makes
// the same of the parts.
func parseHeader(prot []byte) (seq uint64, sid [sidLen]byte, err error) {
	n := len(prot) - len(headerStart) - 1 - len(headerSID) - 1 - sidLen
	if n < 1 || n > 8 {
		return 0, sid, wire.ErrShape
	}
	for _, b := range prot[len(headerStart)+1:][:n] {
		seq = seq<<8 | uint64(b)
	}
	copy(sid[:], prot[len(prot)-sidLen:])
	if c := (channel{sid: sid}); !bytes.Equal(c.header(seq), prot) {
		return 0, sid, wire.ErrShape
	}
	return seq, sid, nil
}

// sealer makes, once in a phase, what its messages are sealed and opened with.
func (c *channel) sealer(d *direction, k chainKey, phase uint64) (*sealer, error) {
	if k.made.aead != nil {
		return k.made, nil
	}
	key, iv, err := k.keys(d.salt)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := wire.A128GCM(key)
	if err != nil {
		return nil, err
	}
	aad, err := wire.Marshal([]any{"SLTP-APP", d.id, c.th4, phase})
	if err != nil {
		return nil, err
	}
	*k.made = sealer{aead: aead, iv: [12]byte(iv), aad: aad}
	return k.made, nil
}

// nonce of a message is the IV with its sequence number.
func (s *sealer) nonce(seq uint64) []byte {
	nonce := slices.Clone(s.iv[:])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], seq)
	subtle.XORBytes(nonce[4:], nonce[4:], n[:])
	return nonce
}

func (c *channel) seal(plain []byte) ([]byte, error) {
	seq := c.seq
	if err := c.out.advance(seq / phaseLen); err != nil {
		return nil, err
	}
	c.out.old.wipe() // nothing is sent in an older phase
	s, err := c.sealer(&c.out, c.out.key, seq/phaseLen)
	if err != nil {
		return nil, err
	}
	msg, err := wire.SealEncrypt0(s.aead, s.nonce(seq), c.header(seq), s.aad, plain)
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
	if err != nil || sid != c.sid {
		return 0, nil, errNotOpen
	}
	if seq >= maxMessages || !c.seen.fresh(seq) {
		return 0, nil, errReplay
	}
	k, err := c.in.at(seq / phaseLen)
	if err != nil {
		return 0, nil, err
	}
	s, err := c.sealer(&c.in, k, seq/phaseLen)
	if err != nil {
		return 0, nil, err
	}
	if plain, err = wire.UnsealEncrypt0(s.aead, s.nonce(seq), prot, s.aad, ct); err != nil {
		return 0, nil, errNotOpen
	}
	if err := c.in.advance(seq / phaseLen); err != nil {
		return 0, nil, err
	}
	c.seen.mark(seq)
	c.used++
	return seq, plain, nil
}
