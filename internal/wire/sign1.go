package wire

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
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

// NewSign1 signs payload as an object with a P-256 key (ES256, low s) whose
// certificate is der. It returns the untagged COSE_Sign1 (RFC 9052 section 4.2).
func NewSign1(signer crypto.Signer, der []byte, obj Object, payload []byte) ([]byte, error) {
	if payload == nil {
		return nil, fmt.Errorf("%w: no payload", ErrShape)
	}
	prot := obj.header(X5T(der))
	sig, err := SignRaw(signer, sigStructure(prot, obj.AAD(), payload))
	if err != nil {
		return nil, err
	}
	out := AppendArray(make([]byte, 0, 2+3*headLen+len(prot)+len(payload)+len(sig)), 4)
	out = append(AppendBytes(out, prot), emptyMap)
	return AppendBytes(AppendBytes(out, payload), sig), nil
}

// header is the protected header of an object whose signer's certificate has
// the hash: {1: ES256, 3: content type, 34: [SHA-256/64, hash]}.
func (o Object) header(x [X5TLen]byte) []byte {
	ct := o.ContentType()
	b := append(make([]byte, 0, 32+len(ct)), 0xa3, 1, 0x26, 3) // ES256, -7, is 0x26
	b = append(AppendText(b, ct), 0x18, 34, 0x82, 0x2e)        // SHA-256/64, -15, is 0x2e
	return AppendBytes(b, x[:])
}

// ParseSign1 reads a COSE_Sign1 of the given kind: ES256, an x5t, the kind's
// content type, an empty unprotected header and nothing else. It copies what it
// keeps of data.
func ParseSign1(data []byte, obj Object, lim Limit) (*Sign1, error) {
	r, err := ItemsOf(data, 4, 4, lim)
	if err != nil {
		return nil, err
	}
	prot, unprotected, payload, sig := r.Bytes(), r.Raw(), r.Bytes(), r.Bytes()
	if r.Err() != nil || len(prot) < X5TLen || len(unprotected) != 1 || unprotected[0] != emptyMap || len(sig) != 64 {
		return nil, fmt.Errorf("%w: COSE_Sign1", ErrShape)
	}
	s := &Sign1{X5T: [X5TLen]byte(prot[len(prot)-X5TLen:]), Payload: bytes.Clone(payload), object: obj, sig: bytes.Clone(sig)}
	if s.prot = obj.header(s.X5T); !bytes.Equal(prot, s.prot) { // a header has one encoding
		return nil, fmt.Errorf("%w: signed object is not a %s", ErrShape, obj)
	}
	return s, nil
}

// Verify checks the signature with the signer's P-256 key. A signature whose s
// is above half the group order is refused, so an object has one signature a nonce.
func (s *Sign1) Verify(pub crypto.PublicKey) error {
	if string(s.sig[32:]) > halfOrder {
		return ErrSignature
	}
	return VerifyRaw(pub, sigStructure(s.prot, s.object.AAD(), s.Payload), s.sig)
}

// Hash is SHA-256 of the Sig_structure: the object's identity, the same
// whatever its signature bytes are.
func (s *Sign1) Hash() [32]byte {
	return sha256.Sum256(sigStructure(s.prot, s.object.AAD(), s.Payload))
}

// sigStructure is the Sig_structure of a COSE_Sign1 (RFC 9052 section 4.4).
func sigStructure(protected, aad, payload []byte) []byte {
	const context = "Signature1"
	b := AppendArray(make([]byte, 0, 1+4*headLen+len(context)+len(protected)+len(aad)+len(payload)), 4)
	return AppendBytes(AppendBytes(AppendBytes(AppendText(b, context), protected), aad), payload)
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
	out := make([]byte, 64)
	if !fromDER(out, der) {
		return nil, errors.New("wire: signer gave no P-256 signature")
	}
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
		if k.Curve == elliptic.P256() && ecdsa.VerifyASN1(k, h[:], toDER(sig)) {
			return nil
		}
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize && ed25519.Verify(k, msg, sig) {
			return nil
		}
	}
	return ErrSignature
}
