package sltp

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// This file and rsa_*.go are RSA key transport, the standard's other way to a
// session key, for destinations that cannot do Diffie-Hellman. It has no
// forward secrecy and hides nobody's identity, so it is off unless policy
// allows it, and carries stateless licenses only.

// Numbers and sizes of key transport. Source: local, docs/spec/sltp.md.
const (
	numberR1  = -62224
	modeDH    = 1  // Diffie-Hellman
	modeRSA   = 2  // RSA key transport; modes are added up
	nonceLen  = 32 // bytes of N_I and N_R
	keyLen    = 32 // bytes of the transported secret
	rsaLabel2 = "SLTP-RSA-2"
	rsaLabel3 = "SLTP-RSA-3"
	rsaLabel4 = "SLTP-RSA-4"
)

type r1 struct {
	_      struct{} `cbor:",toarray"`
	Number int64
	Modes  uint64
	Suites []int
	Nonce  [nonceLen]byte
	CID    cid
	Hello  []byte
}

type r2 struct {
	_         struct{} `cbor:",toarray"`
	Nonce     [nonceLen]byte
	CID       cid
	Chain     [][]byte
	Status    []byte
	Signature [64]byte
}

type r3 struct {
	_         struct{} `cbor:",toarray"`
	Chain     [][]byte
	Cert      []byte // of the RSA key, kind 3
	Request   []byte
	Signature [64]byte
}

type r4 struct {
	_         struct{} `cbor:",toarray"`
	Wrapped   []byte   // W
	Sealed    []byte   // E
	Signature [64]byte
}

// legacyRequest is EAD_3 of key transport. It goes in clear, so it says no more
// than what is asked for.
type legacyRequest struct {
	_     struct{} `cbor:",toarray"`
	ReqID ident.Request
	Epoch uint64
	What  pair
}

func parseR1(msg []byte) (m r1, err error) {
	if err = wire.Unmarshal(msg, &m, bodyLimit()); err != nil || m.Number != numberR1 || m.Suites == nil || len(m.Suites) > 16 || m.Modes == 0 || m.Modes > modeDH|modeRSA {
		return m, fmt.Errorf("%w: R1", ErrBody)
	}
	return m, nil
}

func parseR2(msg []byte) (m r2, err error) {
	if err = wire.Unmarshal(msg, &m, bodyLimit()); err != nil || len(m.Chain) == 0 || len(m.Chain) > pki.MaxChain {
		return m, fmt.Errorf("%w: R2", ErrBody)
	}
	return m, nil
}

func parseR3(msg []byte) (m r3, err error) {
	if err = wire.Unmarshal(msg, &m, bodyLimit()); err != nil || len(m.Chain) == 0 || len(m.Chain) > pki.MaxChain || len(m.Cert) == 0 {
		return m, fmt.Errorf("%w: R3", ErrBody)
	}
	return m, nil
}

func parseR4(msg []byte) (m r4, err error) {
	if err = wire.Unmarshal(msg, &m, bodyLimit()); err != nil || len(m.Wrapped) == 0 || len(m.Sealed) == 0 {
		return m, fmt.Errorf("%w: R4", ErrBody)
	}
	return m, nil
}

// transcript hashes CBOR items one behind the other.
func transcript(first []byte, items ...any) (sum [32]byte, err error) {
	h := sha256.New()
	h.Write(first)
	for _, v := range items {
		b, err := wire.Marshal(v)
		if err != nil {
			return sum, err
		}
		h.Write(b)
	}
	return [32]byte(h.Sum(nil)), nil
}

// th2 is TH_2: of R1 as it travelled, and all of R2 but its signature.
func (m r2) th2(first []byte) ([32]byte, error) {
	return transcript(first, m.Nonce, m.CID, m.Chain, m.Status)
}

// th3 is TH_3: of TH_2, and all of R3 but its signature.
func (m r3) th3(th2 [32]byte) ([32]byte, error) {
	return transcript(nil, th2, m.Chain, m.Cert, m.Request)
}

// signed4 is what the signature of R4 is over. W is as long as the key that
// TH_3 names, so the parts have one meaning.
func (m r4) signed4(th3 [32]byte) []byte {
	return slices.Concat([]byte(rsaLabel4), th3[:], m.Wrapped, m.Sealed)
}

func signLabeled(signer crypto.Signer, msg []byte) ([64]byte, error) {
	sig, err := wire.SignRaw(signer, msg)
	if err != nil {
		return [64]byte{}, err
	}
	if len(sig) != 64 {
		return [64]byte{}, errors.New("sltp: signer gave no P-256 signature")
	}
	return [64]byte(sig), nil
}

// legacyAEAD is AES-128-GCM under the transported secret. The key serves once,
// so its nonce is derived beside it.
func legacyAEAD(secret []byte, th3 [32]byte) (gcm cipher.AEAD, nonce []byte, err error) {
	out, err := hkdf.Key(sha256.New, secret, th3[:], rsaLabel4, 16+12)
	if err != nil {
		return nil, nil, err
	}
	defer clear(out[:16])
	block, err := aes.NewCipher(out[:16])
	if err != nil {
		return nil, nil, err
	}
	gcm, err = cipher.NewGCM(block)
	return gcm, out[16:], err
}

// wrap makes R4 but for its signature: a fresh secret, wrapped to the
// destination's RSA key, and the reply under it.
func wrap(pub *rsa.PublicKey, th3 [32]byte, reply []byte) (m r4, err error) {
	secret := make([]byte, keyLen)
	defer clear(secret)
	if _, err := io.ReadFull(rand.Reader, secret); err != nil {
		return m, fmt.Errorf("draw the secret: %w", err)
	}
	if m.Wrapped, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, pub, secret, nil); err != nil {
		return m, fmt.Errorf("wrap the secret: %w", err)
	}
	gcm, nonce, err := legacyAEAD(secret, th3)
	if err != nil {
		return m, err
	}
	m.Sealed = gcm.Seal(nil, nonce, reply, th3[:])
	return m, nil
}

// unwrap opens R4. A secret that does not unwrap is replaced by a random one,
// so that every failure comes at the same place and is the same error.
func unwrap(key crypto.Decrypter, th3 [32]byte, m r4) ([]byte, error) {
	instead := make([]byte, keyLen)
	if _, err := io.ReadFull(rand.Reader, instead); err != nil {
		return nil, err
	}
	secret, err := key.Decrypt(rand.Reader, m.Wrapped, &rsa.OAEPOptions{Hash: crypto.SHA256})
	if err != nil || len(secret) != keyLen {
		secret = instead
	}
	defer clear(secret)
	gcm, nonce, err := legacyAEAD(secret, th3)
	if err != nil {
		return nil, err
	}
	reply, err := gcm.Open(nil, nonce, m.Sealed, th3[:])
	if err != nil {
		return nil, errSealed
	}
	return reply, nil
}
