package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
)

// files reads the protected files of one title, from a folder or from the house.
type files struct {
	dir string // or
	url string
	web *http.Client // with url
	id  ident.Content
}

// maxSegment bounds one file that is read whole, in bytes. Source: local.
const maxSegment = 64 << 20

func (d *device) files(id ident.Content, dir string) (*files, error) {
	if dir == "" && d.cfg.Home == "" {
		return nil, errors.New("this device belongs to no house yet: pair it (lares device pair), or name a folder with --content")
	}
	return &files{dir: dir, url: d.cfg.Home, web: d.web(), id: id}, nil
}

// playFiles are files for playing: of the named folder, else of what this device
// has downloaded whole, else of the house.
func (d *device) playFiles(id ident.Content, dir string) (*files, error) {
	if dir == "" {
		if _, err := os.Stat(filepath.Join(d.contentDir(id), content.ManifestName)); err == nil {
			dir = d.contentDir(id)
		}
	}
	return d.files(id, dir)
}

// toShow are the tier, the files and the manifest of a title that is to be shown.
func (d *device) toShow(ctx context.Context, id ident.Content, dir, tier string) (content.Tier, *files, *content.Manifest, error) {
	t, err := content.ParseTier(tier)
	if err != nil {
		return 0, nil, nil, usage("%w", err)
	}
	src, err := d.playFiles(id, dir)
	if err != nil {
		return 0, nil, nil, err
	}
	m, err := src.manifest(ctx)
	return t, src, m, err
}

func (f *files) manifest(ctx context.Context) (*content.Manifest, error) {
	data, err := f.load(ctx, content.ManifestName)
	if err != nil {
		return nil, err
	}
	m, err := content.ParseManifest(data)
	if err != nil {
		return nil, err
	}
	if m.Content != f.id {
		return nil, fmt.Errorf("the folder holds %v, not %v", m.Content, f.id)
	}
	return m, nil
}

// read loads a file and checks its hash: a damaged file is an error here and
// not a broken picture.
func (f *files) read(ctx context.Context, file content.File) ([]byte, error) {
	if file.Bytes < 0 || file.Bytes > maxSegment {
		return nil, fmt.Errorf("%s: %d bytes, %d at most", file.Name, file.Bytes, maxSegment)
	}
	data := make([]byte, file.Bytes)
	return data, f.readInto(ctx, file, data)
}

// readInto is read into memory of the file's length.
func (f *files) readInto(ctx context.Context, file content.File, data []byte) error {
	in, err := f.open(ctx, file.Name)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read only
	_, err = io.ReadFull(in, data)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read %s: %w", file.Name, err)
	}
	more, _ := io.ReadFull(in, make([]byte, 1))
	if err != nil || more > 0 || content.Digest(sha256.Sum256(data)) != file.SHA256 {
		return damaged(file)
	}
	return nil
}

// checked opens a file of a folder whose hash is right, at its start.
func (f *files) checked(file content.File) (*os.File, error) {
	in, err := f.openFile(file.Name)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	n, err := io.Copy(h, in)
	if err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	if err == nil && (n != file.Bytes || content.Digest(h.Sum(nil)) != file.SHA256) {
		err = damaged(file)
	}
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

func damaged(file content.File) error {
	return fmt.Errorf("%s is damaged: its SHA-256 is not that of content.json", file.Name)
}

func (f *files) load(ctx context.Context, name string) ([]byte, error) {
	in, err := f.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(in, maxSegment+1))
	if err == nil && len(data) > maxSegment {
		err = fmt.Errorf("over %d bytes", maxSegment)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

func (f *files) open(ctx context.Context, name string) (io.ReadCloser, error) {
	if f.dir == "" {
		return get(ctx, f.web, strings.TrimSuffix(f.url, "/")+"/content/"+url.PathEscape(f.id.String())+"/"+name)
	}
	return f.openFile(name)
}

func (f *files) openFile(name string) (*os.File, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // the file stays open without it
	return root.Open(filepath.FromSlash(name))
}

// get opens a file over HTTP.
func get(ctx context.Context, web *http.Client, from string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	res, err := web.Do(req)
	if err != nil {
		return nil, later("the house does not answer: %w", err)
	}
	if res.StatusCode == http.StatusForbidden {
		return nil, errors.Join(refused("the house gives its films to its own devices only, and this is none, or no longer: pair it again (lares device pair)"), res.Body.Close())
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("read %s: %s", from, res.Status), res.Body.Close())
	}
	return res.Body, nil
}

// fetch gets one small file over HTTP.
func fetch(ctx context.Context, web *http.Client, from string) ([]byte, error) {
	in, err := get(ctx, web, from)
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(in, maxSegment+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", from, err)
	case len(data) > maxSegment:
		return nil, fmt.Errorf("read %s: over %d bytes", from, maxSegment)
	}
	return data, nil
}
