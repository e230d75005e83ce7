package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// COSE algorithm numbers (IANA COSE Algorithms registry).
const (
	AlgES256 = -7
	AlgEdDSA = -8
)

// X5TLen is the length in bytes of the truncated certificate hash of x5t:
// SHA-256/64, COSE algorithm -15 (RFC 9360, RFC 9054).
const X5TLen = 8

// ErrSignature is returned for a signature that does not hold, whatever is
// wrong with it.
var ErrSignature = errors.New("wire: signature does not hold")

// X5T returns the truncated hash that refers to a certificate (RFC 9360).
func X5T(der []byte) [X5TLen]byte {
	h := sha256.Sum256(der)
	return [X5TLen]byte(h[:X5TLen])
}

// Object names a kind of signed object. No two kinds share a name, so a
// signature over one never holds for another. Source: local, docs/spec/objects.md.
type Object string

// AAD is the external_aad of the object's signature.
func (o Object) AAD() []byte { return []byte("lares/1/" + string(o)) }

// ContentType is the content type in the object's protected header.
func (o Object) ContentType() string { return "application/lares-" + string(o) + "+cbor" }

// Sign1 is a parsed COSE_Sign1 whose signature has not been checked yet,
// except where Verify returned nil.
type Sign1 struct {
	X5T     [X5TLen]byte // the signer's certificate
	Payload []byte       // as received
	object  Object
	prot    []byte
	sig     []byte
}

type certHash struct {
	_    struct{} `cbor:",toarray"`
	Alg  int
	Hash []byte
}

type sign1Header struct {
	Alg         int      `cbor:"1,keyasint"`
	ContentType string   `cbor:"3,keyasint"`
	X5T         certHash `cbor:"34,keyasint"`
}

type sign1Body struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected map[int]RawMessage
	Payload     []byte
	Signature   []byte
}

// NewSign1 signs payload as an object with a P-256 key (ES256, low s) whose
// certificate is der. It returns the untagged COSE_Sign1 (RFC 9052 section 4.2).
func NewSign1(signer crypto.Signer, der []byte, obj Object, payload []byte) ([]byte, error) {
	x := X5T(der)
	prot, err := Marshal(sign1Header{Alg: AlgES256, ContentType: obj.ContentType(), X5T: certHash{Alg: -15, Hash: x[:]}})
	if err != nil {
		return nil, err
	}
	tbs, err := SigStructure(prot, obj.AAD(), payload)
	if err != nil {
		return nil, err
	}
	sig, err := SignRaw(signer, tbs)
	if err != nil {
		return nil, err
	}
	return Marshal(sign1Body{Protected: prot, Unprotected: map[int]RawMessage{}, Payload: payload, Signature: sig})
}

// ParseSign1 reads a COSE_Sign1 of the given kind: ES256, an x5t, the kind's
// content type, an empty unprotected header and nothing else.
func ParseSign1(data []byte, obj Object, lim Limit) (*Sign1, error) {
	var b sign1Body
	if err := Unmarshal(data, &b, lim); err != nil {
		return nil, err
	}
	var h sign1Header
	if err := Unmarshal(b.Protected, &h, Limit{Bytes: 256, Items: 4, Depth: 2}); err != nil {
		return nil, err
	}
	if h.Alg != AlgES256 || h.X5T.Alg != -15 || len(h.X5T.Hash) != X5TLen || len(b.Unprotected) != 0 || b.Payload == nil || len(b.Signature) != 64 {
		return nil, fmt.Errorf("%w: COSE_Sign1 header", ErrShape)
	}
	if h.ContentType != obj.ContentType() {
		return nil, fmt.Errorf("%w: signed object is not a %s", ErrShape, obj)
	}
	return &Sign1{X5T: [X5TLen]byte(h.X5T.Hash), Payload: b.Payload, object: obj, prot: b.Protected, sig: b.Signature}, nil
}

// Verify checks the signature with the signer's P-256 key. A signature whose s
// is above half the group order is refused, so an object has one signature a nonce.
func (s *Sign1) Verify(pub crypto.PublicKey) error {
	tbs, err := SigStructure(s.prot, s.object.AAD(), s.Payload)
	if err != nil {
		return err
	}
	if new(big.Int).SetBytes(s.sig[32:]).Cmp(halfOrder()) > 0 {
		return ErrSignature
	}
	return VerifyRaw(pub, tbs, s.sig)
}

// Hash is SHA-256 of the Sig_structure: the object's identity, the same
// whatever its signature bytes are.
func (s *Sign1) Hash() [32]byte {
	tbs, err := SigStructure(s.prot, s.object.AAD(), s.Payload)
	if err != nil {
		panic(err) //nolint:forbidigo // four strings always encode
	}
	return sha256.Sum256(tbs)
}

// SigStructure is the Sig_structure of a COSE_Sign1 (RFC 9052 section 4.4).
func SigStructure(protected, aad, payload []byte) ([]byte, error) {
	return Marshal([]any{"Signature1", protected, aad, payload})
}

// SignRaw signs a message with P-256 (ES256, as r‖s with low s, 64 bytes) or
// Ed25519. P-256 keys of this process sign deterministically (RFC 6979).
func SignRaw(signer crypto.Signer, msg []byte) ([]byte, error) {
	if _, ok := signer.Public().(ed25519.PublicKey); ok {
		return signer.Sign(nil, msg, crypto.Hash(0))
	}
	h := sha256.Sum256(msg)
	der, err := signer.Sign(nil, h[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("wire: sign: %w", err)
	}
	var rs struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &rs); err != nil || len(rest) > 0 || rs.R.BitLen() > 256 || rs.S.BitLen() > 256 {
		return nil, errors.New("wire: signer gave no P-256 signature")
	}
	if rs.S.Cmp(halfOrder()) > 0 {
		rs.S.Sub(elliptic.P256().Params().N, rs.S)
	}
	out := make([]byte, 64)
	rs.R.FillBytes(out[:32])
	rs.S.FillBytes(out[32:])
	return out, nil
}

// VerifyRaw checks a signature made as SignRaw makes it; high s is accepted,
// because other implementations of EDHOC produce it.
func VerifyRaw(pub crypto.PublicKey, msg, sig []byte) error {
	if len(sig) != 64 {
		return ErrSignature
	}
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		h := sha256.Sum256(msg)
		if k.Curve == elliptic.P256() && ecdsa.Verify(k, h[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
			return nil
		}
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize && ed25519.Verify(k, msg, sig) {
			return nil
		}
	}
	return ErrSignature
}

func halfOrder() *big.Int { return new(big.Int).Rsh(elliptic.P256().Params().N, 1) }
