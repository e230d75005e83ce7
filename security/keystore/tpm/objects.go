package tpm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/internal/backend"
)

// Lengths in bytes. Source: local, docs/spec/keystore.md.
const (
	sealKeyLen = 32
	authLen    = 32 // the longest that a name algorithm of SHA-256 allows
)

// nonceLen is the length of a session's nonces, in bytes. Source: TPM 2.0
// Library, part 1, 19.6.3: at least 16, at most the hash.
const nonceLen = 16

// fixed is what makes a key of the chip's own: it cannot be duplicated, was not
// made outside, and does not lock the owner out by wrong guesses, since its
// authorization value cannot be guessed.
func fixed(sign, decrypt bool) tpm2.TPMAObject {
	return tpm2.TPMAObject{
		FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true,
		SignEncrypt: sign, Decrypt: decrypt,
	}
}

func ecdsaScheme() tpm2.TPMTSigScheme {
	return tpm2.TPMTSigScheme{
		Scheme:  tpm2.TPMAlgECDSA,
		Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256}),
	}
}

// template is what a key is made from. The delivery key also decrypts, which
// for the TPM is ECDH, and so cannot have a signature scheme of its own.
func template(role keystore.Role) tpm2.TPMTPublic {
	p := tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256}
	if role == keystore.Identity {
		p.Scheme = tpm2.TPMTECCScheme{
			Scheme:  tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
		}
	}
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: fixed(true, role == keystore.Delivery),
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &p),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
	}
}

// sealedTemplate is of the object that holds the seal key and the
// authorization value of everything else. Its data come from outside.
func sealedTemplate() tpm2.TPMTPublic {
	a := fixed(false, false)
	a.SensitiveDataOrigin = false
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: a,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{}),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgKeyedHash, &tpm2.TPM2BDigest{}),
	}
}

// secrets is what the sealed object holds. It is kept behind a pointer, so that
// printing what has it shows no byte.
type secrets struct {
	seal [sealKeyLen]byte
	auth [authLen]byte // of both keys and the register
}

func newSecrets() (*secrets, error) {
	s := new(secrets)
	if _, err := rand.Read(s.seal[:]); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	// No byte is zero: a TPM takes zeros off the end of a value, and the
	// library that talks to it cuts at the first.
	for i := range s.auth {
		for s.auth[i] == 0 {
			if _, err := rand.Read(s.auth[i : i+1]); err != nil {
				return nil, fmt.Errorf("keystore: %w", err)
			}
		}
	}
	return s, nil
}

func (s *secrets) bytes() []byte { return append(bytes.Clone(s.seal[:]), s.auth[:]...) }

func secretsOf(b []byte) (*secrets, error) {
	if len(b) != sealKeyLen+authLen {
		return nil, fmt.Errorf("%w: sealed object of %d bytes", keystore.ErrDamaged, len(b))
	}
	return &secrets{seal: [sealKeyLen]byte(b), auth: [authLen]byte(b[sealKeyLen:])}, nil
}

// publicKey reads the public part of a key and checks that it is one that this
// package makes: a key of other attributes could have come from outside.
func publicKey(role keystore.Role, o object) (*ecdsa.PublicKey, error) {
	key, err := madeFrom(template(role), o)
	if err != nil {
		return nil, fmt.Errorf("%v key: %w", role, err)
	}
	return key, nil
}

func madeFrom(want tpm2.TPMTPublic, o object) (*ecdsa.PublicKey, error) {
	pub, err := tpm2.Unmarshal[tpm2.TPMTPublic](o.Public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrDamaged, err)
	}
	point, err := pub.Unique.ECC()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrDamaged, err)
	}
	want.Unique = pub.Unique
	if !bytes.Equal(tpm2.Marshal(want), o.Public) {
		return nil, fmt.Errorf("%w: it is not one that was made in the TPM", keystore.ErrDamaged)
	}
	key, err := backend.PublicKey(point.X.Buffer, point.Y.Buffer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrDamaged, err)
	}
	return key, nil
}
