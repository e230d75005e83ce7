package vault

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore"
)

// Errors of a vault.
var (
	// ErrBroken is returned by every call after a failed write, anchor or
	// sync: what is on disk is then only known to the next Open.
	ErrBroken = errors.New("vault: broken by an earlier failure; open it again")
	// ErrLocked is returned when another process has the vault open.
	ErrLocked = errors.New("vault: in use by another process")
	// ErrCorrupt is returned for damage; the error names where.
	ErrCorrupt = errors.New("vault: damaged")
	// ErrKey is returned when the keystore does not open this vault.
	ErrKey = errors.New("vault: not of this keystore or device")
	// ErrRolledBack is returned when the anchor says that the log was longer.
	ErrRolledBack = errors.New("vault: older than its anchor")
	// ErrTooLarge is returned for a batch over the limits; nothing was written.
	ErrTooLarge = errors.New("vault: batch too large")

	errSeal   = errors.New("vault: seal does not open")
	errEmpty  = errors.New("vault: no segment")
	errClosed = errors.New("vault: closed")
)

// Record is one entry of the log.
type Record struct {
	Kind uint8
	Body []byte
}

// Config is what a vault is opened with.
type Config struct {
	Dir      string            // required without FS; created (mode 0700) when missing
	FS       FS                // nil = Dir
	Keystore keystore.Keystore // required: seals the vault key
	Device   ident.Device      // required: whose vault it is
	Anchor   keystore.Anchorer // nil = none; a vault keeps the choice it was created with
	Rand     io.Reader         // nil = crypto/rand
}

// Vault is an open vault. It is not safe for concurrent use.
type Vault struct {
	cfg     Config
	fs      FS
	inc     ident.Incarnation
	key     *[keyLen]byte
	sealed  []byte // key, sealed by the keystore
	at      position
	past    map[uint64]hash // by batch: remember
	segment uint64          // number of the newest
	first   uint64          // number of the oldest
	file    File            // of the newest segment; nil before this open's first write
	sealer  *sealer
	stale   []string // leftovers to remove
	err     error    // not nil: broken or closed
}

// position is where the log stands.
type position struct {
	counter uint64 // batches
	hash    hash
	anchor  hash // the value an anchor has when it knows all anchored batches
	before  hash // the anchor's value before the last anchored batch
	pending hash // h of the last batch when that is anchored; else zero
}

func (p *position) step(h hash, anchored bool) {
	p.counter, p.hash, p.pending = p.counter+1, h, hash{}
	if anchored {
		p.before, p.anchor, p.pending = p.anchor, link(p.anchor, h[:]), h
	}
}

