package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile is the largest state file that is read, and so that is written, in bytes.
// Source: local.
const maxFile = 16 << 20

// load reads a state file into v; a file that is not there leaves v alone.
func load(dir, name string, v any) error {
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil || info.Size() > maxFile {
		return fmt.Errorf("read %s: %w", name, errors.Join(err, errTooLarge))
	}
	if err := decode(f, v); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// loadAdvisory is load for a file that the house can do without. One that cannot be read
// is put aside under another name, where somebody may look at it, and reported as the
// error; v is to be thrown away then.
func loadAdvisory(dir, name string, v any) error {
	err := load(dir, name, v)
	if err == nil {
		return nil
	}
	path := filepath.Join(dir, name)
	return errors.Join(err, os.Rename(path, path+".unread"))
}

// decode reads the JSON of a state file, of which every key is known.
func decode(r io.Reader, v any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

var errTooLarge = errors.New("home: the file is too large")

// save replaces a state file: after it returns, a crash shows the new content,
// before that the old one, never a mixture.
func save(dir, name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if data = append(data, '\n'); len(data) > maxFile { // the next start could not read it
		return fmt.Errorf("write %s: %w", name, errTooLarge)
	}
	return writeAtomic(dir, name, data)
}

func writeAtomic(dir, name string, data []byte) error {
	tmp, err := os.CreateTemp(dir, "."+name+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone after the rename
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
