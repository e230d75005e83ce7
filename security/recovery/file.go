package recovery

import (
	"crypto"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// ObjectBackup is the signed object "backup" of docs/spec/objects.md.
const ObjectBackup wire.Object = "backup"

// Limits of a backup. Source: local, docs/spec/backup.md.
const (
	MaxFile   = 10 << 20 // bytes
	MaxParts  = 8
	maxHeader = 4096 // bytes of the signed header
	maxChain  = 4    // certificates of the manager
	version   = 1
)

// labelPart begins the info of each sealed part.
const labelPart = "lares/1/backup"

// Errors of a backup. Each says what is wrong with the file, or with the code.
var (
	// ErrFile is returned for bytes that are not a backup, or were changed.
	ErrFile = errors.New("recovery: not a backup, or damaged")
	// ErrVersion is returned for a backup of a newer layout.
	ErrVersion = errors.New("recovery: a backup of a newer program")
	// ErrOtherCode is returned for a code that is not that of the backup.
	ErrOtherCode = errors.New("recovery: the backup was made with another code")
)

// Kind says what a part of a backup holds.
type Kind uint64

// The parts. All are sealed to the recovery key.
const (
	PartHouse  Kind = 1 // the domain: secret, members, earlier managers
	PartTitles Kind = 2 // the licenses, which hold no key
	PartKeys   Kind = 3 // key bundles of the licenses with backup HOUSEHOLD
	PartHost   Kind = 4 // what the home server's host keeps beside its module
)

// Header says what a backup is of. The manager signs it.
type Header struct {
	Version     uint64            `cbor:"1,keyasint"`
	Manager     ident.Device      `cbor:"2,keyasint"`
	Incarnation ident.Incarnation `cbor:"3,keyasint"` // of the manager's vault
	Counter     uint64            `cbor:"4,keyasint"` // batches in it
	Domain      ident.Domain      `cbor:"5,keyasint"`
	Generation  uint64            `cbor:"6,keyasint"`
	Made        int64             `cbor:"7,keyasint"` // Unix ms, the manager's time
	Epoch       uint64            `cbor:"8,keyasint"` // revocation epoch that it knew, as on the wire
	Key         []byte            `cbor:"9,keyasint"` // Public.Sign: whose code opens it
	Parts       [][32]byte        `cbor:"10,keyasint"`
}

// Part is one part in the clear.
type Part struct {
	Kind  Kind
	Plain []byte
}

type sealedPart struct {
	_      struct{} `cbor:",toarray"`
	Kind   Kind
	Sealed []byte // HPKE: encapsulated key ‖ ciphertext
}

type file struct {
	_       struct{} `cbor:",toarray"`
	Version uint64
	Header  []byte   // COSE_Sign1 "backup"
	Chain   [][]byte // the manager's certificates, leaf first, without the root
	Parts   []wire.RawMessage
}

// File is a parsed backup whose parts are those that its header names. The
// signature is not checked yet: Verify does that with the manager's key.
type File struct {
	Header Header
	Chain  [][]byte
	signed *wire.Sign1
	parts  []sealedPart
}

// info binds a part to its kind and to all of the header beside the hashes.
func (h Header) info(kind Kind) ([]byte, error) {
	h.Parts = nil
	enc, err := wire.Marshal(h)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(enc)
	return slices.Concat([]byte(labelPart), []byte{byte(kind)}, sum[:]), nil //nolint:gosec // a kind of this page; Open passes others over
}

// Seal makes the file: it seals the parts to the recovery key and signs the
// header with the manager's identity key, whose chain is given. h needs all but
// Version, Key and Parts.
func Seal(h Header, to Public, parts []Part, signer crypto.Signer, chain [][]byte) ([]byte, error) {
	pub, err := hpke.MLKEM768X25519().NewPublicKey(to.Seal)
	if err != nil || len(chain) == 0 || len(parts) > MaxParts {
		return nil, ErrKey
	}
	h.Version, h.Key, h.Parts = version, to.Sign, nil
	f := file{Version: version, Chain: chain}
	for _, p := range parts {
		info, err := h.info(p.Kind)
		if err != nil {
			return nil, err
		}
		sealed, err := hpke.Seal(pub, hpke.HKDFSHA256(), hpke.AES256GCM(), info, p.Plain)
		if err != nil {
			return nil, fmt.Errorf("recovery: seal: %w", err)
		}
		item, err := wire.Marshal(sealedPart{Kind: p.Kind, Sealed: sealed})
		if err != nil {
			return nil, err
		}
		f.Parts, h.Parts = append(f.Parts, item), append(h.Parts, sha256.Sum256(item))
	}
	payload, err := wire.Marshal(h)
	if err != nil {
		return nil, err
	}
	if f.Header, err = wire.NewSign1(signer, chain[0], ObjectBackup, payload); err != nil {
		return nil, err
	}
	out, err := wire.Marshal(f)
	if err == nil && len(out) > MaxFile {
		err = fmt.Errorf("recovery: a backup of %d bytes: %w", len(out), wire.ErrTooLarge)
	}
	return out, err
}

// Parse reads a backup and checks that its parts are whole.
func Parse(data []byte) (*File, error) {
	lim := wire.Limit{Bytes: MaxFile, Items: MaxParts, Depth: 8}
	if n, ok := wire.LeadingUint(data, MaxParts); ok && n > version {
		return nil, ErrVersion
	}
	var f file
	if err := wire.Unmarshal(data, &f, lim); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	out := &File{Chain: f.Chain}
	var err error
	if out.signed, err = wire.ParseSign1(f.Header, ObjectBackup, wire.Limit{Bytes: maxHeader, Items: 16, Depth: 4}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if err := wire.Unmarshal(out.signed.Payload, &out.Header, wire.Limit{Bytes: maxHeader, Items: 16, Depth: 4}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	h := &out.Header
	if f.Version != version || h.Version != version || h.Generation == 0 || h.Made < 0 || len(f.Chain) == 0 || len(f.Chain) > maxChain || len(f.Parts) != len(h.Parts) {
		return nil, ErrFile
	}
	if _, err := signKey(h.Key); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	for i, item := range f.Parts {
		if sha256.Sum256(item) != h.Parts[i] {
			return nil, fmt.Errorf("%w: part %d was changed", ErrFile, i+1)
		}
		var p sealedPart
		if err := wire.Unmarshal(item, &p, lim); err != nil {
			return nil, fmt.Errorf("%w: part %d: %w", ErrFile, i+1, err)
		}
		out.parts = append(out.parts, p)
	}
	return out, nil
}

// Verify checks the header's signature with the manager's key.
func (f *File) Verify(pub crypto.PublicKey) error {
	if f.signed.X5T != wire.X5T(f.Chain[0]) {
		return fmt.Errorf("%w: the header names another certificate", ErrFile)
	}
	if err := f.signed.Verify(pub); err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	return nil
}

// Open opens every part with the code. Parts of kinds that this program does not
// know are passed over.
func (f *File) Open(c Code) (map[Kind][]byte, error) {
	k, err := c.keys()
	if err != nil {
		return nil, err
	}
	point, err := k.sign.PublicKey.Bytes()
	if err != nil || !slices.Equal(point, f.Header.Key) {
		return nil, ErrOtherCode
	}
	out := map[Kind][]byte{}
	for i, p := range f.parts {
		if p.Kind > PartHost {
			continue
		}
		info, err := f.Header.info(p.Kind)
		if err != nil {
			return nil, err
		}
		plain, err := hpke.Open(k.seal, hpke.HKDFSHA256(), hpke.AES256GCM(), info, p.Sealed)
		if err != nil {
			return nil, fmt.Errorf("%w: part %d does not open", ErrFile, i+1)
		}
		if _, twice := out[p.Kind]; twice {
			return nil, fmt.Errorf("%w: two parts of kind %d", ErrFile, p.Kind)
		}
		out[p.Kind] = plain
	}
	return out, nil
}
