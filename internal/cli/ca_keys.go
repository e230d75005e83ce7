package cli

import (
	"crypto"
	"errors"
	"io"
	"os"
	"time"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/pkcs11"
	"github.com/lares-drm/lares/security/keystore/tpm"
	"github.com/lares-drm/lares/security/pki/authority"
)

// caKeys reaches the places where an authority has its keys.
type caKeys struct{ tokens pkcs11.Signers }

// ceremony is the keyring for a plan.
func (c *caKeys) ceremony(dir authority.OSDir, plan authority.KeyPlan) *authority.Keyring {
	return authority.NewKeyring(authority.KeyringConfig{Dir: dir, Plan: plan, Open: c.open, Help: placeHelp})
}

// folder is the keyring of a folder.
func (c *caKeys) folder(dir string) (*authority.Keyring, error) {
	return authority.OpenKeyring(authority.KeyringConfig{Dir: authority.OSDir(dir), Open: c.open, Help: placeHelp})
}

func (c *caKeys) close() error { return c.tokens.Close() }

func (c *caKeys) open(p authority.KeyPlace) (authority.Holder, error) {
	pin := func() ([]byte, error) { return keystore.ReadPIN(p.PINFile) }
	if p.Kind == authority.PlacePKCS11 {
		return tokenKeys{&c.tokens, pkcs11.SignerConfig{Module: p.Module, Token: p.Token, PIN: pin}}, nil
	}
	s := tpm.Signers{Dial: func() (io.ReadWriteCloser, error) {
		f, err := openTPM(p.TPM)
		return patientTPM{f}, err
	}}
	if p.PINFile != "" {
		s.PIN = pin
	}
	return tpmKeys{&s}, nil
}

// tokenKeys are keys in a token.
type tokenKeys struct {
	signers *pkcs11.Signers
	cfg     pkcs11.SignerConfig
}

func (k tokenKeys) New(label string, keep func([]byte) error) error {
	return k.signers.New(k.cfg, label, keep)
}
func (k tokenKeys) Remove(ref []byte) error                { return k.signers.Remove(k.cfg, ref) }
func (k tokenKeys) Open(ref []byte) (crypto.Signer, error) { return k.signers.Open(k.cfg, ref) }

// tpmKeys are keys in a TPM. What is kept of one is all that there is of it.
type tpmKeys struct{ *tpm.Signers }

func (k tpmKeys) New(_ string, keep func([]byte) error) error {
	key, err := k.Signers.New()
	if err != nil {
		return err
	}
	return keep(key)
}
func (tpmKeys) Remove([]byte) error { return nil }

// patientTPM is a TPM that is waited for.
type patientTPM struct{ *os.File }

// tpmPause is how long a busy TPM is left alone. Source: local, as in security/trem/module.
const tpmPause = 100 * time.Millisecond

// Pause waits before a command is said again.
func (patientTPM) Pause() { time.Sleep(tpmPause) }

// placeHelp says what to do when a key's place does not do what is asked.
func placeHelp(p authority.KeyPlace, err error) string {
	switch {
	case errors.Is(err, pkcs11.ErrNotBuilt):
		return "" // it says so itself
	case errors.Is(err, keystore.ErrPIN):
		if p.PINFile == "" {
			return "name a file with the key's PIN as pin_file in keys.json of the authority's folder"
		}
		return "put the right PIN into " + p.PINFile + "; after a few wrong ones it is locked"
	case errors.Is(err, keystore.ErrGone) && p.Kind == authority.PlaceTPM:
		return "run the command on the machine that the key was made on, as a user who may use its TPM; the TPM's device is named in keys.json of the authority's folder"
	case errors.Is(err, keystore.ErrGone):
		return "connect the token that has the key; its library and label are named in keys.json of the authority's folder"
	case errors.Is(err, keystore.ErrDamaged):
		return "bring the key's .ref file back from a copy of the authority's folder"
	}
	return "keys.json of the authority's folder says where keys are"
}

// placeRefusal is a token or a TPM that says no.
func placeRefusal(err error) error {
	if _, ok := errors.AsType[*authority.PlaceError](err); ok {
		return refused("%w", err)
	}
	return err
}
