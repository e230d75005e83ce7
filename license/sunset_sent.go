package license

import (
	"crypto"
	"crypto/sha256"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// ObjectSent is the signed object by which an issuer's module says that its issuer
// sends a notice of sunset, or a withdrawal: who has the notice key alone does not
// make it. Source: local, docs/spec/objects.md.
const ObjectSent = wire.Object("sunset-sent")

// Limits of what is sent to an authority. Source: local, docs/spec/sunset.md.
const (
	// MaxSent bounds the object, in bytes.
	MaxSent = 512
	// SentWithin is how far the module's time in it may be from the authority's, in
	// ms: 10 minutes, in either direction.
	SentWithin = 600_000
)

// Statement is a notice of sunset, or a withdrawal of one, that was read. Whoever
// signed it is not known before Verify.
type Statement struct {
	Issuer ident.Issuer
	Of     [32]byte      // hash of the notice: of this one, or of the one that is taken back
	Notice *SignedNotice // nil: a withdrawal
	sig    *wire.Sign1
}

// ParseStatement reads either of the two; the kind of the object says which.
func ParseStatement(data []byte) (*Statement, error) {
	n, err := ParseNotice(data)
	if err == nil {
		return &Statement{Issuer: n.Issuer, Of: n.Hash, Notice: n, sig: n.sig}, nil
	}
	w, s, werr := parseWithdrawal(data)
	if werr != nil {
		return nil, fmt.Errorf("%w; %w", err, werr)
	}
	return &Statement{Issuer: w.Issuer, Of: w.Notice, sig: s}, nil
}

// Verify checks that the holder of a notice key signed it.
func (s *Statement) Verify(key []byte) error { return verifyPoint(s.sig, key) }

// Sent is what an issuer's module says of a notice or withdrawal that is sent.
type Sent struct {
	Issuer    ident.Issuer `cbor:"1,keyasint"`
	Statement [32]byte     `cbor:"2,keyasint"` // SHA-256 of the notice or withdrawal as it travels
	Key       [32]byte     `cbor:"3,keyasint"` // SHA-256 of the notice key
	At        int64        `cbor:"4,keyasint"` // the module's time, Unix ms
}

// SentBy is what a module says of a statement with a notice key at a time.
func SentBy(issuer ident.Issuer, statement, key []byte, at int64) Sent {
	return Sent{Issuer: issuer, Statement: sha256.Sum256(statement), Key: sha256.Sum256(key), At: at}
}

// SignSent signs it with the key of an issuer's module whose certificate is cert.
func SignSent(signer crypto.Signer, cert []byte, s Sent) ([]byte, error) {
	payload, err := wire.Marshal(s)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, cert, ObjectSent, payload)
}

// ParseSent reads what the module with the key says.
func ParseSent(data []byte, signer crypto.PublicKey) (out Sent, err error) {
	s, err := wire.ParseSign1(data, ObjectSent, noticeLimit(MaxSent))
	if err == nil {
		err = s.Verify(signer)
	}
	if err == nil {
		err = wire.Unmarshal(s.Payload, &out, noticeLimit(MaxSent))
	}
	if err == nil && (out.Issuer == "" || out.At <= 0 || out.At > maxTime) {
		err = fmt.Errorf("issuer or time")
	}
	if err != nil {
		return Sent{}, fmt.Errorf("%w: the module's word: %w", ErrNotice, err)
	}
	return out, nil
}
