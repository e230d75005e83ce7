package packager

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// Config says what to pack and where.
type Config struct {
	Inputs      []string      // required: MP4 files; their video tracks make the ladder, the first audio track is the sound
	Dir         string        // required: the folder to make; it must not exist
	Content     ident.Content // required
	Title       string        // required
	Rated       *uint8        // from which age it is, years; 0: for everybody; default: nobody says
	Scheme      cenc.Scheme   // cenc or cbcs; default cenc
	LicenseURL  string        // of the Clear Key server, as the manifest says it; default "license", beside the manifest
	FragmentMS  int           // least length of a fragment, milliseconds, 1000 to 10000; default 4000
	Poster      string        // a JPEG or PNG file; default none
	ClearLeadMS int           // fragments that begin before it stay in the clear, milliseconds; default 0: none
	RotateMS    int           // a new key for each tier after so long, milliseconds, at least 10000; default 0: one key
	AES128      bool          // also write HLS segments that are encrypted whole, each tier under a further key
	KeyURL      string        // where HLS players ask for a key, with its ID behind a slash; default "key", beside the manifest
	Systems     []cenc.PSSH   // of other DRM systems, as an operator gives them: written as they are, into init segments and manifest; default none
	Subtitles   []Subtitle    // in the clear
	Chapters    []content.Chapter
	Resume      string    // a file that lets an interrupted packing go on; it is secret as the keys, and removed at the end; default none
	Keys        KeySource // default: a random key and key ID for each tier
	Recipient   []byte    // delivery certificate (DER) of the issuer's TREM, verified by the caller; the sealed keys are KeysName then
	State       []byte    // an encoded revocation state that goes along as content.StateName; default none
	Progress    func(done, total int64)
}

// KeysName is the file name of the sealed keys in a packed folder. content.json
// does not list it: it is for the issuer and never served.
const KeysName = "keys.lkd"

// KeySource gives a key for a tier: one, or one after the other where keys rotate.
type KeySource func(content.Tier) (ident.Key, cenc.ContentKey, error)

// Result is a packed folder and the keys that open it.
type Result struct {
	Manifest *content.Manifest
	Delivery content.Delivery // the keys, for content.SealKeys
	Notes    []string         // what of the input was left out, or is unusual
}

// Pack reads the inputs and makes the folder. When it fails nothing is left behind,
// but what a resume file goes with.
func Pack(ctx context.Context, cfg Config) (res *Result, err error) {
	p, err := read(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close(err == nil)) }()
	defer gaveUp(&err)
	if err := p.folder(); err != nil {
		return nil, err
	}
	if err := p.choose(); err != nil {
		return nil, err
	}
	if err := p.pack(ctx); err != nil {
		return nil, err
	}
	if err := os.Rename(p.dir, cfg.Dir); err != nil {
		return nil, err
	}
	return &Result{Manifest: p.manifest, Delivery: p.delivery(), Notes: p.notes}, nil
}

// gaveUp makes an error of what the MP4 library does with files that it does not expect.
func gaveUp(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: the MP4 library gave up: %v", ErrInput, r)
	}
}

// read opens and reads the inputs. The packer is to be closed.
func read(cfg Config) (p *packer, err error) {
	defer gaveUp(&err)
	if err := cfg.check(); err != nil {
		return nil, err
	}
	p = &packer{cfg: cfg, keys: map[content.Tier]*tierKeys{}}
	for _, name := range cfg.Inputs {
		s, err := open(name)
		if err != nil {
			return nil, errors.Join(err, p.close(false))
		}
		p.sources = append(p.sources, s)
	}
	return p, nil
}

// folder makes the folder to work in, or takes that of the run to go on with.
func (p *packer) folder() (err error) {
	parent, base := filepath.Split(filepath.Clean(p.cfg.Dir))
	if p.cfg.Resume == "" {
		p.dir, err = os.MkdirTemp(filepath.Clean(parent), ".lares-pack-*")
		return err
	}
	what, err := p.cfg.what()
	if err != nil {
		return err
	}
	if p.journal, err = openJournal(p.cfg.Resume, what); err != nil {
		return err
	}
	p.dir = filepath.Join(parent, "."+base+".part")
	if len(p.journal.done) == 0 { // what is there is of no run that is known
		if err := os.RemoveAll(p.dir); err != nil {
			return err
		}
	}
	return os.MkdirAll(p.dir, 0o700)
}

