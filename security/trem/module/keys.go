package module

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/pkcs11"
	"github.com/lares-drm/lares/security/keystore/soft"
	"github.com/lares-drm/lares/security/keystore/tpm"
	"github.com/lares-drm/lares/security/trem"
)

// keys is an open key storage.
type keys struct {
	keystore.Keystore
	kind  string
	dirs  []string     // that it writes while it runs, besides the module's folder
	close func() error // nil where there is nothing to close
	erase func() error // destroys them
}

// openKeys opens the key storage that the folder names, or makes keys in it
// where there are none. It is done before the walls stand: a token's library is
// loaded here, with what it needs.
func openKeys(cfg Config) (*keys, error) {
	storage, err := trem.LoadKeyStorage(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if cfg.TPM != nil && storage.Kind != trem.StorageTPM {
		return nil, fmt.Errorf("the host gives a TPM, and the keys of this folder are in %s", storage.Kind)
	}
	if err := storage.Fits(cfg.Dir); err != nil {
		return nil, err
	}
	k := &keys{kind: storage.Kind}
	switch storage.Kind {
	case trem.StorageTPM:
		err = k.inTPM(cfg.Dir, cfg.TPM, storage)
	case trem.StoragePKCS11:
		err = k.inToken(cfg.Dir, storage)
	default:
		k.erase = func() error { return soft.Erase(cfg.Dir) }
		k.Keystore, err = soft.OpenOrCreate(cfg.Dir)
	}
	return k, err
}

// chip is a TPM that is waited for.
type chip struct{ *os.File }

// chipPause is how long a busy TPM is left alone: it answers in milliseconds,
// and limits its writes by seconds. Source: local.
const chipPause = 100 * time.Millisecond

// Pause waits before a command is said again.
func (chip) Pause() {
	time.Sleep(chipPause) //nolint:forbidigo // it waits for a chip, and decides nothing by it
}

func (k *keys) inTPM(dir string, f *os.File, storage trem.KeyStorage) error {
	if f == nil {
		return errors.New("the keys of this folder are in a TPM, and the host gives none")
	}
	register := tpm.Extend
	if storage.Register == trem.RegisterCounter {
		register = tpm.Counter
	}
	s, err := tpm.Open(dir, chip{f})
	if errors.Is(err, keystore.ErrNone) {
		s, err = tpm.Create(dir, chip{f}, register)
	}
	if err != nil {
		return err
	}
	k.Keystore, k.close, k.erase = s.Keystore(), s.Close, func() error { return s.Erase(dir) }
	return nil
}

func (k *keys) inToken(dir string, storage trem.KeyStorage) error {
	pin, err := keystore.ReadPIN(storage.PINFile)
	if err != nil {
		return err
	}
	defer clear(pin)
	cfg := pkcs11.Config{Dir: dir, Module: storage.Module, Token: storage.Token, PIN: pin}
	s, err := pkcs11.Open(cfg)
	if errors.Is(err, keystore.ErrNone) {
		s, err = pkcs11.Create(cfg)
	}
	if err != nil {
		return err
	}
	k.Keystore, k.close, k.erase = s, s.Close, func() error { return s.Erase(dir) }
	if storage.TokenDir != "" {
		k.dirs = []string{storage.TokenDir}
	}
	return nil
}
