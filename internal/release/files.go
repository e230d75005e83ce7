package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/lares-drm/lares/internal/cli"
)

// entry is one file of a tarball: its name there, and where it is or what it holds.
type entry struct {
	name string
	file string
	mode int64
	data []byte
}

// shared are the files that every platform has: texts, units, manual pages, completions.
func (r *release) shared() ([]entry, error) {
	all := []entry{{"LICENSE.txt", "LICENSE.txt", 0o644, nil}, {"README.md", "README.md", 0o644, nil}, {"CHANGELOG.md", "CHANGELOG.md", 0o644, nil}, {"SECURITY.md", "SECURITY.md", 0o644, nil}}
	for _, dir := range []string{"packaging/systemd", "packaging/systemd/examples"} {
		list, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range list {
			if !f.IsDir() {
				all = append(all, entry{strings.TrimPrefix(dir, "packaging/") + "/" + f.Name(), filepath.Join(dir, f.Name()), 0o644, nil})
			}
		}
	}
	docs, err := r.manuals(cli.Commands())
	if err != nil {
		return nil, err
	}
	return append(all, docs...), nil
}

// manuals are a page for each command, and completions for three shells.
func (r *release) manuals(root *cobra.Command) ([]entry, error) {
	dir := filepath.Join(r.work, "man")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root.DisableAutoGenTag = true // it has the day of the build
	header := &doc.GenManHeader{Section: "1", Date: &r.at, Source: "Lares " + r.version, Manual: "Lares"}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return nil, fmt.Errorf("write manual pages: %w", err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []entry
	for _, f := range list {
		all = append(all, entry{"man/man1/" + f.Name(), filepath.Join(dir, f.Name()), 0o644, nil})
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"bash/lares":      func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) },
		"zsh/_lares":      func(b *bytes.Buffer) error { return root.GenZshCompletion(b) },
		"fish/lares.fish": func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return nil, fmt.Errorf("write completions: %w", err)
		}
		all = append(all, entry{"completions/" + name, "", 0o644, b.Bytes()})
	}
	return all, nil
}

// read gives what an entry holds.
func (e *entry) read() ([]byte, error) {
	if e.file == "" {
		return e.data, nil
	}
	return os.ReadFile(e.file)
}

// tarball writes the entries in the order of their names, owned by root, with
// one time.
func (r *release) tarball(p platform, entries []entry) (err error) {
	top := fmt.Sprintf("lares-%s-linux-%s", r.version, p.name)
	f, err := os.Create(filepath.Join(r.out, top+".tar.gz"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	sorted := slices.SortedFunc(slices.Values(entries), func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for _, e := range sorted {
		data, err := e.read()
		if err != nil {
			return err
		}
		h := &tar.Header{Name: top + "/" + e.name, Mode: e.mode, Size: int64(len(data)), ModTime: r.at, Format: tar.FormatUSTAR, Uname: "root", Gname: "root"}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(data); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// sums writes SHA256SUMS, in the form that sha256sum -c reads.
func (r *release) sums() error {
	list, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, f := range list {
		data, err := os.ReadFile(filepath.Join(r.out, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(data), f.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(b.String()), 0o644)
}
