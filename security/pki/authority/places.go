package authority

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
)

// KeyUse is what a key of an authority is for.
type KeyUse string

// The uses, which a ceremony may give a place each. Source: local, docs/spec/ceremony.md.
const (
	UseRoot    KeyUse = "root"         // certifies first-level CAs, signers and the next root
	UseFirst   KeyUse = "first_level"  // certifies parties and device class CAs
	UseClass   KeyUse = "device_class" // certifies devices
	UseSigners KeyUse = "signers"      // signs revocation states and the time, each day and each minute
)

// Kinds of places. Source: local, docs/spec/ceremony.md.
const (
	PlacePKCS11 = "pkcs11"
	PlaceTPM    = "tpm"
)

// InFolder is the place of keys that are files of the folder.
const InFolder = "folder"

// KeyPlan says where an authority makes its keys: a place for each use, the
// folder where none is named.
type KeyPlan struct {
	Places      map[string]KeyPlace `json:"places,omitempty"`
	Root        string              `json:"root,omitzero"`
	FirstLevel  string              `json:"first_level,omitzero"`
	DeviceClass string              `json:"device_class,omitzero"`
	Signers     string              `json:"signers,omitzero"`
}

// KeyPlace is a token or a TPM. Nothing in it is secret.
type KeyPlace struct {
	Kind    string `json:"keystore"`          // pkcs11 or tpm
	TPM     string `json:"tpm,omitzero"`      // tpm: device or unix socket
	Module  string `json:"module,omitzero"`   // pkcs11: path of the token's library
	Token   string `json:"token,omitzero"`    // pkcs11: label of the token
	PINFile string `json:"pin_file,omitzero"` // file with the PIN, for its owner only; a TPM's keys may do without
}

// maxPlaces and maxPlaceName bound a plan. Source: local, docs/spec/ceremony.md.
const (
	maxPlaces    = 16
	maxPlaceName = 20
)

// empty reports whether all keys are files of the folder.
func (p KeyPlan) empty() bool {
	return len(p.Places) == 0 && p.Root+p.FirstLevel+p.DeviceClass+p.Signers == ""
}

// of is the name of the place for a use.
func (p KeyPlan) of(use KeyUse) string {
	name := map[KeyUse]string{UseRoot: p.Root, UseFirst: p.FirstLevel, UseClass: p.DeviceClass, UseSigners: p.Signers}[use]
	if name == "" {
		return InFolder
	}
	return name
}

// Check refuses a plan that names a place that it does not describe, or
// describes one that lacks what its kind needs or has what another's is for.
func (p KeyPlan) Check() error {
	if len(p.Places) > maxPlaces {
		return fmt.Errorf("%w: %d places for keys, at most %d", ErrConfig, len(p.Places), maxPlaces)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Places)) {
		if name == "" || len(name) > maxPlaceName || name == InFolder {
			return fmt.Errorf("%w: %q is no name of a place for keys (1 to %d bytes, not %q)", ErrConfig, name, maxPlaceName, InFolder)
		}
		if err := p.Places[name].check(); err != nil {
			return fmt.Errorf("%w: place %q: %w", ErrConfig, name, err)
		}
	}
	for _, use := range []KeyUse{UseRoot, UseFirst, UseClass, UseSigners} {
		if name := p.of(use); name != InFolder && p.Places[name] == (KeyPlace{}) {
			return fmt.Errorf("%w: keys: %s is %q, and places has no such place", ErrConfig, use, name)
		}
	}
	return nil
}

func (p KeyPlace) check() error {
	switch p.Kind {
	case PlacePKCS11:
		if p.TPM != "" || p.Module == "" || p.Token == "" || p.PINFile == "" {
			return errors.New("a token needs its library (module), its label (token) and a file with the PIN (pin_file)")
		}
	case PlaceTPM:
		if p.Module != "" || p.Token != "" || p.TPM == "" {
			return errors.New("a TPM needs its device (tpm)")
		}
	default:
		return fmt.Errorf("keystore is %q, want %s or %s", p.Kind, PlacePKCS11, PlaceTPM)
	}
	for _, path := range []string{p.TPM, p.Module, p.PINFile} {
		if path != "" && !filepath.IsAbs(path) {
			return fmt.Errorf("%q is not an absolute path", path)
		}
	}
	return nil
}

// String names a place to who must find it.
func (p KeyPlace) String() string {
	if p.Kind == PlaceTPM {
		return "TPM " + p.TPM
	}
	return fmt.Sprintf("token %q of %s", p.Token, p.Module)
}

// planFile is where a folder keeps its plan. Its operator may change it: where
// a place is reached, and where new keys are made.
const planFile = "keys.json"

// readPlan reads the plan of a folder; an empty one where there is none.
func readPlan(dir Dir) (p KeyPlan, err error) {
	data, err := dir.Read(planFile)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("authority: %w", err)
	}
	if err := strictJSON(data, &p); err != nil {
		return p, fmt.Errorf("%w: read %s: %w", ErrConfig, planFile, err)
	}
	return p, p.Check()
}

func (p KeyPlan) write(dir Dir) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	return dir.WriteAtomic(planFile, append(data, '\n'))
}
