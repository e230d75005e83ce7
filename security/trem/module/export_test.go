package module

import (
	"errors"
	"slices"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/secret"
)

// RunWithout is Run with some walls left out: what an attack does where they
// are not shows that it can be done at all.
func RunWithout(cfg Config, names ...string) error {
	return run(cfg, func(steps []step) ([]trem.Wall, error) {
		return put(slices.DeleteFunc(steps, func(s step) bool { return slices.Contains(names, s.name) }))
	})
}

// Behind puts the walls of a module up but some, and does something behind them.
func Behind(cfg Config, without []string, do func()) error {
	up := func(steps []step) error {
		_, err := put(slices.DeleteFunc(steps, func(s step) bool { return slices.Contains(without, s.name) }))
		return err
	}
	var mem *secret.Arena
	if err := errors.Join(up(early(cfg, &mem)), up(late(cfg.Dir, nil, 1))); err != nil {
		return err
	}
	do()
	return nil
}
