package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
)

func newContentCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "content",
		Short: "Look into protected MP4 files, decrypt and encrypt them with known keys",
		Example: `  lares content inspect packed/hd/init.mp4
  lares content decrypt --key 0102…=aabb… protected.mp4 clear.mp4`,
	}
	cmd.AddCommand(newContentInspectCmd(env), newContentDecryptCmd(env), newContentEncryptCmd(env))
	return cmd
}

// loadInit reads the init segment of a file that has none: the one named, or
// init.mp4 beside it. It returns nil when there is neither.
func loadInit(file, named string) (*content.Init, error) {
	name := named
	if name == "" {
		name = filepath.Join(filepath.Dir(file), "init.mp4")
		if file == "-" || filepath.Clean(name) == filepath.Clean(file) {
			return nil, nil //nolint:nilnil // there is none, and that may be right
		}
	}
	data, err := os.ReadFile(name)
	if named == "" && errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, err
	}
	in, err := content.ParseInit(data)
	if err != nil && named == "" {
		return nil, nil //nolint:nilnil // it is no init segment, and nobody said that it were one
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return in, nil
}

// openView opens a file to be read in the clear; "-" is standard input. The
// caller calls done.
func openView(env *Env, name string, cfg content.ViewConfig) (v *content.View, done func(), err error) {
	if name == "-" {
		if v, err = content.OpenStream(env.Stdin, cfg); err != nil {
			return nil, nil, err
		}
		return v, v.Close, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.Mode().IsRegular():
		v, err = content.Open(f, info.Size(), cfg)
	default: // a named pipe
		v, err = content.OpenStream(f, cfg)
	}
	if err != nil {
		_ = f.Close() // opened for reading
		return nil, nil, err
	}
	return v, func() { v.Close(); _ = f.Close() }, nil
}

// writeFile makes a file whole or not at all; "-" is standard output.
func writeFile(env *Env, name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(env.Stdout)
	}
	f, err := os.OpenFile(filepath.Join(filepath.Dir(name), ".lares-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // the user's umask decides
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	if err := errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// metered counts what is written, for a progress line, and stops when ctx ends.
type metered struct {
	stopped func() error // ctx.Err
	w       io.Writer
	done    int64
	total   int64
	show    func(done, total int64) // nil: nobody watches
}

func (m *metered) Write(p []byte) (int, error) {
	if err := m.stopped(); err != nil {
		return 0, err
	}
	n, err := m.w.Write(p)
	if m.done += int64(n); m.show != nil {
		m.show(m.done, m.total)
	}
	return n, err
}