// Open opens the vault in a directory, or creates one where there is none, and
// calls replay with every record in order. Records point into memory that the
// callee may keep.
func Open(cfg Config, replay func(Record) error) (*Vault, error) {
	if cfg.Keystore == nil || cfg.Device == (ident.Device{}) {
		return nil, errors.New("vault: Config needs Keystore and Device")
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	v := &Vault{cfg: cfg, fs: cfg.FS}
	if v.fs == nil {
		var err error
		if v.fs, err = openDir(cfg.Dir); err != nil {
			return nil, err
		}
	}
	if err := v.open(replay); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

func (v *Vault) open(replay func(Record) error) error {
	err := v.load(replay)
	if errors.Is(err, errEmpty) {
		err = v.create()
	} else if err == nil {
		err = v.settle()
	}
	if err == nil {
		err = v.checkAnchor()
	}
	if err == nil {
		err = v.tidy()
	}
	return err
}

// create starts a vault: a new incarnation and a new key, in a first segment
// with an empty, anchored batch.
func (v *Vault) create() error {
	var key [keyLen]byte
	for _, b := range [][]byte{v.inc[:], key[:]} {
		if _, err := io.ReadFull(v.cfg.Rand, b); err != nil {
			return fmt.Errorf("vault: %w", err)
		}
	}
	aad, err := v.keyAAD(v.inc)
	if err != nil {
		return err
	}
	if v.sealed, err = v.cfg.Keystore.Seal(key[:], aad); err != nil {
		return fmt.Errorf("vault: seal the key: %w", err)
	}
	v.key = &key
	if v.cfg.Anchor != nil {
		if v.at.anchor, err = v.cfg.Anchor.Anchor(); err != nil {
			return fmt.Errorf("vault: read the anchor: %w", err)
		}
	}
	v.at.hash = link(hash{}, aad)
	v.first, v.stale = 1, nil // a left temporary file is the new segment's now
	return v.startSegment(true, true, [][]Record{nil})
}

func (v *Vault) keyAAD(inc ident.Incarnation) ([]byte, error) {
	return wire.Marshal([]any{"lares/1/vault/key", v.cfg.Device, inc})
}

// checkAnchor compares the log with the anchor. A crash may have come between
// the disk and the anchor: then exactly the last batch is missing there.
func (v *Vault) checkAnchor() error {
	if v.cfg.Anchor == nil {
		return nil
	}
	value, err := v.cfg.Anchor.Anchor()
	switch {
	case err != nil:
		return fmt.Errorf("vault: read the anchor: %w", err)
	case value == v.at.anchor:
		return nil
	case value != v.at.before || v.at.pending == hash{}:
		return fmt.Errorf("%w (log of %d batches)", ErrRolledBack, v.at.counter)
	}
	if err := v.cfg.Anchor.Extend(v.at.pending); err != nil {
		return fmt.Errorf("vault: extend the anchor: %w", err)
	}
	return nil
}

// Commit appends records as one batch and returns when it is durable, and
// anchored where that is asked for: then, and only then, its effects may be
// seen outside. No records is no batch. After an error other than ErrTooLarge
// the batch may or may not be there, and the vault is broken.
func (v *Vault) Commit(anchored bool, recs ...Record) error {
	if v.err != nil {
		return v.err
	}
	if len(recs) == 0 {
		return nil
	}
	if v.file == nil {
		return v.startSegment(false, anchored, [][]Record{recs})
	}
	frame, next, err := v.frame(v.sealer, v.at, anchored, recs)
	if err != nil {
		return err
	}
	if _, err = v.file.Write(frame); err == nil {
		err = v.file.Sync()
	}
	return v.finish(next, err)
}

// finish anchors what is on disk and makes it the vault's position.
func (v *Vault) finish(next position, err error) error {
	if err == nil && v.cfg.Anchor != nil && next.anchor != v.at.anchor {
		err = v.cfg.Anchor.Extend(next.pending)
	}
	if err != nil {
		return v.fail(err)
	}
	v.at = next
	v.remember(next)
	return nil
}

func (v *Vault) fail(err error) error {
	v.err = ErrBroken
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

func (v *Vault) frame(s *sealer, at position, anchored bool, recs []Record) ([]byte, position, error) {
	if len(recs) > maxRecs {
		return nil, at, ErrTooLarge
	}
	p := payload{Anchored: anchored, Records: make([]record, len(recs))}
	for i, r := range recs {
		p.Records[i] = record{Kind: r.Kind, Body: append([]byte{}, r.Body...)} // never null
	}
	data, err := wire.Marshal(p)
	if err != nil {
		return nil, at, err
	}
	defer clear(data)
	frame, h, err := s.frame(at.counter+1, at.hash, data)
	at.step(h, anchored)
	return frame, at, err
}

// Head is the log's length in batches and its hash.
func (v *Vault) Head() (ctr uint64, h [32]byte) { return v.at.counter, v.at.hash }

// Incarnation is the vault's birth: random, new with every new vault.
func (v *Vault) Incarnation() ident.Incarnation { return v.inc }

// Segments is how many files the log has: a caller compacts when it is many.
func (v *Vault) Segments() int { return int(v.segment - v.first + 1) } //nolint:gosec // a number of files

// Close ends the use of the vault and gives its lock back. It writes nothing.
func (v *Vault) Close() error {
	if errors.Is(v.err, errClosed) {
		return nil
	}
	v.err = errClosed
	if v.key != nil {
		clear(v.key[:])
	}
	v.sealer = nil
	var err error
	if v.file != nil {
		err = v.file.Close()
	}
	return errors.Join(err, v.fs.Close())
}
