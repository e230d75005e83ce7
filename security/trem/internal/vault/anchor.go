package vault

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/security/keystore"
)

// anchorKind is how a vault is anchored. Source: local, docs/spec/vault.md.
type anchorKind uint8

const (
	extended anchorKind = 1 // keystore.Anchorer: value := SHA-256(value ‖ h)
	counted  anchorKind = 2 // keystore.Counter: value := value + 1, and every opening commits a boot record
)

// next is what an anchor of value a has become when batch h is anchored.
func (k anchorKind) next(a, h hash) hash {
	if k == counted {
		binary.BigEndian.PutUint64(a[24:], binary.BigEndian.Uint64(a[24:])+1)
		return a
	}
	return link(a, h[:])
}

// counter is a keystore.Counter behind the interface of the other kind. Its
// value is the count, big-endian; what it is extended by does not matter.
type counter struct{ keystore.Counter }

func (c counter) Anchor() (value [32]byte, err error) {
	n, err := c.Count()
	binary.BigEndian.PutUint64(value[24:], n)
	return value, err
}

func (c counter) Extend([32]byte) error { return c.Increment() }

// position is where the log stands.
type position struct {
	kind    anchorKind
	counter uint64 // batches
	hash    hash
	anchor  hash // the value of an anchor that knows every anchored batch
	before  hash // its value before the last anchored batch
	last    hash // h of the last anchored batch; zero = none was read yet
}

func (p *position) step(h hash, anchored bool) {
	p.counter, p.hash = p.counter+1, h
	if anchored {
		p.before, p.anchor, p.last = p.anchor, p.kind.next(p.anchor, h), h
	}
}

// checkAnchor compares the log with the anchor. A crash may have come between
// the disk and the anchor: then exactly the last anchored batch is missing
// there, and is finished now. Batches after it that need no anchor are kept.
func (v *Vault) checkAnchor() error {
	value, err := v.readAnchor()
	if err != nil || v.cfg.Anchor == nil || value == v.at.anchor {
		return err
	}
	if value != v.at.before || v.at.last == (hash{}) {
		return fmt.Errorf("%w (log of %d batches)", ErrRolledBack, v.at.counter)
	}
	return v.advance(v.at)
}

// bootRecord is the batch that a counter needs at every opening.
func (v *Vault) bootRecord() error {
	if v.at.kind != counted {
		return nil
	}
	return v.write(true, nil)
}

// readAnchor is the anchor's value; zero without one.
func (v *Vault) readAnchor() (value hash, err error) {
	if v.cfg.Anchor == nil {
		return value, nil
	}
	if value, err = v.cfg.Anchor.Anchor(); err != nil {
		err = fmt.Errorf("vault: read the anchor: %w", err)
	}
	return value, err
}

// advance makes the anchor know the last anchored batch of a position. It reads
// it again: another value shows that somebody uses the anchor with a copy of
// this vault, and then this batch's effects must not be seen.
func (v *Vault) advance(to position) error {
	if err := v.cfg.Anchor.Extend(to.last); err != nil {
		return fmt.Errorf("vault: extend the anchor: %w", err)
	}
	value, err := v.readAnchor()
	if err == nil && value != to.anchor {
		err = errors.New("vault: somebody else uses the anchor")
	}
	return err
}
