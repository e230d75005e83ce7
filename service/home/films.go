package home

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// The household's own films: MP4 files without protection that lie in watched folders.
// No license is asked for them, and the module does not know them. Source: local,
// docs/spec/library.md.

// OwnPrefix begins the ID of an own film, protected or not.
const OwnPrefix = license.OwnPrefix

// PathFilms is where devices of the house get its own films. Source: local,
// docs/spec/home-api.md.
const PathFilms = "/own/v1/films"

// ownEnds is how much of both ends of a file its ID is made of, in bytes. Source: local,
// docs/spec/library.md section 2.
const ownEnds = 64 << 10

// errNoFilm is returned for a file that is no film of the household: protected, or
// without pictures, sound or length.
var errNoFilm = errors.New("home: the file is no unprotected film")

// Film is one of the household's own films. Its fields do not change.
type Film struct {
	ID         ident.Content `json:"id"`
	Title      string        `json:"title"` // the file's name without its ending
	Path       string        `json:"path"`  // absolute
	Bytes      int64         `json:"bytes"`
	ModifiedNS int64         `json:"modified_ns"` // Unix time
	DurationMS int64         `json:"duration_ms"`
	Width      int           `json:"width,omitempty"`
	Height     int           `json:"height,omitempty"`
}

func (f *Film) stamp() stamp { return stamp{f.Bytes, f.ModifiedNS} }

// OwnID is the ID of an own film: of what it is, so that it stays when the file is
// moved or named anew. Source: local, docs/spec/library.md section 2.
func OwnID(src io.ReaderAt, size int64) (ident.Content, error) {
	n := min(size, ownEnds)
	ends := make([]byte, 2*n)
	if _, err := src.ReadAt(ends[:n], 0); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the begin of a film: %w", err)
	}
	if _, err := src.ReadAt(ends[n:], size-n); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the end of a film: %w", err)
	}
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64([]byte("Lares own film 1"), uint64(size))) //nolint:gosec // a file's length
	h.Write(ends)
	return ident.Content(OwnPrefix + hex.EncodeToString(h.Sum(nil)[:16])), nil
}

// isFilm reports whether a file's name may be that of a film.
func isFilm(name string) bool {
	ending := strings.ToLower(filepath.Ext(name))
	return ending == ".mp4" || ending == ".m4v"
}

// readFilm reads what a file says of itself. A file that is not all there is an error.
func readFilm(root, path string) (*Film, error) {
	f, err := openBelow(root, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %w", errNoFilm, errors.Join(err, os.ErrInvalid))
	}
	v, err := content.Open(f, info.Size(), content.ViewConfig{})
	if err != nil {
		return nil, fmt.Errorf("read a film: %w", err)
	}
	defer v.Close()
	s, err := v.Summarize()
	if err != nil {
		return nil, fmt.Errorf("read a film: %w", err)
	}
	if s.Protected || s.DurationMS == 0 || !s.Video && !s.Audio {
		return nil, errNoFilm
	}
	id, err := OwnID(f, info.Size())
	if err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	return &Film{
		ID: id, Title: strings.ToValidUTF8(strings.TrimSuffix(name, filepath.Ext(name)), "?"), Path: path, Bytes: info.Size(), ModifiedNS: info.ModTime().UnixNano(),
		DurationMS: s.DurationMS, Width: s.Width, Height: s.Height,
	}, nil
}

// openBelow opens a file in a folder, and nothing that a link leads to outside of it.
func openBelow(root, path string) (*os.File, error) {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return nil, fmt.Errorf("open a film: %w", err)
	}
	return openIn(root, rel)
}

// openIn opens a file of a folder by its name there, and nothing that a link leads to
// outside of it.
func openIn(folder, name string) (*os.File, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open a film's folder: %w", err)
	}
	defer root.Close() //nolint:errcheck // the file stays open
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open a film's file: %w", err)
	}
	return f, nil
}

// Films lists the household's own films by name; not those that it has protected.
func (h *Home) Films() []*Film {
	h.folders.mu.Lock()
	out := slices.Clone(h.folders.shown)
	h.folders.mu.Unlock()
	protected := h.protected()
	out = slices.DeleteFunc(out, func(f *Film) bool { return protected[f.ID] })
	slices.SortFunc(out, func(a, b *Film) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Film returns an own film by its ID.
func (h *Home) Film(id ident.Content) (*Film, error) {
	if f, ok := h.ClearOf(id); ok && !h.protects(id) {
		return f, nil
	}
	return nil, fmt.Errorf("film: %w", ErrUnknown)
}

// OpenFilm opens an own film as it lies in its folder.
func (h *Home) OpenFilm(id ident.Content) (*Film, *os.File, error) {
	film, err := h.Film(id)
	if err != nil {
		return nil, nil, err
	}
	root, ok := h.folders.rootOf(film.Path)
	if !ok {
		return nil, nil, fmt.Errorf("film: %w", ErrUnknown)
	}
	f, err := openBelow(root, film.Path)
	return film, f, err
}
