package revocation

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

// HeadLen is the length of a head in bytes; the last 64 are the signature.
// Source: docs/spec/revocation.md.
const HeadLen = 166

const headSigned = HeadLen - 64

// headContext stands before the head in what is signed, so that the signature
// holds for nothing else. Source: docs/spec/revocation.md.
const headContext = "lares/1/revocation-head\x00"

// MaxAhead is how far a head may be issued in the verifier's future. Source:
// docs/spec/revocation.md, epochs.
const MaxAhead = 24 * time.Hour

// Errors of heads. Callers branch on them.
var (
	ErrSigner = errors.New("revocation: not signed by a state signer in good standing")
	ErrEpoch  = errors.New("revocation: epoch breaks the rules")
	ErrOlder  = errors.New("revocation: not newer than what is held")
	ErrRoot   = errors.New("revocation: content does not give the head's root")
)

// T0 is the start of epochs: a number is at most the whole hours since then.
// Source: local, docs/spec/revocation.md.
func T0() time.Time { return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC) }

// Head is the signed summary of a state. One from ParseHead is a claim: only a
// Trusted head was checked.
type Head struct {
	Epoch      pki.Epoch
	IssuedAt   int64    // Unix ms
	NextUpdate int64    // Unix ms: when a newer one is due
	Leaves     uint32   // classes and issuers
	Root       [32]byte // of the tree over all leaves
	KeyID      [32]byte // SHA-256 of the signer's SubjectPublicKeyInfo
	raw        [HeadLen]byte
}

// Bytes returns the head as it travels.
func (h *Head) Bytes() []byte { return bytes.Clone(h.raw[:]) }

// Hash identifies the head whatever its signature bytes are.
func (h *Head) Hash() [32]byte {
	return sha256.Sum256(append([]byte(headContext), h.raw[:headSigned]...))
}

// ParseHead reads a head without checking its signature.
func ParseHead(data []byte) (*Head, error) {
	r := wire.NewReader(data)
	version, flags := r.U8(), r.U8()
	h := &Head{Epoch: pki.Epoch{Generation: r.U64(), Number: r.U64()}}
	issued, next := r.U64(), r.U64()
	h.Leaves = r.U32()
	copy(h.Root[:], r.Bytes(sha256.Size))
	copy(h.KeyID[:], r.Bytes(sha256.Size))
	r.Bytes(64)
	if r.End() != nil || version != 1 || flags != 0 || issued > maxTime || next > maxTime || h.Leaves > MaxLeaves {
		return nil, fmt.Errorf("%w: head", ErrMalformed)
	}
	h.IssuedAt, h.NextUpdate = int64(issued), int64(next)
	copy(h.raw[:], data)
	return h, nil
}

// rules checks what the fields demand of each other.
func (h *Head) rules() error {
	hours := (h.IssuedAt - T0().UnixMilli()) / time.Hour.Milliseconds()
	switch {
	case h.Epoch.Generation > maxGeneration || h.Epoch.Number < 1 || hours < 1 || h.Epoch.Number > uint64(hours):
		return fmt.Errorf("%w: number %d, %d hours after T0", ErrEpoch, h.Epoch.Number, hours)
	case h.NextUpdate <= h.IssuedAt:
		return fmt.Errorf("%w: next update before the issue", ErrEpoch)
	}
	return nil
}

// Trusted is a head whose signer, signature and epoch were checked. Only
// VerifyHead and State make one; the zero Trusted has no head.
type Trusted struct {
	head   *Head
	signer *pki.Peer
	memory *memory // of its tree
}

// Head is the head, nil for the zero Trusted.
func (t *Trusted) Head() *Head {
	if t == nil {
		return nil
	}
	return t.head
}

// VerifyHead checks a head and the state signer's chain (leaf first, root not
// included). The signer is judged at the time that the head states, because a
// head is itself a statement of time; now, when it is not zero, must be trusted
// time, and the head may be at most MaxAhead of it. A head of a generation above
// 0 needs the root's word on its signer, and is for Watch.Take.
func VerifyHead(data []byte, v *pki.Verifier, chain [][]byte, now time.Time) (*Trusted, error) {
	return verifyClaim(data, nil, v, chain, now)
}

func verifyHead(h *Head, v *pki.Verifier, chain [][]byte, now time.Time) (*Trusted, error) {
	if err := h.rules(); err != nil {
		return nil, err
	}
	issued := time.UnixMilli(h.IssuedAt)
	if !now.IsZero() && issued.Sub(now) > MaxAhead {
		return nil, fmt.Errorf("%w: issued more than %v ahead", ErrEpoch, MaxAhead)
	}
	peer, err := v.Verify(chain, issued, pki.StateSigner)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	id, err := keyID(peer.Public())
	if err != nil || id != h.KeyID {
		return nil, fmt.Errorf("%w: another key signed", ErrSigner)
	}
	sig := h.raw[headSigned:]
	if !lowS(sig) || wire.VerifyRaw(peer.Public(), append([]byte(headContext), h.raw[:headSigned]...), sig) != nil {
		return nil, fmt.Errorf("%w: signature", ErrSigner)
	}
	return &Trusted{head: h, signer: peer, memory: &memory{}}, nil
}

// sign fills in key ID and signature.
func (h *Head) sign(signer crypto.Signer) error {
	id, err := keyID(signer.Public())
	if err != nil {
		return err
	}
	h.KeyID = id
	b := []byte{1, 0}
	for _, n := range []uint64{h.Epoch.Generation, h.Epoch.Number, uint64(h.IssuedAt), uint64(h.NextUpdate)} { //nolint:gosec // times are not negative
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = binary.BigEndian.AppendUint32(b, h.Leaves)
	b = append(append(b, h.Root[:]...), h.KeyID[:]...)
	sig, err := wire.SignRaw(signer, append([]byte(headContext), b...))
	if err != nil {
		return fmt.Errorf("sign head: %w", err)
	}
	copy(h.raw[:], append(b, sig...))
	return nil
}

func keyID(pub crypto.PublicKey) ([32]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return [32]byte{}, fmt.Errorf("revocation: signer's key: %w", err)
	}
	return sha256.Sum256(spki), nil
}

// lowS reports whether a signature r‖s has s at most half the group order, so
// that nobody can make a second signature from a first.
func lowS(sig []byte) bool {
	half := []byte{ // (n-1)/2 of P-256 (SEC 2)
		0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
	}
	return new(big.Int).SetBytes(sig[32:]).Cmp(new(big.Int).SetBytes(half)) <= 0
}
