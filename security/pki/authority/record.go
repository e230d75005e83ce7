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
	"strings"

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
	Version  int               `cbor:"1,keyasint"` // recordVersion
	Config   config            `cbor:"2,keyasint"`
	Roots    []root            `cbor:"3,keyasint"` // oldest first; each but the first with the statement of the one before it
	Active   int               `cbor:"4,keyasint"` // which of Roots signs; those behind it are spare
	CAs      []ca              `cbor:"5,keyasint"` // by Issues.First
	Next     map[uint32]uint32 `cbor:"6,keyasint"` // class -> next index
	State    signer            `cbor:"7,keyasint"`
	Time     signer            `cbor:"8,keyasint"`
	Epoch    uint64            `cbor:"9,keyasint"` // number of the last published epoch, 0 before the first
	Vouchers []voucher         `cbor:"10,keyasint"`
	Vouched  []vouched         `cbor:"11,keyasint,omitempty"` // of vouchers that allow more than SL1 and A0
	Issuers  []heardOf         `cbor:"12,keyasint,omitempty"` // license issuers, in the order in which they were certified first

	Generation uint64 `cbor:"13,keyasint,omitempty"` // of the state signer
	Change     []byte `cbor:"14,keyasint,omitempty"` // the root's word on it, from generation 1 on

	Renewed []renewedFrom `cbor:"15,keyasint,omitempty"` // license issuers' modules, in the order of their first renewal
	Sent    []sentLast    `cbor:"16,keyasint,omitempty"` // what license issuers sent last, in the order in which they did so first

	Before []sentBefore `cbor:"17,keyasint,omitempty"` // what became of their notices before that, where it still counts
}

// recordVersion is raised when a file of the folder gets another layout.
const recordVersion = 2

// root is a root that signs, has signed, or is spare.
type root struct {
	_        struct{} `cbor:",toarray"`
	Cert     []byte
	Key      string // its file
	Rotation []byte // of the root before it; empty of the first
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

// vouched is what the operator answers for with a voucher.
type vouched struct {
	_      struct{} `cbor:",toarray"`
	Hash   [32]byte // of the voucher
	Level  uint8
	Anchor uint8
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

// ErrVersion is returned for a folder of a build with other layouts.
var ErrVersion = errors.New("authority: the folder is of another version; hold the ceremony anew in an empty one")

// read reads the file. What a version is of stands first, whatever comes behind it.
func (r *record) read(data []byte) error {
	var v map[int]wire.RawMessage
	if err := wire.Unmarshal(data, &v, recordLimit()); err != nil {
		return err
	}
	if err := wire.Unmarshal(v[1], &r.Version, wire.Limit{Bytes: 9, Items: 1, Depth: 1}); err != nil || r.Version != recordVersion {
		return ErrVersion
	}
	if err := wire.Unmarshal(data, r, recordLimit()); err != nil {
		return err
	}
	if r.Active < 0 || r.Active >= len(r.Roots) {
		return errors.New("no active root")
	}
	return nil
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

// root is the certificate of the root that signs.
func (a *Authority) root() []byte { return a.rec.Roots[a.rec.Active].Cert }

// ca finds the CA that issues members of a class; class 0 is the root.
func (a *Authority) ca(class pki.Class) (*pki.Authority, error) {
	out := &pki.Authority{Root: a.root()}
	file := a.rec.Roots[a.rec.Active].Key
	if class != RootClass {
		c := a.find(class)
		if c == nil {
			return nil, fmt.Errorf("%w: class %v", ErrNoClass, class)
		}
		out.Chain, file = c.Chain, keyOf(class)
	}
	key, err := a.key(file)
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

// newKey makes a key; it is durable before anything refers to it.
func (a *Authority) newKey(name string, use KeyUse) (crypto.Signer, error) {
	if k, ok := a.dir.(Keys); ok {
		return k.NewKey(name, use, a.rec.Config.Name+" "+strings.TrimSuffix(name, ".pem"))
	}
	return newFileKey(a.dir, name)
}

func newFileKey(dir Dir, name string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return key, dir.WriteAtomic(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// ErrKey is returned for a key file that does not hold a P-256 key in PKCS#8,
// and for a reference that does not lead to a key.
var ErrKey = errors.New("authority: key file")

func (a *Authority) key(name string) (crypto.Signer, error) {
	if k, ok := a.dir.(Keys); ok {
		return k.Key(name)
	}
	return fileKey(a.dir, name)
}

// fileKey reads a key. Its content is never part of an error.
func fileKey(dir Dir, name string) (crypto.Signer, error) {
	data, err := dir.Read(name)
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
