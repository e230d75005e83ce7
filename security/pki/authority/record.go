package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// recordFile holds everything but keys, epochs and the list of the issued.
const recordFile = "authority.cbor"

// epochSlots is how many epochs are kept. Source: local, docs/spec/revocation.md.
const epochSlots = 64

// record is the content of recordFile.
type record struct {
	Version  int               `cbor:"1,keyasint"`
	Config   config            `cbor:"2,keyasint"`
	Root     []byte            `cbor:"3,keyasint"`
	CAs      []ca              `cbor:"4,keyasint"` // by Issues.First
	Next     map[uint32]uint32 `cbor:"5,keyasint"` // class -> next index
	State    signer            `cbor:"6,keyasint"`
	Time     signer            `cbor:"7,keyasint"`
	Epoch    uint64            `cbor:"8,keyasint"` // number of the last published epoch, 0 before the first
	Vouchers []voucher         `cbor:"9,keyasint"`
}

// config is Config as stored, with the ceremony's decisions in numbers.
type config struct {
	_                                                                     struct{} `cbor:",toarray"`
	Name                                                                  string
	HomeServerDays, ProviderDays, IssuerDays, SignerDays, NextUpdateHours int
	Levels, Anchors                                                       []int
}

// ca is a CA below the root.
type ca struct {
	_           struct{} `cbor:",toarray"`
	Name        string
	Role        uint8
	First, Last uint32
	Chain       [][]byte
}

// signer is the state signer or the time signer.
type signer struct {
	_        struct{} `cbor:",toarray"`
	Chain    [][]byte
	NotAfter int64 // Unix seconds
}

type voucher struct {
	_       struct{} `cbor:",toarray"`
	Hash    [32]byte // SHA-256 of the code
	Role    uint8
	Class   uint32
	Issuer  []byte
	Expires int64 // Unix ms
}

// Entry is one line of the list of the issued.
type Entry struct {
	_        struct{}     `cbor:",toarray"`
	Index    uint32       `json:"index"`
	Device   ident.Device `json:"device"`
	Role     uint8        `json:"-"`
	Level    uint8        `json:"level"`
	IssuedAt int64        `json:"issued_at"` // Unix ms
	SVN      uint32       `json:"svn"`       // of the certificate: a class's minimum may rise above it
}

func recordLimit() wire.Limit { return wire.Limit{Bytes: 32 << 20, Items: 1 << 14, Depth: 6} }

func (a *Authority) save() error {
	data, err := wire.Marshal(a.rec)
	if err != nil {
		return err
	}
	if err := a.dir.WriteAtomic(recordFile, data); err != nil {
		return err
	}
	a.saved = data
	return nil
}

// ca finds the CA that issues members of a class; class 0 is the root.
func (a *Authority) ca(class pki.Class) (*pki.Authority, error) {
	out := &pki.Authority{Root: a.rec.Root}
	if class != RootClass {
		c := a.find(class)
		if c == nil {
			return nil, fmt.Errorf("%w: class %v", ErrNoClass, class)
		}
		out.Chain = c.Chain
	}
	key, err := a.key(keyOf(class))
	out.Signer = key
	return out, err
}

func (a *Authority) find(class pki.Class) *ca {
	i := slices.IndexFunc(a.rec.CAs, func(c ca) bool { return c.First == uint32(class) })
	if i < 0 {
		return nil
	}
	return &a.rec.CAs[i]
}

// Names of key files.
const (
	keyState = "key-state-signer.pem"
	keyTime  = "key-time-signer.pem"
)

func keyOf(class pki.Class) string { return "key-" + class.String() + ".pem" }

// newKey makes a key; it is on disk before anything refers to it.
func (a *Authority) newKey(name string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return key, a.dir.WriteAtomic(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// ErrKey is returned for a key file that does not hold a P-256 key in PKCS#8.
var ErrKey = errors.New("authority: key file")

// key reads a key. Its content is never part of an error.
func (a *Authority) key(name string) (crypto.Signer, error) {
	data, err := a.dir.Read(name)
	if err != nil {
		return nil, fmt.Errorf("authority: read key: %w", err)
	}
	b, rest := pem.Decode(data)
	if b == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w %s", ErrKey, name)
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if key, ok := k.(*ecdsa.PrivateKey); err == nil && ok && key.Curve == elliptic.P256() {
		return key, nil
	}
	return nil, fmt.Errorf("%w %s", ErrKey, name)
}
