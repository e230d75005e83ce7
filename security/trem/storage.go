package trem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// The places where a module can have its keys. Source: local, docs/spec/keystore.md.
const (
	StorageSoft   = "soft"   // a sealed file, level SL1
	StoragePKCS11 = "pkcs11" // a PKCS#11 token, level SL2
	StorageTPM    = "tpm"    // a TPM 2.0, level SL3
)

// The registers of a TPM that a vault can be anchored to. Source: local, docs/spec/keystore.md.
const (
	RegisterExtend  = "extend"
	RegisterCounter = "counter"
)

// storageFile is in the module's folder. A folder without one has its keys in software.
const storageFile = "keystore.json"

// maxStorage bounds the file, in bytes. Source: local.
const maxStorage = 16 << 10

// ErrStorage is returned for a key storage that cannot be.
var ErrStorage = errors.New("trem: key storage")

// KeyStorage says where a module has its keys. It is keystore.json of the
// module's folder; nothing in it is secret. The host reads it to know what to
// open for the module, the module to know what it was given.
type KeyStorage struct {
	Kind     string `json:"keystore"`           // soft, pkcs11 or tpm
	TPM      string `json:"tpm,omitzero"`       // tpm: device or unix socket, which the host opens; /dev/tpmrm0
	Register string `json:"register,omitzero"`  // tpm: extend or counter
	Module   string `json:"module,omitzero"`    // pkcs11: path of the token's library
	Token    string `json:"token,omitzero"`     // pkcs11: label of the token
	PINFile  string `json:"pin_file,omitzero"`  // pkcs11: file with the user's PIN, for its owner only
	TokenDir string `json:"token_dir,omitzero"` // pkcs11: folder that the library writes while it runs (SoftHSM); none for hardware
}

// ParseKeyStorage reads keystore.json: JSON, unknown keys refused.
func ParseKeyStorage(data []byte) (KeyStorage, error) {
	var k KeyStorage
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&k); err != nil {
		return k, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return k, fmt.Errorf("%w: more than one value", ErrStorage)
	}
	return k, k.Check()
}

// Check refuses a storage that lacks what its kind needs, or has what another's is for.
func (k KeyStorage) Check() error {
	token := k.Module != "" || k.Token != "" || k.PINFile != "" || k.TokenDir != ""
	chip := k.TPM != "" || k.Register != ""
	switch k.Kind {
	case StorageSoft:
		if token || chip {
			return fmt.Errorf("%w: keys in software have no token and no TPM", ErrStorage)
		}
	case StoragePKCS11:
		if chip || k.Module == "" || k.Token == "" || k.PINFile == "" {
			return fmt.Errorf("%w: a token needs its library, its label and a file with the PIN", ErrStorage)
		}
	case StorageTPM:
		if token || k.TPM == "" || !slices.Contains([]string{RegisterExtend, RegisterCounter}, k.Register) {
			return fmt.Errorf("%w: a TPM needs its device and a register, %s or %s", ErrStorage, RegisterExtend, RegisterCounter)
		}
	default:
		return fmt.Errorf("%w: %q is none of %s, %s, %s", ErrStorage, k.Kind, StorageSoft, StoragePKCS11, StorageTPM)
	}
	for _, p := range []string{k.TPM, k.Module, k.PINFile, k.TokenDir} {
		if p != "" && !filepath.IsAbs(p) {
			return fmt.Errorf("%w: %q is not an absolute path", ErrStorage, p)
		}
	}
	return nil
}

// LoadKeyStorage reads where the module of a folder has its keys.
func LoadKeyStorage(dir string) (KeyStorage, error) {
	f, err := os.Open(filepath.Join(dir, storageFile))
	if errors.Is(err, fs.ErrNotExist) {
		return KeyStorage{Kind: StorageSoft}, nil
	}
	if err != nil {
		return KeyStorage{}, fmt.Errorf("read the key storage: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(f, maxStorage))
	if err != nil {
		return KeyStorage{}, fmt.Errorf("read the key storage: %w", err)
	}
	return ParseKeyStorage(data)
}

// Save writes where the module of a folder has its keys, before it is started
// the first time. It replaces the file whole.
func (k KeyStorage) Save(dir string) error {
	if err := k.Check(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	tmp, err := os.CreateTemp(dir, storageFile+".tmp*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the key storage: %w", err)
	}
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, storageFile))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the key storage: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

// ErrMoved is returned where a folder's keys are in another storage than asked for.
var ErrMoved = errors.New("trem: keys do not move between storages")

// holds are the files that say where the keys of a folder are. Source: docs/spec/keystore.md.
var holds = map[string]string{StorageSoft: "keystore.lks", StoragePKCS11: "keystore.lkp", StorageTPM: "keystore.lkt"}

// Fits refuses a storage for a folder whose keys are in another one. Keys never
// leave a storage, so there is no way from one to the other but a new module.
func (k KeyStorage) Fits(dir string) error {
	for kind, name := range holds {
		switch _, err := os.Lstat(filepath.Join(dir, name)); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("look for keys: %w", err)
		case kind != k.Kind:
			return fmt.Errorf("%w: the keys of %s are in the storage %s, and cannot leave it for %s", ErrMoved, dir, kind, k.Kind)
		}
	}
	return nil
}
