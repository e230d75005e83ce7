package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/revocation"
)

type packFlags struct {
	title, id, scheme, to, out, poster, licenseURL, authority string
	keyURL, resume, push, token                               string
	subtitles, pssh                                           []string
	rated                                                     int
	aes128                                                    bool
	fragment, lead, rotate                                    time.Duration
}

// packed is what `pack --json` prints. It holds no key.
type packed struct {
	Dir        string        `json:"dir"`
	Content    ident.Content `json:"content"`
	Title      string        `json:"title"`
	Rated      *uint8        `json:"rated,omitempty"` // years
	Scheme     cenc.Scheme   `json:"scheme"`
	DurationMS int64         `json:"duration_ms"`
	Keys       string        `json:"keys"`      // file of the sealed keys
	SealedTo   string        `json:"sealed_to"` // subject of the delivery certificate
	SHA256     string        `json:"sealed_to_sha256"`
	Tracks     []packedTrack `json:"tracks"`
	Subtitles  []string      `json:"subtitles,omitempty"` // languages
	Chapters   int           `json:"chapters,omitempty"`
	Notes      []string      `json:"notes,omitempty"`
	Pushed     string        `json:"pushed,omitempty"` // URL of the issuer that has the keys
}

type packedTrack struct {
	Name     string       `json:"name"`
	Tier     content.Tier `json:"tier"`
	KID      ident.Key    `json:"kid"`
	Codecs   string       `json:"codecs"`
	Width    int          `json:"width,omitempty"`
	Height   int          `json:"height,omitempty"`
	BPS      uint64       `json:"bps"` // peak protected bytes a second
	Bytes    int64        `json:"bytes"`
	Segments int          `json:"segments"`
	Keys     int          `json:"keys,omitempty"` // that follow each other, where they rotate
}

func newPackCmd(env *Env) *cobra.Command {
	var f packFlags
	cmd := &cobra.Command{
		Use:   "pack FILE...",
		Short: "Protect a film: MP4 files in, a folder to serve and sealed keys out",
		Long: `Make protected content of one or more MP4 files: each video track is a tier of
the ladder (SD, HD or UHD by its pixels), the first audio track found is the
sound. Each tier gets its own key. The folder holds fragments, a DASH manifest,
HLS playlists and content.json; the keys leave this process only in keys.lkd,
sealed to the delivery certificate of the issuer's TREM, which nobody else can
open.

With ffmpeg installed other containers are read too, and text subtitles,
chapters and a poster are taken from the film. Nothing is encoded anew.

With --resume FILE an interrupted packing goes on where it was. FILE is as secret
as the keys until the folder is whole, and is removed then: put it on a disk of
your own.

Check the certificate's SHA-256, which is printed, against the issuer's own.`,
		Example: `  lares pack film-sd.mp4 film-hd.mp4 --title "The Film" --content the-film --to delivery.pem --out packed
  lares pack film.mp4 --scheme cbcs --title Film --content film --to delivery.pem --out packed --json
  lares pack film.mkv --clear-lead 10s --rotate 30m --subtitle fr:french.vtt --resume ~/film.resume --title Film --content film --to delivery.pem --out packed`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, env, args) },
	}
	cmd.Flags().StringVar(&f.title, "title", "", "title, for people (required)")
	cmd.Flags().StringVar(&f.id, "content", "", "content ID, for licenses: 1 to 64 bytes (required)")
	cmd.Flags().StringVar(&f.scheme, "scheme", "cenc", "protection scheme: cenc or cbcs")
	cmd.Flags().StringVar(&f.to, "to", "", "delivery certificate of the issuer's TREM, PEM or DER (required)")
	cmd.Flags().StringVar(&f.out, "out", "", "folder to make; it must not exist (required)")
	cmd.Flags().StringVar(&f.poster, "poster", "", "poster image, JPEG or PNG")
	cmd.Flags().IntVar(&f.rated, "rated", -1, "from which age the film is, as its rating board says: 0 (for everybody) to 21; default: nobody says, and no child of a house sees it until an adult there does")
	cmd.Flags().StringVar(&f.licenseURL, "license-url", "license", "Clear Key server, as the manifest names it")
	cmd.Flags().StringVar(&f.authority, "authority", "", "URL of the authority: its revocation state travels with the film")
	cmd.Flags().DurationVar(&f.fragment, "fragment", 4*time.Second, "least length of a fragment, 1s to 10s")
	cmd.Flags().DurationVar(&f.lead, "clear-lead", 0, "leave what begins before this time unprotected")
	cmd.Flags().DurationVar(&f.rotate, "rotate", 0, "a new key for each tier after so long, 10s at least; default: one key")
	cmd.Flags().StringArrayVar(&f.pssh, "pssh", nil, "file with a pssh box of another DRM system, binary or base64, as its license service gives it: written as it is; may be repeated")
	cmd.Flags().StringArrayVar(&f.subtitles, "subtitle", nil, "WebVTT subtitles, LANGUAGE:FILE; may be repeated")
	cmd.Flags().BoolVar(&f.aes128, "hls-aes128", false, "also write HLS segments encrypted whole (AES-128), each tier under a further key")
	cmd.Flags().StringVar(&f.keyURL, "key-url", "key", "where HLS players ask for a key, as the playlists name it")
	cmd.Flags().StringVar(&f.resume, "resume", "", "file that lets an interrupted packing go on; secret until it is done")
	cmd.Flags().StringVar(&f.push, "push", "", "URL of the issuer: give it the sealed keys when the folder is whole; needs --push-token")
	cmd.Flags().StringVar(&f.token, "push-token", "", "file (0600) with a token of the issuer that may register titles")
	for _, name := range []string{"title", "content", "to", "out"} {
		_ = cmd.MarkFlagRequired(name) // the flag exists
	}
	return cmd
}

