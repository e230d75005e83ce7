package license

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/permission"
)

// Object is the signed object "license" of docs/spec/objects.md.
const Object wire.Object = "license"

// Errors of this package.
var (
	// ErrMalformed is returned for bytes that are not a license of docs/spec/license.md.
	ErrMalformed = errors.New("license: malformed")
	// ErrInvalid is returned for a license that no issuer may write.
	ErrInvalid = errors.New("license: invalid")
	// ErrUnknownCritical is returned for a license whose policy has a critical key that is not evaluated here.
	ErrUnknownCritical = errors.New("license: unknown critical condition")
	// ErrSigner is returned when a license does not stand under the signer shown.
	ErrSigner = errors.New("license: signer")
	// ErrNotNarrower is returned when a derived license permits what its parent does not.
	ErrNotNarrower = errors.New("license: wider than its parent")
)

// License is a parsed license. Its signature has not been checked: Verify or
// VerifyChain does. It is not changed after Parse and may be shared.
type License struct {
	info  Info
	units *permission.Units
	sig   *wire.Sign1
	raw   []byte

	// What every evaluation needs, read once.
	rules   []keyRule // of the keys, in their order
	unknown bool      // something in code or policy is not known here
}

// Parse reads a license of at most MaxSize bytes. It refuses one that is not
// byte-equal to its re-encoding, one that no issuer may write (ErrInvalid), and
// one with a critical policy key that is not evaluated here (ErrUnknownCritical).
func Parse(data []byte) (*License, error) {
	l, err := Inspect(data)
	if err != nil {
		return nil, err
	}
	if err := l.info.known(); err != nil {
		return nil, err
	}
	return l, nil
}

// Inspect is Parse for showing and explaining: it accepts unknown critical
// policy, which Evaluate then refuses.
func Inspect(data []byte) (*License, error) {
	sig, err := wire.ParseSign1(data, Object, wire.Limit{Bytes: MaxSize})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	l := &License{sig: sig, raw: bytes.Clone(data)}
	if l.units, err = l.info.decode(sig.Payload); err != nil {
		return nil, err
	}
	l.prepare()
	return l, nil
}

// decode reads a license's payload and checks it.
func (i *Info) decode(payload []byte) (*permission.Units, error) {
	if err := wire.Unmarshal(payload, i, wire.Limit{Bytes: MaxSize, Depth: 6}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return i.check()
}

// ParseInfo reads what Encode writes: the information of a license that nobody
// has signed yet.
func ParseInfo(data []byte) (*Info, error) {
	i := new(Info)
	if _, err := i.decode(data); err != nil {
		return nil, err
	}
	return i, nil
}

// Encode writes the information of a license as Sign does.
func (i *Info) Encode() ([]byte, error) { return wire.Marshal(i) }

// known refuses a critical policy key that is not evaluated here.
func (i *Info) known() error {
	if unknown := i.Policy.unknown(true); len(unknown) > 0 {
		return fmt.Errorf("%w: %v", ErrUnknownCritical, unknown)
	}
	return nil
}

// prepare reads what evaluations need.
func (l *License) prepare() {
	l.rules = make([]keyRule, len(l.info.Keys))
	for i := range l.info.Keys {
		r, err := l.info.Keys[i].Rules()
		l.rules[i] = keyRule{r, err != nil}
	}
	l.unknown = len(l.info.Policy.Other) > 0 || len(l.units.UnknownCritical(0)) > 0 || len(l.units.UnknownOther()) > 0
}

// Sign checks info and signs it as a license with the key whose certificate is
// leafDER. A P-256 key of this process signs the same info to the same bytes.
func Sign(signer crypto.Signer, leafDER []byte, info *Info) ([]byte, error) {
	l, err := Issue(signer, leafDER, info)
	if err != nil {
		return nil, err
	}
	return l.raw, nil
}

// Issue is Sign, and gives what Parse makes of the license.
func Issue(signer crypto.Signer, leafDER []byte, info *Info) (*License, error) {
	in := *info
	if in.Format == 0 {
		in.Format = Format
	}
	if _, err := in.check(); err != nil {
		return nil, err
	}
	payload, err := wire.Marshal(&in)
	if err != nil {
		return nil, fmt.Errorf("sign license %v: %w", in.ID, err)
	}
	l := new(License) // what Parse will read: nothing is signed that it refuses
	if l.units, err = l.info.decode(payload); err == nil {
		err = l.info.known()
	}
	if err == nil {
		l.raw, err = wire.NewSign1(signer, leafDER, Object, payload)
	}
	if err == nil {
		if l.sig, err = wire.ParseSign1(l.raw, Object, wire.Limit{Bytes: MaxSize}); err != nil {
			err = fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("sign license %v: %w", in.ID, err)
	}
	l.prepare()
	return l, nil
}

// Info is what the license says. The caller must not change it.
func (l *License) Info() *Info { return &l.info }

// Units is the decoded permission code. The caller must not change it.
func (l *License) Units() *permission.Units { return l.units }

// Bytes is the license as received. The caller must not change it.
func (l *License) Bytes() []byte { return l.raw }

// Hash is the license hash: SHA-256 of the COSE Sig_structure, the same
// whatever the signature's bytes are.
func (l *License) Hash() [32]byte { return l.sig.Hash() }

// X5T names the certificate that the license claims to be signed with.
func (l *License) X5T() [wire.X5TLen]byte { return l.sig.X5T }

// Derived reports whether the license has a parent.
func (l *License) Derived() bool { return l.info.Parent != nil }
