package bench

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// Names of the primitives that the ceiling is the sum of.
const (
	primP256Key    = "P-256: key pair"
	primP256Point  = "P-256: decompress a point"
	primP256ECDH   = "P-256: agreement"
	primX25519Key  = "X25519: key pair"
	primX25519ECDH = "X25519: agreement"
	primKEMKey     = "ML-KEM-768: key pair"
	primKEMEnc     = "ML-KEM-768: read a key and encapsulate"
	primKEMDec     = "ML-KEM-768: decapsulate"
	primSign       = "ECDSA P-256: sign"
	primVerify     = "ECDSA P-256: verify"
	primChain      = "X.509: parse and verify a chain of two"
)

// sharePrims are the primitives of a suite's key share, on one side.
func sharePrims(suite sltp.Suite, s side) []string {
	switch {
	case suite == edhoc.Suite2 || suite == edhoc.Suite3:
		return []string{primP256Key, primP256Point, primP256ECDH}
	case suite != edhoc.SuiteHybrid:
		return []string{primX25519Key, primX25519ECDH}
	case s == initiator:
		return []string{primKEMKey, primKEMDec, primX25519Key, primX25519ECDH}
	}
	return []string{primKEMEnc, primX25519Key, primX25519ECDH}
}

// ceilingPrims are all of what one side cannot leave out: with a cached leaf
// there is no chain to verify, and its hash is looked up instead.
func ceilingPrims(f *flow, suite sltp.Suite, cached bool, s side) []string {
	names := append(sharePrims(suite, s), primSign, primVerify, f.name+": KDF", f.name+": AEAD", f.name+": CBOR", f.name+": SHA-256")
	if !cached {
		names = append(names, primChain)
	}
	return names
}

var errPrimitive = errors.New("a primitive does not hold")

// publicKeyPrims are those that do not depend on the suite's messages.
func (w *sltpWorld) publicKeyPrims() ([]named, error) {
	p256, err := curvePrims(ecdh.P256())
	if err != nil {
		return nil, err
	}
	x25519, err := curvePrims(ecdh.X25519())
	if err != nil {
		return nil, err
	}
	kem, err := kemPrims()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(primSign))
	key := w.issuer.key
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	point := elliptic.MarshalCompressed(elliptic.P256(), key.X, key.Y)
	return []named{
		{primP256Key, p256[0]},
		{primP256Point, times(func() error {
			if x, _ := elliptic.UnmarshalCompressed(elliptic.P256(), point); x == nil {
				return errPrimitive
			}
			return nil
		})},
		{primP256ECDH, p256[1]},
		{primX25519Key, x25519[0]},
		{primX25519ECDH, x25519[1]},
		{primKEMKey, kem[0]},
		{primKEMEnc, kem[1]},
		{primKEMDec, kem[2]},
		{primSign, times(func() error {
			_, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
			return err
		})},
		{primVerify, times(func() error {
			if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
				return errPrimitive
			}
			return nil
		})},
		{primChain, times(func() error { return w.parseAndVerify(w.homes[0].chain) })},
	}, nil
}

func (w *sltpWorld) parseAndVerify(chain [][]byte) error {
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		var err error
		if certs[i], err = x509.ParseCertificate(der); err != nil {
			return err
		}
	}
	return w.dom.verifyX509(certs, w.now)
}

// times makes a kernel of one operation.
func times(do func() error) Kernel {
	return func(n int) error {
		for range n {
			if err := do(); err != nil {
				return err
			}
		}
		return nil
	}
}

// curvePrims are key pair and agreement.
func curvePrims(curve ecdh.Curve) ([2]Kernel, error) {
	own, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		return [2]Kernel{}, fmt.Errorf("make key: %w", err)
	}
	peer, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		return [2]Kernel{}, fmt.Errorf("make key: %w", err)
	}
	pub := peer.PublicKey().Bytes()
	return [2]Kernel{
		times(func() error {
			_, err := curve.GenerateKey(rand.Reader)
			return err
		}),
		times(func() error {
			p, err := curve.NewPublicKey(pub) // which checks the point
			if err == nil {
				_, err = own.ECDH(p)
			}
			return err
		}),
	}, nil
}

func kemPrims() ([3]Kernel, error) {
	dk, err := mlkem.GenerateKey768()
	if err != nil {
		return [3]Kernel{}, fmt.Errorf("make key: %w", err)
	}
	ek := dk.EncapsulationKey().Bytes()
	_, ct := dk.EncapsulationKey().Encapsulate()
	return [3]Kernel{
		times(func() error {
			_, err := mlkem.GenerateKey768()
			return err
		}),
		times(func() error {
			k, err := mlkem.NewEncapsulationKey768(ek)
			if err == nil {
				k.Encapsulate()
			}
			return err
		}),
		times(func() error {
			_, err := dk.Decapsulate(ct)
			return err
		}),
	}, nil
}