func (f *packFlags) run(cmd *cobra.Command, env *Env, args []string) error {
	scheme, err := cenc.ParseScheme(f.scheme)
	if err != nil || scheme != cenc.SchemeCENC && scheme != cenc.SchemeCBCS {
		return usage("--scheme %q: want cenc or cbcs", f.scheme)
	}
	if f.title == "" {
		return usage("--title is empty")
	}
	if f.fragment < time.Second || f.fragment > 10*time.Second {
		return usage("--fragment %v: want 1s to 10s", f.fragment)
	}
	if f.lead < 0 || f.rotate != 0 && f.rotate < 10*time.Second {
		return usage("--clear-lead %v --rotate %v: want times, and 10s at least for --rotate", f.lead, f.rotate)
	}
	rated, err := f.rating()
	if err != nil {
		return err
	}
	var id ident.Content
	if err := id.UnmarshalText([]byte(f.id)); err != nil {
		return usage("--content %q: want 1 to %d bytes", f.id, ident.MaxOpaque)
	}
	cert, err := readCertificate(f.to)
	if err != nil {
		return err
	}
	push, err := f.pusher() // before the work, so that it is not in vain
	if err != nil {
		return err
	}
	state, err := carriedState(cmd.Context(), f.authority)
	if err != nil {
		return err
	}
	subtitles, systems, err := f.beside()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(f.out); err == nil { // before ffmpeg has worked in vain
		return fmt.Errorf("pack: %s: %w", f.out, os.ErrExist)
	}
	from, err := f.prepare(cmd.Context(), args)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	p := &progress{env: env, start: env.Now()}
	res, err := packager.Pack(cmd.Context(), packager.Config{
		Inputs: from.inputs, Dir: f.out, Content: id, Title: f.title, Rated: rated, Scheme: scheme, LicenseURL: f.licenseURL, KeyURL: f.keyURL,
		FragmentMS: int(f.fragment.Milliseconds()), ClearLeadMS: int(f.lead.Milliseconds()), RotateMS: int(f.rotate.Milliseconds()),
		Poster: from.poster, Subtitles: append(subtitles, from.subtitles...), Chapters: from.chapters, AES128: f.aes128, Resume: f.resume,
		Recipient: cert.Raw, State: state, Systems: systems, Progress: p.show(),
	})
	p.end()
	if err = errors.Join(err, from.close(err == nil)); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	res.Notes = append(from.notes, res.Notes...)
	out := describePacked(f.out, res, cert)
	if out.Pushed = f.push; f.push != "" {
		if err := push(cmd.Context(), out.Keys); err != nil {
			return fmt.Errorf("the folder is whole, its keys are not at the issuer (give them with: lares issuer content add --keys %s): %w", out.Keys, err)
		}
	}
	return env.print(cmd, out, out.text)
}

// rating reads --rated; nil: it was not said.
func (f *packFlags) rating() (*uint8, error) {
	if f.rated < -1 || f.rated > content.MaxRated {
		return nil, usage("--rated %d: want an age of 0 to %d", f.rated, content.MaxRated)
	}
	if f.rated < 0 {
		return nil, nil
	}
	years := uint8(f.rated)
	return &years, nil
}

// beside reads the values of --subtitle and --pssh.
func (f *packFlags) beside() (out []packager.Subtitle, systems []cenc.PSSH, err error) {
	for _, s := range f.subtitles {
		lang, file, ok := strings.Cut(s, ":")
		if !ok || !content.Language(lang) || file == "" {
			return nil, nil, usage("--subtitle %q: want LANGUAGE:FILE, such as en:english.vtt", s)
		}
		out = append(out, packager.Subtitle{Path: file, Language: lang})
	}
	systems, err = readPSSH(f.pssh)
	return out, systems, err
}

