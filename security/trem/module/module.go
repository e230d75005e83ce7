package module

import (
	"errors"
	"fmt"
	"io"

	"github.com/lares-drm/lares/security/keystore/soft"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/core"
)

// Config is what one module runs with.
type Config struct {
	Dir     string                       // required: keys and vault; made when missing
	Conn    io.ReadWriter                // required: the host's stream
	Clock   func() (core.Reading, error) // required: the kernel's clocks; System in the shipped binary
	Harden  bool                         // put up the walls of the process; off only in tests that share a process
	BuildMS int64                        // build time of the image, Unix ms: the clock's first floor
}

// Run serves commands until the stream ends, which is the host's exit and no
// error. A broken store ends it with an error: recovery is a restart.
func Run(cfg Config) error {
	keys, err := soft.OpenOrCreate(cfg.Dir)
	if err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	var walls []trem.Wall
	if cfg.Harden {
		walls = harden(cfg.Dir)
	}
	now, err := cfg.Clock()
	if err != nil {
		return err
	}
	c, err := core.Open(core.Config{Dir: cfg.Dir, Keystore: keys, Walls: walls, BuildMS: cfg.BuildMS}, now)
	if err != nil {
		return fmt.Errorf("open module: %w", err)
	}
	return errors.Join(serve(cfg, c), c.Close())
}

func serve(cfg Config, c *core.Core) error {
	for {
		m, err := trem.ReadMessage(cfg.Conn)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		now, err := cfg.Clock()
		if err != nil {
			return err
		}
		out, err := c.Do(m, now)
		if err != nil {
			return err
		}
		if err := trem.WriteMessage(cfg.Conn, out); err != nil {
			return err
		}
		if err := c.Failed(); err != nil {
			return err
		}
	}
}
