package bench

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// shape is the lengths in bytes of what is hashed, derived from and sealed in
// one exchange. They are those of messages that were seen.
type shape struct {
	suite          sltp.Suite
	m1, gy         int
	plain2, plain3 int
	reply          int // PLAINTEXT_4
	credR, credI   int
	headR, headI   int // ID_CRED_R and ID_CRED_I as header maps; chains are packed
	chain          int // of the peer, when its hash is looked up in a cache; else 0
	message1       []byte
	body           sltp.Body // of the request
	answer         sltp.Body
}

// head is the length of a byte string's head, from 256 bytes on.
const head = 3

// eadHead is the length of an EAD item's label and of its value's head.
const eadHead = 3 + head

func (w *sltpWorld) shapeOf(x *exchange, suite sltp.Suite) (shape, error) {
	if len(x.trace) != 4 {
		return shape{}, errors.New("an exchange has four messages")
	}
	s := shape{
		suite: suite, m1: len(x.trace[0]), gy: 32, plain3: len(x.trace[2]) - head - suite.TagLen(), reply: len(x.trace[3]) - head - suite.TagLen(),
		credR: len(w.issuer.chain[0]) + head, credI: len(w.homes[0].chain[0]) + head,
		headR: 14, headI: 14, message1: x.trace[0], body: w.request.Body, answer: w.reply.Body, // {34: [-15, 8 bytes]} is 14
	}
	if suite == edhoc.SuiteHybrid {
		s.gy += mlkem.CiphertextSize768
	}
	s.plain2 = len(x.trace[1]) - head - s.gy
	if x.cached {
		s.chain = total(w.homes[0].chain)
		return s, nil
	}
	const mapAndLabel = 6 // of {-162224: packed}
	for p, n := range map[*sltpParty]*int{w.issuer: &s.headR, w.homes[0]: &s.headI} {
		id, err := edhoc.PackedChain(p.chain)
		if err != nil {
			return shape{}, err
		}
		*n = mapAndLabel + head + len(id.Packed)
	}
	return s, nil
}

func total(chain [][]byte) (n int) {
	for _, der := range chain {
		n += len(der)
	}
	return n
}

// prims are the symmetric primitives of one side: both hash, derive, seal and
// open as much.
func (s shape) prims(name string) ([]named, error) {
	sealing, err := s.sealing()
	if err != nil {
		return nil, err
	}
	return []named{
		{name + ": KDF", s.deriving()}, {name + ": AEAD", sealing}, {name + ": CBOR", s.coding()}, {name + ": SHA-256", s.hashing()},
	}, nil
}

// lengths of the two contexts of MAC_2 and MAC_3; with the label and the MAC,
// of the two structures that are signed.
func (s shape) contexts() (two, three int) {
	const thAndCID = 34 + 9
	return thAndCID + s.headR + s.credR + s.plain2 - s.headR - 66 - 9, thAndCID + s.headI + s.credI + requestBytes + eadHead
}

// hashing is H(message_1), TH_2, TH_3, TH_4, the two signed structures, the
// peer's ID, and what a cache is asked for.
func (s shape) hashing() Kernel {
	two, three := s.contexts()
	const signed, spki = 60, 91
	var in [][]byte
	for _, n := range []int{s.m1, 34 + s.gy, 34 + s.plain2 + s.credR, 34 + s.plain3 + s.credI, two + signed, three + signed, spki, s.chain} {
		in = append(in, make([]byte, n))
	}
	return times(func() error {
		for _, b := range in {
			if len(b) > 0 {
				sha256.Sum256(b)
			}
		}
		return nil
	})
}