// carriedState asks an authority for its newest state. Who packs does not judge
// it: every module that reads it does.
func carriedState(ctx context.Context, url string) ([]byte, error) {
	if url == "" {
		return nil, nil
	}
	l, err := authorityOf(url).State(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("ask for the revocation state: %w", err)
	}
	return revocation.Offer{Head: l.Head, Chain: l.HeadChain, Snapshot: l.Snapshot, Change: l.Change}.Encode()
}

func describePacked(dir string, res *packager.Result, cert *x509.Certificate) *packed {
	sum := sha256.Sum256(cert.Raw)
	m := res.Manifest
	out := &packed{
		Dir: dir, Content: m.Content, Title: m.Title, Rated: m.Rated, Scheme: m.Scheme, DurationMS: m.DurationMS, Notes: res.Notes,
		Keys: filepath.Join(dir, packager.KeysName), SealedTo: cert.Subject.String(), SHA256: hex.EncodeToString(sum[:]),
	}
	for i := range m.Tracks {
		t := &m.Tracks[i]
		n := t.Init.Bytes
		for _, s := range t.Segments {
			n += s.Bytes
		}
		out.Tracks = append(out.Tracks, packedTrack{
			Name: t.Name, Tier: t.Tier, KID: t.KID, Codecs: t.Codecs, Width: t.Width, Height: t.Height,
			BPS: t.BPS, Bytes: n, Segments: len(t.Segments), Keys: len(t.Keys),
		})
	}
	for _, s := range m.Subtitles {
		out.Subtitles = append(out.Subtitles, s.Language)
	}
	out.Chapters = len(m.Chapters)
	return out
}

func (p *packed) text(w io.Writer) error {
	fmt.Fprintf(w, "packed %q (%v, %v, %s) into %s\n", p.Title, p.Content, p.Scheme, time.Duration(p.DurationMS)*time.Millisecond, p.Dir)
	for _, t := range p.Tracks {
		size := ""
		if t.Width > 0 {
			size = fmt.Sprintf("%dx%d ", t.Width, t.Height)
		}
		fmt.Fprintf(w, "  %-7s %-5v %s%s, %d segments, %d bytes, peak %d bytes/s, key %v\n", t.Name, t.Tier, size, t.Codecs, t.Segments, t.Bytes, t.BPS, t.KID)
		if t.Keys > 1 {
			fmt.Fprintf(w, "          and %d more keys after it\n", t.Keys-1)
		}
	}
	if len(p.Subtitles) > 0 || p.Chapters > 0 {
		fmt.Fprintf(w, "  subtitles: %s; chapters: %d\n", cmp.Or(strings.Join(p.Subtitles, ", "), "none"), p.Chapters)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(w, "  note: %s\n", n)
	}
	if p.Pushed != "" {
		fmt.Fprintf(w, "the issuer at %s has the keys\n", p.Pushed)
	}
	_, err := fmt.Fprintf(w, "keys sealed in %s\n  to %s\n  SHA-256 %s\n", p.Keys, p.SealedTo, p.SHA256)
	return err
}

// readCertificate reads the first certificate of a PEM file, or a DER file.
func readCertificate(name string) (*x509.Certificate, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds a %s, not a certificate", name, block.Type)
		}
		data = block.Bytes
	}
	cert, err := x509.ParseCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("%s is not a certificate: %w", name, err)
	}
	return cert, nil
}

// progress is one line on a terminal, renewed at most five times a second.
type progress struct {
	env         *Env
	line        func(done, total int64, spent time.Duration) string // nil: progressLine
	start, last time.Time
	shown       bool
}

// show returns the function that renews the line, or nil when nobody watches.
func (p *progress) show() func(done, total int64) {
	f, ok := p.env.Stderr.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return p.draw
}

func (p *progress) draw(done, total int64) {
	now := p.env.Now()
	if total <= 0 || done < total && now.Sub(p.last) < 200*time.Millisecond {
		return
	}
	p.last, p.shown = now, true
	line := progressLine
	if p.line != nil {
		line = p.line
	}
	fmt.Fprintf(p.env.Stderr, "\r%s\x1b[K", line(done, total, now.Sub(p.start)))
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.env.Stderr, "\r\x1b[K")
	}
}

// progressLine says how much is done, how fast, and how long it will take.
func progressLine(done, total int64, spent time.Duration) string {
	line := fmt.Sprintf("packing %3d %%", done*100/total)
	if spent < 500*time.Millisecond || done == 0 {
		return line
	}
	rate := float64(done) / spent.Seconds()
	left := time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second)
	return line + fmt.Sprintf(", %.1f MB/s, %v left", rate/1e6, left)
}
