package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
)

// downloaded is what `device download` did.
type downloaded struct {
	Content ident.Content `json:"content"`
	Dir     string        `json:"dir"`
	Files   int           `json:"files"`
	Bytes   int64         `json:"bytes"`   // of all files
	Fetched int64         `json:"fetched"` // that came now
	Here    int64         `json:"here"`    // that were here already, by their hash
}

func newDeviceDownloadCmd(env *Env, dir *string) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "download TITLE",
		Short: "Get the protected files of a title, for a trip or before a move",
		Long: `Get the protected files of a title from the house. What is here already is not
fetched again: each file is known by its hash. A download that was cut off goes on
where it stopped. The files alone play nothing; lares device play then uses them.`,
		Example: `  lares device download lares-film
  lares device download lares-film --content /media/lares-film --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			d := &device{dir: *dir, now: env.Now}
			if err := d.load(); err != nil {
				return err
			}
			got, err := d.download(cmd.Context(), env, id, to)
			if err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%v is in %s: %s, of which %s were here already.\n", id, got.Dir, size(got.Bytes), size(got.Here))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&to, "content", "", "folder for the files; default: in the device's folder")
	return cmd
}

// contentDir is where a device keeps the files of a title.
func (d *device) contentDir(id ident.Content) string {
	return filepath.Join(d.dir, "content", url.PathEscape(id.String()))
}

// size prints bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d kB", (n+1023)/1024)
}

// download is one run of fetching files.
type download struct {
	downloaded
	from string // address of the title's files
	told time.Time
	env  *Env
	web  *http.Client // reaches from
}

func (d *device) download(ctx context.Context, env *Env, id ident.Content, dir string) (downloaded, error) {
	if d.cfg.Home == "" {
		return downloaded{}, errors.New("this device belongs to no house yet: lares device pair")
	}
	at, err := d.find(ctx, id)
	if err != nil {
		return downloaded{}, err
	}
	m := at.manifest
	if dir == "" {
		dir = d.contentDir(id)
	}
	run := &download{downloaded: downloaded{Content: id, Dir: dir}, env: env, web: at.web, from: at.from}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return downloaded{}, fmt.Errorf("make the folder: %w", err)
	}
	root, err := os.OpenRoot(dir) // names come from the house
	if err != nil {
		return downloaded{}, fmt.Errorf("open the folder: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing is written through it any more
	files := listed(m)
	for _, f := range files {
		run.Bytes += f.Bytes
	}
	for _, f := range files {
		if err := run.file(ctx, root, f); err != nil {
			return run.downloaded, err
		}
		run.tell()
	}
	manifest, err := m.Encode()
	if err != nil {
		return run.downloaded, err
	}
	return run.downloaded, replace(root, content.ManifestName, manifest)
}

// listed are all files of a title but its list.
func listed(m *content.Manifest) []content.File {
	out := []content.File{m.MPD}
	for _, f := range []*content.File{m.HLS, m.Poster} {
		if f != nil {
			out = append(out, *f)
		}
	}
	for i := range m.Subtitles {
		out = append(out, m.Subtitles[i].File)
	}
	out = append(out, m.Files...)
	for i := range m.Tracks {
		out = append(out, m.Tracks[i].Init)
		for _, s := range m.Tracks[i].Segments {
			out = append(out, s.File)
		}
	}
	return out
}

// tellEvery is how often progress is said. Source: local.
const tellEvery = 2 * time.Second

// tell says how far it is, now and then.
func (r *download) tell() {
	now := r.env.Now()
	if r.told.IsZero() {
		r.told = now
	}
	if now.Sub(r.told) < tellEvery || r.Bytes == 0 {
		return
	}
	r.told = now
	fmt.Fprintf(r.env.Stderr, "%d %% of %s\n", 100*(r.Here+r.Fetched)/r.Bytes, size(r.Bytes))
}

// file gets one file, unless it is here. What an earlier run left of it goes on.
func (r *download) file(ctx context.Context, root *os.Root, f content.File) error {
	name := filepath.FromSlash(f.Name)
	if ok, err := isHere(root, name, f); err != nil || ok {
		r.Files, r.Here = r.Files+1, r.Here+f.Bytes
		return err
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	part := name + ".part"
	for range 2 { // what is left of an earlier run may be of another file
		n, err := r.rest(ctx, root, part, f)
		if err != nil {
			return err
		}
		ok, err := isHere(root, part, f)
		if err != nil {
			return err
		}
		if ok {
			r.Files, r.Fetched, r.Here = r.Files+1, r.Fetched+n, r.Here+f.Bytes-n
			return root.Rename(part, name)
		}
		if err := root.Remove(part); err != nil {
			return fmt.Errorf("remove a damaged file: %w", err)
		}
	}
	return fmt.Errorf("%s is damaged at the house: its SHA-256 is not that of %s", f.Name, content.ManifestName)
}

// isHere reports whether a file has the content that is listed.
func isHere(root *os.Root, name string, f content.File) (bool, error) {
	file, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", f.Name, err)
	}
	defer file.Close() //nolint:errcheck // read only
	sum := sha256.New()
	n, err := io.Copy(sum, file)
	return n == f.Bytes && content.Digest(sum.Sum(nil)) == f.SHA256, err
}

// rest appends what is missing of a file and returns how many bytes that was.
func (r *download) rest(ctx context.Context, root *os.Root, part string, f content.File) (n int64, err error) {
	out, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", f.Name, err)
	}
	defer func() { err = errors.Join(err, out.Sync(), out.Close()) }()
	info, err := out.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() > f.Bytes {
		return 0, out.Truncate(0)
	}
	if info.Size() == f.Bytes {
		return 0, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.from+f.Name, nil)
	if err != nil {
		return 0, err
	}
	if info.Size() > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", info.Size()))
	}
	res, err := r.web.Do(req)
	if err != nil {
		return 0, later("the house does not answer: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	switch res.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK: // from the beginning
		if err := out.Truncate(0); err != nil {
			return 0, err
		}
	default:
		return 0, fmt.Errorf("read %s: %s", f.Name, res.Status)
	}
	n, err = io.Copy(out, io.LimitReader(res.Body, f.Bytes+1))
	if err != nil {
		return n, later("the house stopped in the middle of %s; the same command goes on from there (%w)", f.Name, err)
	}
	return n, nil
}

// replace writes a small file so that a crash leaves the old one or the new.
func replace(root *os.Root, name string, data []byte) error {
	tmp := name + ".new"
	if err := root.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := root.Rename(tmp, name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
