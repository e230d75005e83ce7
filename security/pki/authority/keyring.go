package authority

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/keystore"
)

// Holder makes keys in one place, and uses them. What it wants kept of a key,
// the folder keeps; it is not secret.
type Holder interface {
	// New makes a key. It may have something kept before the key is made, by
	// which Remove finds what a crash leaves, and has the last word kept after.
	New(label string, keep func(ref []byte) error) error
	Remove(ref []byte) error
	// Open gives a key's signer; keystore.ErrNone for one that New did not finish.
	Open(ref []byte) (crypto.Signer, error)
}

// Keyring is a folder whose keys are where its plan says. It is safe for
// concurrent use, as the folder is.
type Keyring struct {
	OSDir
	cfg KeyringConfig

	mu   sync.Mutex
	open map[string]Holder // guarded by mu; by the place's name
}

// KeyringConfig is what a Keyring needs.
type KeyringConfig struct {
	Dir  OSDir                             // required
	Plan KeyPlan                           // of a ceremony; OpenKeyring has the folder's own
	Open func(KeyPlace) (Holder, error)    // required where a plan has places: reaches one, when its first key is used
	Help func(KeyPlace, error) (do string) // nil, or what to do about an error of a place, in words
}

// NewKeyring is the keyring that a ceremony is held with.
func NewKeyring(cfg KeyringConfig) *Keyring {
	return &Keyring{OSDir: cfg.Dir, cfg: cfg, open: map[string]Holder{}}
}

// OpenKeyring is the keyring of a folder that has its plan.
func OpenKeyring(cfg KeyringConfig) (*Keyring, error) {
	var err error
	if cfg.Plan, err = readPlan(cfg.Dir); err != nil {
		return nil, err
	}
	return NewKeyring(cfg), nil
}

// refMagic starts a reference: name and version.
const refMagic = "LARESKR1"

// maxRef bounds what a place may have kept of a key, in bytes. Source: local, docs/spec/ceremony.md.
const maxRef = 4096

// reference stands in the place of a key file.
type reference struct {
	_     struct{} `cbor:",toarray"`
	Place string   // its name in the plan
	Ref   []byte   // what its holder had kept
}

// refFile is the file of a reference, by the name that the key's file would have.
func refFile(name string) string { return strings.TrimSuffix(name, ".pem") + ".ref" }

func parseRef(data []byte) (r reference, err error) {
	rest, ok := bytes.CutPrefix(data, []byte(refMagic))
	if !ok {
		return r, errors.New("not a reference to a key")
	}
	err = wire.Unmarshal(rest, &r, wire.Limit{Bytes: maxRef + 64, Items: 3, Depth: 1})
	if err == nil && (r.Place == "" || len(r.Place) > maxPlaceName || len(r.Ref) > maxRef) {
		err = errors.New("lengths")
	}
	return r, err
}

func (r reference) marshal() ([]byte, error) {
	data, err := wire.Marshal(r)
	return append([]byte(refMagic), data...), err
}

// plan notes in a folder where a ceremony has its keys made. A folder of files
// alone has no plan.
func plan(dir Dir, p KeyPlan) error {
	_, err := dir.Read(planFile) // of a ceremony that was not finished
	if p.empty() && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, ok := dir.(Keys); !ok {
		return fmt.Errorf("%w: keys has places, and this folder can keep keys in files only", ErrConfig)
	}
	return p.write(dir)
}

// NewKey makes a key where the plan has its use. What an earlier attempt left,
// which nothing refers to, is removed there.
func (k *Keyring) NewKey(name string, use KeyUse, label string) (crypto.Signer, error) {
	if err := k.tidy(name); err != nil {
		return nil, err
	}
	at := k.cfg.Plan.of(use)
	if at == InFolder {
		return newFileKey(k.OSDir, name)
	}
	h, place, err := k.holder(at)
	if err != nil {
		return nil, k.explain(name, at, place, err)
	}
	err = h.New(label, func(ref []byte) error {
		data, err := reference{Place: at, Ref: ref}.marshal()
		if err != nil {
			return err
		}
		return k.WriteAtomic(refFile(name), data)
	})
	if err != nil {
		return nil, k.explain(name, at, place, err)
	}
	return k.Key(name)
}

