package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// played is what `device play --json` prints.
type played struct {
	License  ident.License    `json:"license"`
	Tier     content.Tier     `json:"tier"`
	Bytes    int64            `json:"bytes"`
	Segments int              `json:"segments"`
	Decision license.Decision `json:"decision"`
}

type playFlags struct {
	tier, out, dir string
	player, pipe   string
	serve          bool
	fromMS         int64
	confirm, again bool
	consent        bool
	takeover       bool
	by             string
}

func newDevicePlayCmd(env *Env, dir *string) *cobra.Command {
	var f playFlags
	cmd := &cobra.Command{
		Use:   "play TITLE",
		Short: "Play a title: write its clear stream to a file or a player",
		Long: `Play a title in a player, or one track of it to a file or a pipe. The secure player (lares-trem) decrypts segment by
segment while your copy allows it; what it costs is written down before the
picture leaves. The protected files come from the house, or with --content from
a folder, so that a trip needs no network.

--player starts a player, such as mpv, ffplay or ffmpeg, with an address on this
machine that has picture and sound and can be sought; {} in its words is the
address. --serve prints the address and waits. --pipe starts a player that reads
one track from its standard input. Which tier is shown is what your copy allows
on the screens that are on, up to --tier; when that changes, the play ends.

One of your own films (lares device films) comes from the house as it lies there.`,
		Example: `  lares device play lares-film --player mpv
  lares device play lares-film --tier SD --pipe "ffplay -i pipe:0"
  lares device play lares-film --tier HD --out - | mpv -
  lares device play lares-film --tier SD --out film.mp4 --content /media/lares-film
  lares device play urn:lares:own:0f9c2f4e2b8d4f3b9d2c6a7e1f5b8c3d --player mpv   # your own film
  lares device play rental --tier HD --out film.mp4 --yes   # starts the 48 hours
  lares device play lares-film --player mpv --by Ada         # an adult lets it be once on a child's device`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return err
			}
			return withDevice(env, *dir, func(d *device) error {
				own, err := d.isClear(cmd.Context(), id)
				if err != nil {
					return err
				}
				if own {
					return d.playOwn(cmd, env, id, f)
				}
				return d.play(cmd, env, id, f)
			})
		},
	}
	cmd.Flags().StringVar(&f.tier, "tier", "HD", "what to play: AUDIO, SD, HD or UHD")
	cmd.Flags().StringVar(&f.out, "out", "", "file to write, or - for standard output")
	cmd.Flags().StringVar(&f.player, "player", "", "player to start with the address of the play; {} stands for it")
	cmd.Flags().StringVar(&f.pipe, "pipe", "", "player to start that reads one track from its standard input")
	cmd.Flags().BoolVar(&f.serve, "serve", false, "print an address on this machine for any player, and serve it until Ctrl-C")
	cmd.Flags().StringVar(&f.dir, "content", "", "folder with the protected files; default: what was downloaded, else from the house")
	cmd.Flags().Int64Var(&f.fromMS, "from", 0, "start at this position, in ms")
	cmd.Flags().BoolVar(&f.confirm, "yes", false, "start a period that begins with the first play")
	cmd.Flags().BoolVar(&f.consent, "consent", false, "let the shop be told what your copy asks to tell; 'lares device why TITLE' says what")
	cmd.Flags().StringVar(&f.by, "by", "", "on a child's or a guest's device: an adult of the house, whose PIN lets it be once; it asks for the PIN")
	cmd.Flags().BoolVar(&f.takeover, "takeover", false, "where the title plays on as many screens as it may: continue here, and it stops on the oldest")
	cmd.Flags().BoolVar(&f.again, "again", false, "watch again from the start, even if the last play could be resumed")
	return cmd
}

// check wants one place to play to.
func (f *playFlags) check() error {
	n := 0
	for _, given := range []bool{f.out != "", strings.TrimSpace(f.player) != "", strings.TrimSpace(f.pipe) != "", f.serve} {
		if given {
			n++
		}
	}
	if n != 1 {
		return usage("want one of --out, --player, --pipe and --serve")
	}
	return nil
}

