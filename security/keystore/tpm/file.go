package tpm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/keystore"
)

// Names in the directory. Source: local, docs/spec/keystore.md.
const (
	keysFile    = "keystore.lkt" // the objects, wrapped by the TPM
	pendingFile = "keystore.new" // the same, before its register is made
)

// magic starts the file: name and version.
const magic = "LARESKT1"

// Lengths in bytes. Source: local, docs/spec/keystore.md.
const (
	maxFile   = 4096
	maxObject = 1024 // of a public or private part; about 200 in practice
	nameLen   = 34   // TPM2B_NAME of SHA-256: algorithm and digest
)

// Register kinds. Source: local, docs/spec/keystore.md; as in vault.md.
type Register uint8

// The registers.
const (
	Extend  Register = 1 // TPM_NT_EXTEND of SHA-256
	Counter Register = 2 // TPM_NT_COUNTER
)

// object is one object as TPM2_Create gave it: a TPMT_PUBLIC, and a private
// part that only this TPM can decrypt.
type object struct {
	_       struct{} `cbor:",toarray"`
	Public  []byte
	Private []byte
}

// file is what the directory keeps. Nothing in it is secret.
type file struct {
	_        struct{} `cbor:",toarray"`
	Version  uint
	SRK      []byte // name of the storage key that is the objects' parent
	Sealed   object // holds seal key and authorization value
	Identity object
	Delivery object
	Kind     Register
	Index    uint32 // NV handle of the register
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
	if err := wire.Unmarshal(data[len(magic):], f, wire.Limit{Bytes: maxFile, Items: 8, Depth: 2}); err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrDamaged, err)
	}
	if f.Version != 1 || len(f.SRK) != nameLen || f.Kind != Extend && f.Kind != Counter || f.Index>>20 != firstIndex>>20 {
		return nil, fmt.Errorf("%w: version %d, register %d at %#x", keystore.ErrDamaged, f.Version, f.Kind, f.Index)
	}
	for _, o := range []object{f.Sealed, f.Identity, f.Delivery} {
		if len(o.Public) == 0 || len(o.Public) > maxObject || len(o.Private) == 0 || len(o.Private) > maxObject {
			return nil, fmt.Errorf("%w: an object of %d and %d bytes", keystore.ErrDamaged, len(o.Public), len(o.Private))
		}
	}
	return f, nil
}

// load reads a file of the directory; keystore.ErrNone where it is missing.
func load(dir, name string) (*file, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, keystore.ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return parse(data)
}