// deriving is Extract and every output of EDHOC_KDF and of the exporter, with
// one keyed HMAC for each pseudorandom key.
func (s shape) deriving() Kernel {
	two, three := s.contexts()
	outs := [3][][2]int{ // of PRK_2e, PRK_out and PRK_exporter: bytes of context and of output
		{{32, s.plain2}, {two, 32}, {three, 32}, {32, 16}, {32, 13}, {32, 16}, {32, 13}, {32, 32}},
		{{0, 32}},
		{{0, 32}, {0, 32}, {0, 24}, {0, 8}},
	}
	secret, salt, context := make([]byte, 32), make([]byte, 32), make([]byte, max(two, three))
	info := make([]byte, 8)
	return times(func() error {
		prk, err := hkdf.Extract(sha256.New, secret, salt)
		if err != nil {
			return err
		}
		for _, list := range outs {
			mac := hmac.New(sha256.New, prk)
			for _, o := range list {
				out := make([]byte, 0, o[1]+sha256.Size)
				for len(out) < o[1] {
					mac.Reset()
					mac.Write(out[max(0, len(out)-sha256.Size):])
					mac.Write(context[:o[0]])
					mac.Write(info)
					out = mac.Sum(out)
				}
			}
		}
		return nil
	})
}

// sealing is message_3 and message_4. AES-CCM is a CBC-MAC and a key stream.
func (s shape) sealing() (Kernel, error) {
	key, aad, iv := make([]byte, 16), make([]byte, 45), s.message1[:16] // any bytes do
	gcm := s.suite == edhoc.Suite6 || s.suite == edhoc.SuiteHybrid
	one := func(text []byte) error {
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		if gcm {
			a, err := cipher.NewGCM(block)
			if err == nil {
				a.Seal(nil, iv[:12], text, aad)
			}
			return err
		}
		padded := make([]byte, (16+2+len(aad)+15)/16*16+(len(text)+15)/16*16)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
		out := make([]byte, len(text)+16)
		cipher.NewCTR(block, iv).XORKeyStream(out, out)
		return nil
	}
	three, four := make([]byte, s.plain3), make([]byte, s.reply)
	if err := one(three); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return times(func() error { return errors.Join(one(three), one(four)) }), nil
}

// Layouts of docs/spec/sltp.md, each in one go.
type (
	helloItem struct {
		_       struct{} `cbor:",toarray"`
		Version uint64
		Size    uint64
		Epoch   uint64
	}
	clockItem struct {
		_       struct{} `cbor:",toarray"`
		MS      int64
		Quality uint8
	}
	requestItem struct {
		_       struct{} `cbor:",toarray"`
		Dst     ident.Device
		Purpose uint8
		ReqID   ident.Request
		Epoch   uint64
		Clock   clockItem
		Head    []byte
		Body    wire.RawMessage
	}
	statusItem struct {
		_     struct{} `cbor:",toarray"`
		Epoch uint64
		Head  [32]byte
		Time  int64
		Least uint64
	}
	replyItem struct {
		_      struct{} `cbor:",toarray"`
		ReqID  ident.Request
		Status int
		Body   wire.RawMessage
		Head   []byte
	}
)

// coding is what the source reads and writes, strictly: message_1, hello and
// request; status and reply. The destination writes and reads the same.
func (s shape) coding() Kernel {
	epoch := sltpEpoch().Number // in generation 0, as it stands on the wire
	limit := wire.Limit{Bytes: sltp.MaxMessage, Items: 256, Depth: 16}
	hello := mustEncode(helloItem{Version: 1, Size: sltp.MaxMessage, Epoch: epoch})
	request := mustEncode(requestItem{Purpose: 1, Epoch: epoch, Clock: clockItem{MS: rentalIssued(), Quality: 2}, Body: wire.RawMessage(s.body)})
	plain := mustEncode(make([]byte, s.plain3))
	return times(func() error {
		for rest := s.message1; len(rest) > 0; {
			var err error
			if _, rest, err = wire.Next(rest, limit); err != nil {
				return err
			}
		}
		var h helloItem
		var r requestItem
		_, err1 := wire.Marshal(statusItem{Epoch: epoch, Time: rentalIssued()})
		_, err2 := wire.Marshal(replyItem{Body: wire.RawMessage(s.answer)})
		return errors.Join(wire.Unmarshal(hello, &h, limit), wire.Check(plain, limit), wire.Unmarshal(request, &r, limit), err1, err2)
	})
}

func mustEncode(v any) []byte {
	b, err := wire.Marshal(v)
	if err != nil {
		panic(err) //nolint:forbidigo // these kinds always encode
	}
	return b
}
