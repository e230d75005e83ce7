package edhoc

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"

	"github.com/lares-drm/lares/internal/wire"
)

// sigLen is the length in bytes of an ES256 signature r ‖ s (RFC 9053 section 2.1).
const sigLen = 64

// anySigner is a P-256 signer that may return either of the two forms in which
// security modules give signatures: DER, which crypto.Signer asks for, or r ‖ s,
// which PKCS #11 gives.
type anySigner struct{ crypto.Signer }

// Sign returns DER. Bytes that are both a DER signature and 64 long are taken as
// DER: of the r ‖ s one in 2^40 looks so, and then this one exchange fails.
func (a anySigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := a.Signer.Sign(rand, digest, opts)
	if err != nil || len(sig) != sigLen || isDER(sig) {
		return sig, err
	}
	return asn1.Marshal(ecdsaSignature{new(big.Int).SetBytes(sig[:sigLen/2]), new(big.Int).SetBytes(sig[sigLen/2:])})
}

type ecdsaSignature struct{ R, S *big.Int }

func isDER(sig []byte) bool {
	var rs ecdsaSignature
	rest, err := asn1.Unmarshal(sig, &rs)
	return err == nil && len(rest) == 0
}

// toBeSigned is the Sig_structure of Signature_2 or Signature_3 (RFC 9052
// section 4.4): ["Signature1", << ID_CRED >>, << TH, CRED, ? EAD >>, MAC].
func (s *schedule) toBeSigned(header, cred, ead, mac []byte) []byte {
	n := hashLen + 2 + len(cred) + len(ead)
	out := make([]byte, 0, n+len(header)+len(mac)+32)
	out = appendBytes(append(out, "\x84\x6aSignature1"...), header)
	out = appendBytes(appendHead(out, majorBytes, uint64(n)), s.th[:])
	return appendBytes(append(append(out, cred...), ead...), mac)
}

// proof is what the signature of one side is over: the MAC that binds its
// credential to the transcript, in a Sig_structure.
func (s *schedule) proof(id IDCred, label uint64, head, cred, ead []byte) ([]byte, error) {
	header, err := id.header()
	if err != nil {
		return nil, err
	}
	mac, err := s.mac(label, head, header, cred, ead)
	if err != nil {
		return nil, err
	}
	return s.toBeSigned(header, cred, ead, mac), nil
}

func (s *schedule) sign(id Identity, label uint64, head, ead []byte) ([]byte, error) {
	if id.Signer == nil || !s.p.fits(id.Signer.Public()) {
		return nil, fmt.Errorf("edhoc: signing key does not fit the suite")
	}
	tbs, err := s.proof(id.ID, label, head, id.Cred, ead)
	if err != nil {
		return nil, err
	}
	signer := id.Signer
	if _, ok := signer.(*ecdsa.PrivateKey); !ok && !s.p.edDSA {
		signer = anySigner{signer}
	}
	return wire.SignRaw(signer, tbs)
}

func (s *schedule) verify(p plaintext, label uint64, head, cred []byte, pub crypto.PublicKey) error {
	if !s.p.fits(pub) {
		return fmt.Errorf("%w: kind of the authentication key", ErrRejected)
	}
	if err := wire.Check(cred, wire.Limit{Bytes: MaxMessage}); err != nil {
		return fmt.Errorf("%w: credential is no CBOR item", ErrRejected)
	}
	tbs, err := s.proof(p.id, label, head, cred, p.ead)
	if err != nil {
		return fmt.Errorf("%w: ID_CRED", ErrRejected)
	}
	if err := wire.VerifyRaw(pub, tbs, p.sig); err != nil {
		return fmt.Errorf("%w: signature", ErrRejected)
	}
	return nil
}
