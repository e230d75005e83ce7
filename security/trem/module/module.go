package module

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/core"
	"github.com/lares-drm/lares/security/trem/internal/secret"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// Connector is an output of the machine.
type Connector = core.Connector

// Config is what one module runs with.
type Config struct {
	Dir     string                       // required: keys and vault; made when missing
	Conn    io.ReadWriter                // required: the host's stream
	TPM     *os.File                     // the TPM that the host opened, where the folder's keys are in one
	Clock   func() (core.Reading, error) // required: the kernel's clocks; System in the shipped binary
	Harden  bool                         // put up the walls of the process; off only in tests that share a process
	BuildMS int64                        // build time of the image, Unix ms: the clock's first floor

	Outputs func() ([]Connector, error) // the machine's outputs; nil = the kernel's, in the shipped binary, or none
}

// Run serves commands until the stream ends, which is the host's exit and no
// error. A broken store ends it with an error: recovery is a restart.
func Run(cfg Config) error {
	if !cfg.Harden {
		return run(cfg, func([]step) ([]trem.Wall, error) { return nil, nil })
	}
	return run(cfg, put)
}

// run puts walls up twice: before any key is read, and when all files are open.
func run(cfg Config, put func([]step) ([]trem.Wall, error)) (err error) {
	secret.Burn() // the stack has its size from here on
	var mem *secret.Arena
	walls, err := put(early(cfg, &mem))
	if err != nil {
		return err
	}
	if err := finish(cfg); err != nil {
		return err
	}
	keys, err := openKeys(cfg)
	if err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	if keys.close != nil {
		defer func() { err = errors.Join(err, keys.close()) }()
	}
	if cfg.Harden && cfg.Outputs == nil {
		cfg.Outputs = source(openCards("/dev/dri"))
	}
	more, err := put(late(cfg.Dir, keys.dirs, keys.Level()))
	if err != nil {
		return err
	}
	now, err := cfg.Clock()
	if err != nil {
		return err
	}
	inside := core.Config{
		Dir: cfg.Dir, Keystore: keys.Keystore, Storage: keys.kind, Walls: append(walls, more...), BuildMS: cfg.BuildMS, Outputs: cfg.Outputs, Memory: mem,
	}
	share := newSharer(cfg.Conn)
	if share != nil {
		inside.Share = share.make
	}
	c, err := open(inside, now)
	if err != nil {
		return fmt.Errorf("open module: %w", err)
	}
	secret.Burn()
	if cfg.Harden && c.Issues() { // in a process of its own
		debug.SetGCPercent(issuerGC)
	}
	wipe := func() error { return errors.Join(c.Close(), erase(cfg.Dir, keys)) }
	if c.Wiped() {
		return errors.Join(wipe(), errWiped)
	}
	err = serve(cfg, c, share, wipe)
	if !c.Wiped() {
		err = errors.Join(err, c.Close())
	}
	return err
}

// issuerGC lets the heap of an issuer's module, a few MB, grow fivefold between two
// collections, which else take a tenth of its time: it plays nothing and serves many.
// Source: local, `lares bench issuer`.
const issuerGC = 400

// lockPatience is how long a module waits for one before it that was killed and
// has not ended yet; lockPause is between two looks. Source: local.
const (
	lockPatience = 3 * time.Second
	lockPause    = 20 * time.Millisecond
)

// open opens the core. A module whose host was killed ends when it finds its
// stream closed: the next command may come before that.
func open(cfg core.Config, now core.Reading) (c *core.Core, err error) {
	for waited := time.Duration(0); ; waited += lockPause {
		c, err = core.Open(cfg, now)
		if !errors.Is(err, vault.ErrLocked) || waited >= lockPatience {
			return c, err
		}
		time.Sleep(lockPause) //nolint:forbidigo // it waits for a process, and decides nothing by it
	}
}

// answer does one command, with the files that came with it.
func answer(cfg Config, c *core.Core, share *sharer, m trem.Message) (trem.Message, error) {
	if share != nil && len(share.came) > 0 {
		return share.decrypt(c, cfg.Clock, m.Header)
	}
	now, err := cfg.Clock()
	if err != nil {
		return trem.Message{}, err
	}
	return c.Do(m, now)
}

// serve answers commands until the stream ends, or the module was wiped: the answer to
// that leaves when its keys are destroyed.
func serve(cfg Config, c *core.Core, share *sharer, wipe func() error) error {
	in := trem.NewReader(cfg.Conn)
	if share != nil {
		in = trem.NewReader(share)
	}
	in.Make, in.Free = anonymous, unix.Munmap
	held := replies{conn: cfg.Conn, share: share}
	for {
		m, err := in.Read()
		if errors.Is(err, io.EOF) {
			return held.flush()
		}
		if err != nil {
			return errors.Join(err, held.flush())
		}
		out, err := answer(cfg, c, share, m)
		if err == nil {
			err = held.add(out)
		}
		if err == nil && c.Wiped() {
			if err := wipe(); err != nil {
				return err
			}
			return held.flush()
		}
		if err = errors.Join(err, c.Failed()); err != nil || held.n == maxHeld || !in.More() {
			secret.Burn() // before the module waits, or others work on
			if err = errors.Join(err, held.flush()); err != nil {
				return err
			}
		}
	}
}

// maxHeld is how many commands that wait are done before the first of them is
// answered: a write, and the waking of who reads it, costs as much as a command. More
// would let the host wait for the module while it could work. Source: local,
// `lares bench issuer`.
const maxHeld = 8

// replies are those that are not written yet, in order.
type replies struct {
	conn  io.Writer
	share *sharer
	b     []byte
	n     int
}

// add takes a reply. One with a payload, or with which memory goes, is written.
func (r *replies) add(m trem.Message) (err error) {
	defer clear(m.Header) // some are keys of a link
	if len(m.Payload) > 0 || r.share.gives() {
		if err := r.flush(); err != nil {
			return err
		}
		secret.Burn()
		return r.share.write(r.conn, m)
	}
	r.b, err = trem.AppendHead(r.b, m)
	r.n++
	return err
}

// flush writes what is held.
func (r *replies) flush() error {
	if r.n == 0 {
		return nil
	}
	if r.n == 1 { // after several, the host has others to wake before it asks again: that is not worth looking for
		r.share.wrote()
	}
	_, err := r.conn.Write(r.b)
	clear(r.b) // some replies are keys of a link
	if r.b, r.n = r.b[:0], 0; cap(r.b) > maxKept {
		r.b = nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", trem.ErrStream, err)
	}
	return nil
}

// maxKept is the most memory for replies that is kept, in bytes. Source: local.
const maxKept = 64 << 10
