package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// Layout of a segment file. Source: local, docs/spec/vault.md.
const (
	magic     = "LARESVL1"
	version   = 1
	align     = 16       // bytes: header and frames begin at multiples of it
	headLen   = 16       // bytes: of the frame head, and of what precedes the header
	tagLen    = 16       // bytes: AES-GCM
	keyLen    = 32       // bytes: vault key, segment key
	saltLen   = 32       // bytes
	sector    = 512      // bytes: a disk writes each whole or not at all
	maxHeader = 4 << 10  // bytes
	maxFrame  = 64 << 20 // bytes, without the head
	maxRecs   = 1 << 16  // records in a batch
	info      = "lares/1/vault/segment"
)

// hash is a link of the log's chain.
type hash = [sha256.Size]byte

// header starts a segment. It is bound to every batch of the segment, and to
// where the log stood.
type header struct {
	_           struct{} `cbor:",toarray"`
	Version     uint
	Device      ident.Device
	Incarnation ident.Incarnation
	Segment     uint64
	Base        bool       // nothing before this segment counts any more
	Kind        anchorKind // of the vault's anchor; 0 = none
	Counter     uint64     // batches before this segment
	Hash        hash       // of the log before this segment
	Anchor      hash       // the anchor's value for the log before this segment
	Salt        [saltLen]byte
	Key         []byte // vault key, sealed by the keystore
}

// payload is the content of a batch.
type payload struct {
	_        struct{} `cbor:",toarray"`
	Anchored bool
	Records  []record
}

type record struct {
	_    struct{} `cbor:",toarray"`
	Kind uint8
	Body []byte
}

// link hashes without a copy of data, which may hold keys.
func link(prev hash, data []byte) (out hash) {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(data)
	h.Sum(out[:0])
	return out
}

func (h *header) encode() (block []byte, err error) {
	data, err := wire.Marshal(h)
	if err != nil {
		return nil, err
	}
	block = append(block, magic...)
	block = binary.BigEndian.AppendUint32(block, uint32(len(data))) //nolint:gosec // a header is a few hundred bytes
	block = binary.BigEndian.AppendUint32(block, crc32.Checksum(data, castagnoli()))
	return pad(append(block, data...)), nil
}

// parseHeader returns the header and where the first frame begins.
func parseHeader(file []byte) (h *header, off int, err error) {
	if len(file) < headLen || string(file[:len(magic)]) != magic {
		return nil, 0, fmt.Errorf("%w: not a segment", ErrCorrupt)
	}
	n := binary.BigEndian.Uint32(file[8:])
	if n > maxHeader || headLen+int(n) > len(file) {
		return nil, 0, fmt.Errorf("%w: header length", ErrCorrupt)
	}
	data := file[headLen : headLen+int(n)]
	h = new(header)
	if err := wire.Unmarshal(data, h, wire.Limit{Bytes: maxHeader}); err != nil || crc32.Checksum(data, castagnoli()) != binary.BigEndian.Uint32(file[12:]) {
		return nil, 0, fmt.Errorf("%w: header", ErrCorrupt)
	}
	if h.Version != version {
		return nil, 0, fmt.Errorf("vault: version %d is not known here", h.Version)
	}
	off = headLen + int(n)
	if rest := -off & (align - 1); rest > len(file)-off || len(bytes.Trim(file[off:off+rest], "\x00")) > 0 {
		return nil, 0, fmt.Errorf("%w: header padding", ErrCorrupt)
	}
	return h, off + -off&(align-1), nil
}

// sealer seals and opens the batches of one segment.
type sealer struct {
	aead cipher.AEAD
	aad  []byte
	salt []byte
}

func newSealer(h *header, key []byte) (*sealer, error) {
	k, err := hkdf.Key(sha256.New, key, h.Salt[:], info, keyLen)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	defer clear(k)
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	s := &sealer{salt: h.Salt[:]}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	data, err := wire.Marshal(h)
	if err != nil {
		return nil, err
	}
	s.aad, err = wire.Marshal([]any{h.Device, h.Incarnation, h.Segment, sha256.Sum256(data)})
	return s, err
}

// frame seals the batch after a position: head ‖ AES-GCM(h ‖ payload ‖ zeros).
func (v *Vault) frame(s *sealer, at position, anchored bool, recs []Record) ([]byte, position, error) {
	if len(recs) > maxRecs {
		return nil, at, ErrTooLarge
	}
	p := payload{Anchored: anchored, Records: make([]record, len(recs))}
	for i, r := range recs {
		p.Records[i] = record{Kind: r.Kind, Body: r.Body}
		if r.Body == nil {
			p.Records[i].Body = []byte{} // never null
		}
	}
	data, err := wire.Marshal(p)
	if err != nil {
		return nil, at, err
	}
	defer clear(data)
	at.step(link(at.hash, data), anchored)
	plain := make([]byte, 0, len(at.hash)+len(data)+align) // it never grows, so it is the one copy
	plain = pad(append(append(plain, at.hash[:]...), data...))
	defer clear(plain)
	if len(plain)+tagLen > maxFrame {
		return nil, at, ErrTooLarge
	}
	out := make([]byte, headLen, headLen+len(plain)+tagLen)
	binary.BigEndian.PutUint32(out, uint32(len(plain)+tagLen)) //nolint:gosec // at most maxFrame
	binary.BigEndian.PutUint64(out[8:], at.counter)
	binary.BigEndian.PutUint32(out[4:], s.checksum(out))
	return s.aead.Seal(out, nonce(at.counter), plain, s.aad), at, nil
}

// head reads a frame head. Its checksum is salted, so that bytes of another
// segment are not taken for one.
func (s *sealer) head(b []byte) (n uint64, size int, ok bool) {
	if len(b) < headLen {
		return 0, 0, false
	}
	length := binary.BigEndian.Uint32(b)
	ok = length <= maxFrame && length >= sha256.Size+tagLen && length%align == 0 && binary.BigEndian.Uint32(b[4:]) == s.checksum(b)
	return binary.BigEndian.Uint64(b[8:]), headLen + int(length), ok
}

func (s *sealer) checksum(head []byte) uint32 {
	sum := crc32.Update(crc32.Checksum(s.salt, castagnoli()), castagnoli(), head[:4])
	return crc32.Update(sum, castagnoli(), head[8:headLen])
}

// open opens batch n, which must follow the log's hash prev.
func (s *sealer) open(n uint64, prev hash, sealed []byte) (*payload, hash, error) {
	plain, err := s.aead.Open(nil, nonce(n), sealed, s.aad)
	if err != nil {
		return nil, prev, fmt.Errorf("%w: seal", ErrCorrupt)
	}
	defer clear(plain)
	data, rest, err := wire.Next(plain[sha256.Size:], wire.Limit{Bytes: maxFrame, Items: maxRecs, Depth: 3})
	if err != nil || len(rest) >= align || len(bytes.Trim(rest, "\x00")) > 0 {
		return nil, prev, fmt.Errorf("%w: batch layout", ErrCorrupt)
	}
	h := link(prev, data)
	if h != hash(plain[:sha256.Size]) {
		return nil, prev, fmt.Errorf("%w: it does not follow the batch before it", ErrCorrupt)
	}
	var p payload
	if err := wire.Unmarshal(data, &p, wire.Limit{Bytes: maxFrame, Items: maxRecs, Depth: 3}); err != nil {
		return nil, prev, fmt.Errorf("%w: batch layout", ErrCorrupt)
	}
	return &p, h, nil
}

func nonce(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 4, 12), n) }

func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&(align-1))...) }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
