package recovery

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// ObjectRestore is the signed object "restore" of docs/spec/objects.md.
const ObjectRestore wire.Object = "restore"

// MaxRestore bounds a signed RESTORE, in bytes. Source: local, docs/spec/backup.md.
const MaxRestore = 512

// ErrRestore is returned for a RESTORE that does not hold.
var ErrRestore = errors.New("recovery: the statement of the restore does not hold")

// Restore says that another module manages a household from now on. Source:
// local layout, docs/spec/backup.md.
type Restore struct {
	Domain      ident.Domain      `cbor:"1,keyasint"`
	Generation  uint64            `cbor:"2,keyasint"` // of the domain from now on: above that of the backup
	Old         ident.Device      `cbor:"3,keyasint"` // the manager that the backup is of
	Incarnation ident.Incarnation `cbor:"4,keyasint"` // of the new manager's vault
	Manager     ident.Device      `cbor:"5,keyasint"` // the new manager
}

// SignRestore signs a RESTORE with the key of a code.
func (c Code) SignRestore(r Restore) ([]byte, error) {
	k, err := c.keys()
	if err != nil {
		return nil, err
	}
	payload, err := wire.Marshal(r)
	if err != nil {
		return nil, err
	}
	return k.object(ObjectRestore, payload)
}

// ParseRestore checks a RESTORE with the key that a membership names.
func ParseRestore(data, key []byte) (Restore, error) {
	pub, err := signKey(key)
	if err != nil {
		return Restore{}, err
	}
	lim := wire.Limit{Bytes: MaxRestore, Items: 8, Depth: 3}
	s, err := wire.ParseSign1(data, ObjectRestore, lim)
	if err != nil {
		return Restore{}, fmt.Errorf("%w: %w", ErrRestore, err)
	}
	if s.X5T != wire.X5T(key) {
		return Restore{}, fmt.Errorf("%w: it is signed with another code", ErrRestore)
	}
	if err := s.Verify(pub); err != nil {
		return Restore{}, fmt.Errorf("%w: %w", ErrRestore, err)
	}
	var r Restore
	if err := wire.Unmarshal(s.Payload, &r, lim); err != nil {
		return Restore{}, fmt.Errorf("%w: %w", ErrRestore, err)
	}
	if r.Generation < 2 || r.Old == r.Manager {
		return Restore{}, ErrRestore
	}
	return r, nil
}