func (d *device) play(cmd *cobra.Command, env *Env, id ident.Content, f playFlags) error {
	ctx := cmd.Context()
	tier, src, m, err := d.toShow(ctx, id, f.dir, f.tier)
	if err != nil {
		return err
	}
	var track *content.TrackFiles
	if f.player == "" && !f.serve { // these show what there is
		if track, err = trackOf(m, tier); err != nil {
			return err
		}
	}
	who, err := d.asking(ctx, env, id, func() *uint8 { return m.Rated }, f.by)
	if err != nil {
		return err
	}
	d.look(ctx, env, looksFor)
	var got played
	if err := d.seated(ctx, env, trem.Ask{
		Content: id, Action: permission.Play, Tier: uint64(tier), Output: trem.OutputInternal, Confirm: f.confirm, Consent: f.consent, FromMS: f.fromMS, Again: f.again, Person: who, Takeover: f.takeover,
	}, func(ctx context.Context, s trem.Session) (err error) {
		got, err = d.playTo(ctx, cmd, env, src, m, s, track, f)
		return err
	}); err != nil {
		return env.decided(cmd, err)
	}
	report := *env
	if f.out == "-" {
		report.Stdout = env.Stderr // the stream itself is the output
	}
	if f.serve {
		return nil // what there was to say stands there
	}
	return report.print(cmd, got, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Played %s of %s: %d segments, %d bytes.\n", got.Tier, m.Title, got.Segments, got.Bytes)
		return err
	})
}

// playTo plays to where the flags say.
func (d *device) playTo(ctx context.Context, cmd *cobra.Command, env *Env, src *files, m *content.Manifest, s trem.Session, t *content.TrackFiles, f playFlags) (played, error) {
	if f.player != "" || f.serve {
		return d.show(ctx, cmd, env, src, m, s, f)
	}
	var out io.Writer
	var done func(whole bool) error
	if f.pipe != "" {
		out, done = env.pipe(ctx, f.pipe)
	} else {
		var err error
		if out, done, err = env.output(f.out); err != nil {
			return played{}, err
		}
	}
	got, err := d.stream(ctx, src, t, s, f.fromMS, out, f.pipe == "")
	if errors.Is(err, errPlayerLeft) {
		err = nil
	}
	got.Tier = t.Tier
	return got, errors.Join(err, done(err == nil))
}

// filesAhead is how many segments go with one command where the stream is not
// watched but kept: it is wanted whole, so nothing is paid for in vain. A buffer for
// so many is at most bufferAhead bytes long, or as long as one segment.
// Source: local, `lares bench trem`.
const (
	filesAhead  = 3
	bufferAhead = 8 << 20
)

// stream passes one track through the module, segment by segment, or more at a time
// where whole of it is wanted.
func (d *device) stream(ctx context.Context, src *files, t *content.TrackFiles, s trem.Session, fromMS int64, out io.Writer, whole bool) (played, error) {
	got := played{License: s.License, Decision: s.Decision}
	init, err := src.read(ctx, t.Init)
	if err != nil {
		return got, err
	}
	track, head, err := d.trem.Track(ctx, s.Handle, init)
	if err != nil {
		return got, err
	}
	if err := write(out, head, &got.Bytes); err != nil {
		return got, err
	}
	ahead := 1
	if whole {
		ahead = filesAhead
	}
	mem, err := d.buffer(ctx, t, int64(ahead))
	if err != nil {
		return got, err
	}
	first := slices.IndexFunc(t.Segments, func(s content.Segment) bool { return s.StartMS+s.DurationMS > fromMS })
	if first < 0 {
		return got, nil
	}
	for rest := t.Segments[first:]; len(rest) > 0; {
		data, done, err := d.decryptSome(ctx, src, rest[:min(ahead, len(rest))], s.Handle, track, mem)
		if err != nil {
			return got, err
		}
		if err := write(out, data, &got.Bytes); err != nil {
			return got, err
		}
		got.Segments, rest = got.Segments+done, rest[done:]
	}
	return got, nil
}