// close closes the inputs. What is not whole is taken away, unless it can be resumed.
func (p *packer) close(whole bool) error {
	for _, s := range p.sources {
		_ = s.f.Close() // opened for reading
	}
	switch {
	case p.journal != nil:
		return p.journal.close(whole)
	case !whole && p.dir != "":
		return os.RemoveAll(p.dir)
	}
	return nil
}

func (c *Config) check() error {
	own := c.Keys != nil
	if c.Scheme == 0 {
		c.Scheme = cenc.SchemeCENC
	}
	if c.LicenseURL == "" {
		c.LicenseURL = "license"
	}
	if c.KeyURL == "" {
		c.KeyURL = "key"
	}
	if c.FragmentMS == 0 {
		c.FragmentMS = 4000
	}
	if c.Keys == nil {
		c.Keys = func(content.Tier) (ident.Key, cenc.ContentKey, error) { return ident.NewKey(), cenc.GenerateKey(), nil }
	}
	if c.Progress == nil {
		c.Progress = func(int64, int64) {}
	}
	switch {
	case len(c.Inputs) == 0 || c.Dir == "" || c.Content == "" || c.Title == "":
		return errors.New("packager: inputs, folder, content ID and title are required")
	case c.Scheme != cenc.SchemeCENC && c.Scheme != cenc.SchemeCBCS:
		return fmt.Errorf("packager: scheme %v: want cenc or cbcs", c.Scheme)
	case c.Rated != nil && *c.Rated > content.MaxRated:
		return fmt.Errorf("packager: rated from %d years: want at most %d", *c.Rated, content.MaxRated)
	case c.FragmentMS < 1000 || c.FragmentMS > 10_000:
		return fmt.Errorf("packager: fragments of %d ms: want 1000 to 10000", c.FragmentMS)
	case c.Resume != "" && own:
		return errors.New("packager: a packing that can be resumed makes its own keys")
	case c.ClearLeadMS < 0:
		return fmt.Errorf("packager: a clear lead of %d ms", c.ClearLeadMS)
	case c.RotateMS != 0 && c.RotateMS < 10_000:
		return fmt.Errorf("packager: a new key every %d ms: want 10000 at least", c.RotateMS)
	}
	for _, address := range []string{c.LicenseURL, c.KeyURL} {
		if u, err := url.Parse(address); err != nil || strings.ContainsAny(address, "<>\"") || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
			return errors.New("packager: license URL or key URL is not one")
		}
	}
	if err := checkSystems(c.Systems); err != nil {
		return err
	}
	for _, s := range c.Subtitles {
		if !content.Language(s.Language) {
			return fmt.Errorf("packager: %s: want a language tag, such as en", s.Path)
		}
	}
	if _, err := os.Lstat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("packager: %s: %w", c.Dir, os.ErrExist)
	}
	return nil
}

type packer struct {
	cfg      Config
	sources  []*source
	tracks   []*output
	keys     map[content.Tier]*tierKeys
	order    []content.Tier
	dir      string   // being made
	journal  *journal // nil: cannot be resumed
	done     int64    // sample bytes packed
	total    int64
	cuts     []int64 // decode times, ms, where fragments of the first video begin
	manifest *content.Manifest
	notes    []string
}

