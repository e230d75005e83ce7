package vault

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"

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

	errEmpty  = errors.New("vault: no segment")
	errClosed = errors.New("vault: closed")
)

// Record is one entry of the log.
type Record struct {
	Kind uint8
	Body []byte
}

// Config is what a vault is opened with. Of Anchor and Counter it has one at
// most, and keeps the choice that it was created with.
type Config struct {
	Dir      string            // required without FS; created (mode 0700) when missing
	FS       FS                // nil = Dir
	Keystore keystore.Keystore // required: seals the vault key
	Device   ident.Device      // required: whose vault it is
	Anchor   keystore.Anchorer // nil = none
	Counter  keystore.Counter  // nil = none
	Rand     io.Reader         // nil = crypto/rand
	Batch    func(n uint64)    // told the number of each batch before its records are replayed; nil = nobody asks
}

// Vault is an open vault. Its methods may be called by many goroutines at once.
type Vault struct {
	cfg    Config
	fs     FS
	inc    ident.Incarnation
	key    *[keyLen]byte
	sealed []byte // key, sealed by the keystore

	mu    sync.Mutex // guards what follows
	turn  sync.Cond  // told when busy ends
	busy  bool       // one call writes; what stands below queue and err is its own meanwhile
	queue []*entry   // commits that wait
	err   error      // not nil: broken or closed

	at      position
	past    map[uint64]hash // by batch: remember
	segment uint64          // number of the newest
	first   uint64          // number of the oldest
	size    int64           // bytes of all segments
	base    int64           // bytes of the snapshot that the log begins with
	file    File            // of the newest segment; nil before this open's first write
	sealer  *sealer
}

// Open opens the vault in a directory, or creates one where there is none, and
// calls replay with every record in order. Records point into memory that the
// callee may keep.
func Open(cfg Config, replay func(Record) error) (*Vault, error) {
	if cfg.Keystore == nil || cfg.Device == (ident.Device{}) || cfg.Anchor != nil && cfg.Counter != nil {
		return nil, errors.New("vault: Config needs Keystore and Device, and one anchor at most")
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Batch == nil {
		cfg.Batch = func(uint64) {}
	}
	if cfg.FS == nil {
		dir, err := openDir(cfg.Dir)
		if err != nil {
			return nil, err
		}
		cfg.FS = dir
	}
	v := &Vault{cfg: cfg, fs: cfg.FS}
	v.turn.L = &v.mu
	if cfg.Counter != nil {
		v.cfg.Anchor, v.at.kind = counter{cfg.Counter}, counted
	} else if cfg.Anchor != nil {
		v.at.kind = extended
	}
	if err := v.open(replay); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

func (v *Vault) open(replay func(Record) error) error {
	stale, err := v.load(replay)
	if errors.Is(err, errEmpty) {
		return v.create() // a leftover temporary file becomes its first segment
	}
	if err != nil {
		return err
	}
	return inTurn(v.settle, v.checkAnchor, func() error { return v.remove(stale) }, v.bootRecord)
}

// inTurn does steps up to the first that fails.
func inTurn(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// create starts a vault: a new incarnation and a new key, in a first segment
// with an empty, anchored batch.
func (v *Vault) create() error {
	var random [len(v.inc) + keyLen]byte
	if _, err := io.ReadFull(v.cfg.Rand, random[:]); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	v.inc, v.key = ident.Incarnation(random[:]), (*[keyLen]byte)(random[len(v.inc):])
	aad, err := v.keyAAD()
	if err != nil {
		return err
	}
	if v.sealed, err = v.cfg.Keystore.Seal(v.key[:], aad); err != nil {
		return fmt.Errorf("vault: seal the key: %w", err)
	}
	if v.at.anchor, err = v.readAnchor(); err != nil {
		return err
	}
	v.at.hash, v.first = link(hash{}, aad), 1
	return v.startSegment(true, true, [][]Record{nil})
}

func (v *Vault) keyAAD() ([]byte, error) {
	return wire.Marshal([]any{"lares/1/vault/key", v.cfg.Device, v.inc})
}

// Head is the log's length in batches and its hash. It waits for commits that
// are being written.
func (v *Vault) Head() (ctr uint64, h [32]byte) {
	defer v.still().Unlock()
	return v.at.counter, v.at.hash
}

// Incarnation is the vault's birth: random, new with every new vault.
func (v *Vault) Incarnation() ident.Incarnation { return v.inc }

// Segments is how many files the log has.
func (v *Vault) Segments() int {
	defer v.still().Unlock()
	return int(v.segment - v.first + 1) //nolint:gosec // a number of files
}

// Bounds of a log between compactions. Source: local, docs/spec/vault.md.
const (
	minGrowth   = 1 << 20 // bytes
	maxSegments = 64
)

// Grown reports whether the log is due for Compact: what came after its
// snapshot is longer than that, and than 1 MiB, or it has 64 segments. Whoever
// compacts then keeps it below twice the snapshot or that plus 1 MiB.
func (v *Vault) Grown() bool {
	defer v.still().Unlock()
	return v.size-v.base > max(v.base, minGrowth) || v.segment-v.first+1 >= maxSegments
}

// Close ends the use of the vault and gives its lock back. It writes nothing.
func (v *Vault) Close() error {
	defer v.still().Unlock()
	if errors.Is(v.err, errClosed) {
		return nil
	}
	v.err = errClosed
	v.turn.Broadcast()
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