// decryptSome has the first of segments decrypted, one or more, and says how many.
// Several go where they are files of this machine and have room in the buffer.
func (d *device) decryptSome(ctx context.Context, src *files, segments []content.Segment, session, track uint64, mem []byte) (data []byte, done int, err error) {
	var list []trem.SegmentFile
	defer func() {
		for _, one := range list {
			err = errors.Join(err, one.Close())
		}
	}()
	end := 0
	for _, seg := range segments {
		if mem == nil || src.dir == "" || seg.File.Bytes < 1 || seg.File.Bytes > int64(len(mem)-end) {
			break
		}
		in, err := src.checked(seg.File)
		if err != nil {
			return nil, 0, err
		}
		list = append(list, trem.SegmentFile{File: in, At: end, Bytes: int(seg.File.Bytes)})
		end += int(seg.File.Bytes)
	}
	if len(list) == 0 {
		data, err = d.decrypt(ctx, src, segments[0].File, session, track, mem)
		return data, 1, err
	}
	done, err = d.trem.DecryptFiles(ctx, session, track, list...)
	if err != nil {
		return nil, 0, err
	}
	return mem[:list[done-1].At+list[done-1].Bytes], done, nil
}

// buffer is memory in common with the module for the longest segment of a track, or
// for several where they are short; nil where the module has none to share.
func (d *device) buffer(ctx context.Context, t *content.TrackFiles, segments int64) ([]byte, error) {
	longest := int64(1)
	for _, seg := range t.Segments {
		longest = max(longest, seg.Bytes)
	}
	size := max(longest, min(segments*longest, bufferAhead))
	mem, err := d.trem.Buffer(ctx, int(min(size, maxSegment)))
	if e, ok := errors.AsType[*trem.Error](err); ok && (e.Code == trem.CodeState || e.Code == trem.CodeMalformed) {
		return nil, nil
	}
	return mem, err
}

// decrypt has a segment decrypted, in the buffer where there is one: a file of
// this machine is read into it by the module, what comes from the house by us.
func (d *device) decrypt(ctx context.Context, src *files, file content.File, session, track uint64, mem []byte) ([]byte, error) {
	if mem == nil || file.Bytes < 1 || file.Bytes > int64(len(mem)) {
		data, err := src.read(ctx, file)
		if err != nil {
			return nil, err
		}
		return d.trem.Decrypt(ctx, session, track, data)
	}
	seg := mem[:file.Bytes]
	if src.dir != "" {
		in, err := src.checked(file)
		if err != nil {
			return nil, err
		}
		defer in.Close() //nolint:errcheck // read only
		return seg, d.trem.DecryptFile(ctx, session, track, in, 0, len(seg))
	}
	if err := src.readInto(ctx, file, seg); err != nil {
		return nil, err
	}
	return seg, d.trem.DecryptBuffer(ctx, session, track, 0, len(seg))
}

func write(w io.Writer, data []byte, n *int64) error {
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("write the stream: %w", err)
	}
	*n += int64(len(data))
	return nil
}

func trackOf(m *content.Manifest, tier content.Tier) (*content.TrackFiles, error) {
	for i := range m.Tracks {
		if m.Tracks[i].Tier == tier {
			return &m.Tracks[i], nil
		}
	}
	return nil, fmt.Errorf("%s has no %s track", m.Title, tier)
}

// output opens where a stream goes. A file appears under its name only when it
// is whole: done(true) puts it there, done(false) takes it away.
func (e *Env) output(name string) (io.Writer, func(whole bool) error, error) {
	if name == "-" {
		return e.Stdout, func(bool) error { return nil }, nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+path.Base(filepath.ToSlash(name))+"-*")
	if err != nil {
		return nil, nil, fmt.Errorf("make %s: %w", name, err)
	}
	return tmp, func(whole bool) error {
		err := tmp.Close()
		if whole && err == nil {
			return os.Rename(tmp.Name(), name)
		}
		return errors.Join(err, os.Remove(tmp.Name()))
	}, nil
}
