package license

import (
	"fmt"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// BundleKey is one key of a bundle.
type BundleKey struct {
	KID ident.Key
	Key cenc.ContentKey
}

// KeyBundle holds the keys of one license: [license hash, [+ [kid, key]]]. It
// travels from TREM to TREM only, protected, and rests only in a vault.
type KeyBundle struct {
	License [32]byte // license hash
	Keys    []BundleKey
}

type bundleKeyWire struct {
	_   struct{} `cbor:",toarray"`
	KID ident.Key
	Key [cenc.KeySize]byte
}

type bundleWire struct {
	_       struct{} `cbor:",toarray"`
	License [32]byte
	Keys    []bundleKeyWire
}

// AppendCBOR appends [license hash, [+ [kid, key]]]. It never returns an error.
func (w *bundleWire) AppendCBOR(b []byte) ([]byte, error) {
	b = wire.AppendBytes(wire.AppendArray(b, 2), w.License[:])
	if w.Keys == nil {
		return wire.AppendBytes(b, nil), nil
	}
	b = wire.AppendArray(b, len(w.Keys))
	for i := range w.Keys {
		k := &w.Keys[i]
		b = wire.AppendBytes(wire.AppendBytes(wire.AppendArray(b, 2), k.KID[:]), k.Key[:])
	}
	return b, nil
}

// Encode writes the bundle, keys in the clear: the caller seals it.
func (b *KeyBundle) Encode() ([]byte, error) {
	w := bundleWire{License: b.License}
	for _, k := range b.Keys {
		plain, err := k.Key.Reveal()
		if err != nil {
			return nil, fmt.Errorf("%w: no key for %v", ErrInvalid, k.KID)
		}
		w.Keys = append(w.Keys, bundleKeyWire{KID: k.KID, Key: plain})
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	out, err := wire.Marshal(&w)
	w.clear()
	return out, err
}

func (w *bundleWire) check() error {
	if len(w.Keys) == 0 || len(w.Keys) > MaxKeys {
		return fmt.Errorf("%w: bundle of %d keys", ErrInvalid, len(w.Keys))
	}
	seen := map[ident.Key]bool{}
	for _, k := range w.Keys {
		if seen[k.KID] {
			return fmt.Errorf("%w: KID %v twice", ErrInvalid, k.KID)
		}
		seen[k.KID] = true
	}
	return nil
}

func (w *bundleWire) clear() {
	for i := range w.Keys {
		clear(w.Keys[i].Key[:])
	}
}

// ParseKeyBundle reads a bundle. Its errors say nothing about the keys.
func ParseKeyBundle(data []byte) (*KeyBundle, error) {
	var w bundleWire
	if err := wire.Unmarshal(data, &w, wire.Limit{Bytes: 2048, Depth: 4}); err != nil {
		return nil, fmt.Errorf("%w: key bundle", ErrMalformed)
	}
	defer w.clear()
	if err := w.check(); err != nil {
		return nil, err
	}
	b := &KeyBundle{License: w.License}
	for _, k := range w.Keys {
		key, err := cenc.NewContentKey(k.Key[:])
		if err != nil {
			return nil, err
		}
		b.Keys = append(b.Keys, BundleKey{KID: k.KID, Key: key})
	}
	return b, nil
}

// Clear overwrites every key.
func (b *KeyBundle) Clear() {
	for _, k := range b.Keys {
		k.Key.Clear()
	}
}

// Check holds the bundle against its license: the hash, and for each key the
// check value. Every key must be referred to; the license may refer to more.
func (b *KeyBundle) Check(l *License) error {
	if b.License != l.Hash() {
		return fmt.Errorf("%w: key bundle of another license", ErrInvalid)
	}
	for _, k := range b.Keys {
		ref := l.key(k.KID)
		plain, err := k.Key.Reveal()
		fits := err == nil && ref != nil && KeyCheck(k.KID, l.info.Content, plain[:]) == ref.Check
		clear(plain[:])
		if !fits {
			return fmt.Errorf("%w: key %v is not the license's", ErrInvalid, k.KID)
		}
	}
	return nil
}

// key is the reference of a KID, or nil.
func (l *License) key(kid ident.Key) *KeyRef {
	for i := range l.info.Keys {
		if l.info.Keys[i].KID == kid {
			return &l.info.Keys[i]
		}
	}
	return nil
}
