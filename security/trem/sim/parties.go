package sim

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/pki"
)

// maxBoxes is how many boxes a world has at most.
const maxBoxes = 6

// Parties are the certified identities of the boxes. They are the same in every
// run and may be used by many worlds at once.
type Parties struct{ all []*party }

type party struct {
	id   ident.Device
	key  *ecdsa.PrivateKey
	peer *pki.Peer
}

// NewParties makes the keys and certificates.
func NewParties() (*Parties, error) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rootKey, err := scalar("root")
	if err != nil {
		return nil, err
	}
	root, err := pki.IssueRoot(rootKey, pki.Profile{Name: "Simulated Root", CA: &pki.CA{PathLen: 1, Range: pki.Range{First: 0, Last: pki.MaxClass}}}, now)
	if err != nil {
		return nil, err
	}
	caKey, err := scalar("home server CA")
	if err != nil {
		return nil, err
	}
	const class = 1
	ca, err := pki.Issue(&pki.Authority{Root: root, Signer: rootKey}, pki.Profile{
		Name: "Simulated Home Server CA", Role: pki.HomeServer, Member: pki.Member{Index: 1}, Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
		CA: &pki.CA{Range: pki.Range{First: class, Last: class}},
	}, caKey.Public(), now)
	if err != nil {
		return nil, err
	}
	trust, err := pki.NewTrustStore(root)
	if err != nil {
		return nil, err
	}
	out := &Parties{}
	for i := range uint32(maxBoxes) {
		p := &party{}
		if p.key, err = scalar(fmt.Sprint("box ", i)); err != nil {
			return nil, err
		}
		leaf, err := pki.Issue(&pki.Authority{Chain: [][]byte{ca}, Root: root, Signer: caKey}, pki.Profile{
			Name: "Simulated Box", Role: pki.HomeServer, Member: pki.Member{Class: class, Index: i}, Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
			Issuer: "simulated", NotAfter: now.AddDate(0, 0, pki.MaxDays(pki.HomeServer)),
		}, p.key.Public(), now)
		if err != nil {
			return nil, err
		}
		if p.peer, err = (&pki.Verifier{Trust: trust}).Verify([][]byte{leaf, ca}, now); err != nil {
			return nil, err
		}
		p.id = p.peer.ID()
		out.all = append(out.all, p)
	}
	return out, nil
}

// scalar is a key that is the same in every run.
func scalar(name string) (*ecdsa.PrivateKey, error) {
	sum := sha256.Sum256([]byte("lares simulation " + name))
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
}

// keys is a keystore of one box: it seals, and that is all a vault asks of it.
// Its nonces count, so that a run can be repeated.
type keys struct {
	*party
	aead cipher.AEAD
	n    uint64
}

func newKeys(p *party) (*keys, error) {
	der, err := x509.MarshalPKIXPublicKey(p.key.Public())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &keys{party: p, aead: aead}, err
}

func (k *keys) Signer(keystore.Role) (crypto.Signer, error) { return k.key, nil }

func (k *keys) KeyExchanger(keystore.Role) (ecdh.KeyExchanger, error) {
	return nil, errors.ErrUnsupported
}

func (k *keys) Level() uint8 { return 1 }

func (k *keys) Seal(data, aad []byte) ([]byte, error) {
	k.n++
	nonce := binary.BigEndian.AppendUint64(make([]byte, 4, 12), k.n)
	return k.aead.Seal(nonce, nonce, data, aad), nil
}

func (k *keys) Unseal(data, aad []byte) ([]byte, error) {
	if len(data) < 12 {
		return nil, keystore.ErrUnseal
	}
	plain, err := k.aead.Open(nil, data[:12], data[12:], aad)
	if err != nil {
		return nil, keystore.ErrUnseal
	}
	return plain, nil
}

// register is an anchor that survives every crash, of either kind.
type register struct {
	counts bool // a keystore.Counter; else a keystore.Anchorer
	value  [32]byte
	count  uint64
	disk   *disk // its power goes when the disk's does
}

func (r *register) Anchor() ([32]byte, error) { return r.value, nil }

func (r *register) Extend(h [32]byte) error {
	if err := r.disk.before("anchor"); err != nil {
		return err
	}
	r.value = sha256.Sum256(append(r.value[:], h[:]...))
	return nil
}

func (r *register) Count() (uint64, error) { return r.count, nil }

func (r *register) Increment() error {
	if err := r.disk.before("anchor"); err != nil {
		return err
	}
	r.count++
	return nil
}