func (k *Keyring) tidy(name string) error {
	r, err := k.ref(name)
	if errors.Is(err, fs.ErrNotExist) {
		return k.remove(name)
	}
	if err != nil {
		return err
	}
	h, place, err := k.holder(r.Place)
	if err == nil {
		err = h.Remove(r.Ref)
	}
	if err != nil {
		return k.explain(name, r.Place, place, err)
	}
	return errors.Join(k.remove(name), k.remove(refFile(name)))
}

func (k *Keyring) remove(file string) error {
	if err := os.Remove(filepath.Join(string(k.OSDir), file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("authority: %w", err)
	}
	return nil
}

// Key gives a key's signer, from its reference or from its file.
func (k *Keyring) Key(name string) (crypto.Signer, error) {
	r, err := k.ref(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fileKey(k.OSDir, name)
	}
	if err != nil {
		return nil, err
	}
	h, place, err := k.holder(r.Place)
	if err != nil {
		return nil, k.explain(name, r.Place, place, err)
	}
	s, err := h.Open(r.Ref)
	if errors.Is(err, keystore.ErrNone) {
		return nil, fmt.Errorf("authority: key %s was not finished: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, k.explain(name, r.Place, place, err)
	}
	return placed{Signer: s, explain: func(err error) error { return k.explain(name, r.Place, place, err) }}, nil
}

func (k *Keyring) ref(name string) (reference, error) {
	data, err := k.Read(refFile(name))
	if err != nil {
		return reference{}, fmt.Errorf("authority: read key: %w", err)
	}
	r, err := parseRef(data)
	if err != nil {
		return r, fmt.Errorf("%w %s: %w", ErrKey, refFile(name), err)
	}
	return r, nil
}

// holder reaches a place, once.
func (k *Keyring) holder(name string) (Holder, KeyPlace, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	place, ok := k.cfg.Plan.Places[name]
	if !ok {
		return nil, place, fmt.Errorf("%s describes no such place", planFile)
	}
	if h := k.open[name]; h != nil {
		return h, place, nil
	}
	h, err := k.cfg.Open(place)
	if err == nil {
		k.open[name] = h
	}
	return h, place, err
}

// PlaceError is returned when a token or a TPM does not do what a key is needed for.
type PlaceError struct {
	Key   string   // without ".pem"
	Name  string   // of the place
	Place KeyPlace // zero where the plan has none of the name
	Do    string   // what helps, in words; may be empty
	Err   error
}

func (e *PlaceError) Error() string {
	text := fmt.Sprintf("authority: %s in %q", e.Key, e.Name)
	if e.Place != (KeyPlace{}) {
		text += " (" + e.Place.String() + ")"
	}
	text += ": " + e.Err.Error()
	if e.Do != "" {
		text += ": " + e.Do
	}
	return text
}

// Unwrap is what the place said.
func (e *PlaceError) Unwrap() error { return e.Err }

func (k *Keyring) explain(name, at string, place KeyPlace, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*PlaceError](err); ok {
		return err
	}
	e := &PlaceError{Key: strings.TrimSuffix(name, ".pem"), Name: at, Place: place, Err: err}
	if k.cfg.Help != nil {
		e.Do = k.cfg.Help(place, err)
	}
	return e
}

// placed is a key that says where it is when it does not sign.
type placed struct {
	crypto.Signer
	explain func(error) error
}

func (p placed) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := p.Signer.Sign(rand, digest, opts)
	return sig, p.explain(err)
}

// Format prints a key without what is in it.
func (p placed) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[private key]") }
