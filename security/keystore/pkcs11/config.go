package pkcs11

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/keystore"
)

// Config says which token, and who asks.
type Config struct {
	Dir    string // required: the folder that says which keys are the module's
	Module string // required: the path of the token's PKCS#11 library
	Token  string // required to create: the token's label
	PIN    []byte // required: the user's PIN; the caller clears it
}

// ErrNotBuilt is returned by a program that was built without PKCS#11.
var ErrNotBuilt = errors.New("keystore: this build has no PKCS#11; build with -tags pkcs11 and CGO_ENABLED=1 (make build-pkcs11)")

// magic starts the file: name and version.
const magic = "LARESKP1"

// Lengths in bytes. Source: local, docs/spec/keystore.md.
const (
	maxFile  = 1024
	maxLabel = 32 // of a token; PKCS#11 2.40, CK_TOKEN_INFO
	idLen    = 16
	pointLen = 65 // 4 ‖ x ‖ y
)

// file is what the directory keeps: which token, which keys. Nothing in it is
// secret. The public keys are empty in a pending file.
type file struct {
	_        struct{} `cbor:",toarray"`
	Version  uint
	Token    string // label
	Serial   string // serial number
	ID       []byte // the keys' CKA_ID are ID ‖ role, that of the seal key ID ‖ 3
	Identity []byte // public keys, 4 ‖ x ‖ y
	Delivery []byte
}

func (f *file) marshal() ([]byte, error) {
	data, err := wire.Marshal(f)
	return append([]byte(magic), data...), err
}

func parse(data []byte) (*file, error) {
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: not a key file", keystore.ErrDamaged)
	}
	f := new(file)
	if err := wire.Unmarshal(data[len(magic):], f, wire.Limit{Bytes: maxFile, Items: 6, Depth: 1}); err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrDamaged, err)
	}
	if f.Version != 1 || len(f.ID) != idLen || len(f.Token) > maxLabel || len(f.Serial) > maxLabel {
		return nil, fmt.Errorf("%w: version %d", keystore.ErrDamaged, f.Version)
	}
	for _, p := range [][]byte{f.Identity, f.Delivery} {
		if len(p) != 0 && (len(p) != pointLen || p[0] != 4) {
			return nil, fmt.Errorf("%w: public key of %d bytes", keystore.ErrDamaged, len(p))
		}
	}
	return f, nil
}