// choose picks the tracks: every video track and the first audio track.
func (p *packer) choose() error {
	var audio *output
	for _, s := range p.sources {
		for i, t := range s.tracks {
			switch {
			case len(t.samples) == 0:
				p.notes = append(p.notes, fmt.Sprintf("%s: track %d is empty: not packed", s.name, i+1))
			case t.kind == "audio" && audio == nil:
				o, err := newOutput(t)
				if err != nil {
					return err
				}
				audio = o
			case t.kind == "video":
				o, err := newOutput(t)
				if err != nil {
					return err
				}
				p.tracks = append(p.tracks, o)
			default:
				p.notes = append(p.notes, fmt.Sprintf("%s: track %d (%s): not packed", s.name, i+1, t.kind))
			}
		}
	}
	slices.SortStableFunc(p.tracks, func(a, b *output) int { return a.width*a.height - b.width*b.height })
	if audio != nil {
		p.tracks = append([]*output{audio}, p.tracks...)
	}
	if len(p.tracks) == 0 {
		return fmt.Errorf("%w: no video and no audio track", ErrInput)
	}
	used := map[string]bool{}
	for _, o := range p.tracks {
		base := strings.ToLower(o.tier.String())
		o.name = base
		for n := 2; used[o.name]; n++ {
			o.name = base + "-" + strconv.Itoa(n)
		}
		used[o.name] = true
		for _, s := range o.samples {
			p.total += int64(s.size)
		}
	}
	p.align()
	return p.makeKeys()
}

// pack writes everything into p.dir.
func (p *packer) pack(ctx context.Context) error {
	p.manifest = &content.Manifest{Format: 1, Content: p.cfg.Content, Title: p.cfg.Title, Rated: p.cfg.Rated, Scheme: p.cfg.Scheme}
	seen := false // a video track
	for _, o := range p.tracks {
		files, err := p.track(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %s track: %w", o.src.name, o.kind, err)
		}
		p.manifest.Tracks = append(p.manifest.Tracks, *files)
		last := files.Segments[len(files.Segments)-1]
		if end := last.StartMS + last.DurationMS; o.kind == "video" && !seen {
			p.manifest.DurationMS, seen = end, true // the picture's: sound is padded to whole frames
		} else if !seen || o.kind == "video" {
			p.manifest.DurationMS = max(p.manifest.DurationMS, end)
		}
	}
	if err := p.poster(); err != nil {
		return err
	}
	if err := p.subtitles(); err != nil {
		return err
	}
	p.manifest.Chapters = p.cfg.Chapters
	mpd, err := p.mpd()
	if err != nil {
		return err
	}
	if p.manifest.MPD, err = p.write("manifest.mpd", mpd); err != nil {
		return err
	}
	if err := p.hls(); err != nil {
		return err
	}
	data, err := p.manifest.Encode()
	if err != nil {
		return err
	}
	if _, err := p.write(content.ManifestName, data); err != nil {
		return err
	}
	if len(p.cfg.State) > 0 {
		if _, err := p.write(content.StateName, p.cfg.State); err != nil {
			return err
		}
	}
	if err := p.seal(); err != nil {
		return err
	}
	return os.Chmod(p.dir, 0o755) //nolint:gosec // protected content is for every reader
}

// seal writes the keys for the issuer: a folder without them would be lost.
func (p *packer) seal() error {
	if p.cfg.Recipient == nil {
		return nil
	}
	d := p.delivery()
	blob, err := content.SealKeys(p.cfg.Recipient, &d)
	if err != nil {
		return err
	}
	_, err = p.write(KeysName, blob)
	return err
}

func (p *packer) poster() error {
	if p.cfg.Poster == "" {
		return nil
	}
	b, err := os.ReadFile(p.cfg.Poster)
	if err != nil {
		return err
	}
	var name string
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		name = "poster.jpg"
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		name = "poster.png"
	default:
		return fmt.Errorf("%w: the poster is neither JPEG nor PNG", ErrInput)
	}
	f, err := p.write(name, b)
	p.manifest.Poster = &f
	return err
}

// write adds a file to the folder and describes it.
func (p *packer) write(name string, data []byte) (content.File, error) {
	path := filepath.Join(p.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // protected content is for every reader
		return content.File{}, err
	}
	err := os.WriteFile(path, data, 0o644) //nolint:gosec // protected content is for every reader
	return content.File{Name: name, Bytes: int64(len(data)), SHA256: sha256.Sum256(data)}, err
}
