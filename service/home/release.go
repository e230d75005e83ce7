package home

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// ErrFile is returned for an ordinary file that cannot be made where it should.
var ErrFile = errors.New("home: the file cannot be made there")

// Released is an ordinary file that was made of a title.
type Released struct {
	Content ident.Content `json:"content"`
	File    string        `json:"file"`
	Tier    content.Tier  `json:"tier"`
	Bytes   int64         `json:"bytes"`
}

// Release writes the ordinary file of a title that its shop's end has released:
// the best picture that the house has, with its sound. file is absolute and new;
// it appears whole or not at all. The module refuses it before the end is proven.
func (h *Home) Release(ctx context.Context, id ident.Content, file string) (out Released, err error) {
	if !filepath.IsAbs(file) {
		return out, fmt.Errorf("%w: the path must be absolute", ErrFile)
	}
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		return out, fmt.Errorf("%w: it is there already, or cannot be looked at", ErrFile)
	}
	t, err := h.Title(id)
	if err != nil {
		return out, err
	}
	ses, err := h.cfg.Module.Begin(ctx, trem.Ask{Content: id, Action: permission.Play, Output: trem.OutputInternal, Release: true})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, h.cfg.Module.End(context.WithoutCancel(ctx), ses.Handle)) }()
	out = Released{Content: id, File: file}
	tracks := releasedTracks(t, ses.KIDs)
	if len(tracks) == 0 {
		return out, fmt.Errorf("%w: the house has no key of a picture of it", ErrFile)
	}
	out.Tier = tracks[0].Tier
	out.Bytes, err = newFile(file, func(w io.Writer) error { return h.join(ctx, t, ses.Handle, tracks, w) })
	return out, err
}

// releasedTracks are the best picture and all sound of a title of which there are keys.
func releasedTracks(t *Title, kids []ident.Key) []*content.TrackFiles {
	var picture *content.TrackFiles
	var out []*content.TrackFiles
	for i := range t.Tracks {
		x := &t.Tracks[i]
		keys := append([]content.KeyPeriod{{KID: x.KID}}, x.Keys...)
		if slices.ContainsFunc(keys, func(k content.KeyPeriod) bool { return !slices.Contains(kids, k.KID) }) {
			continue
		}
		switch x.Kind {
		case "audio":
			out = append(out, x)
		case "video":
			if picture == nil || cmp.Or(cmp.Compare(x.Tier, picture.Tier), cmp.Compare(x.Bandwidth, picture.Bandwidth)) > 0 {
				picture = x
			}
		}
	}
	if picture == nil {
		return nil
	}
	return append([]*content.TrackFiles{picture}, out...)
}

// join passes the tracks through the module, segment by segment in the order of
// their times.
func (h *Home) join(ctx context.Context, t *Title, session uint64, tracks []*content.TrackFiles, w io.Writer) error {
	numbers, inits := make([]uint64, len(tracks)), make([][]byte, len(tracks))
	type part struct {
		track int
		seg   content.Segment
	}
	var parts []part
	for i, x := range tracks {
		init, err := t.read(x.Init)
		if err == nil {
			numbers[i], inits[i], err = h.cfg.Module.Track(ctx, session, init)
		}
		if err != nil {
			return err
		}
		inits[i] = slices.Clone(inits[i])
		for _, seg := range x.Segments {
			parts = append(parts, part{i, seg})
		}
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(a.seg.StartMS, b.seg.StartMS) })
	j, err := content.NewJoined(w, inits)
	if err != nil {
		return err
	}
	for _, p := range parts {
		data, err := t.read(p.seg.File)
		if err == nil {
			data, err = h.cfg.Module.Decrypt(ctx, session, numbers[p.track], data)
		}
		if err == nil {
			err = j.Segment(p.track, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newFile makes a file that appears under its name when it is whole and on disk.
func newFile(name string, write func(io.Writer) error) (bytes int64, err error) {
	dir := filepath.Dir(name)
	tmp, err := os.CreateTemp(dir, ".lares-*")
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrFile, err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // linked, or to be gone
	buf := bufio.NewWriterSize(tmp, 1<<20)
	err = write(buf)
	if err == nil {
		err = buf.Flush()
	}
	if err == nil {
		bytes, err = tmp.Seek(0, io.SeekCurrent)
	}
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return 0, err
	}
	if err := os.Link(tmp.Name(), name); err != nil { // unlike rename it takes nothing's place
		return 0, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return bytes, syncDir(dir)
}

// HandIn destroys the loan of a title that a library lent to the house, and returns
// the proof. Said again it returns the same, so that a proof that was lost on its
// way can be shown again. It is refused while devices of the house have it.
func (h *Home) HandIn(ctx context.Context, id ident.Content) (trem.HandedIn, error) {
	module, ok := h.cfg.Module.(Borrower)
	if !ok {
		return trem.HandedIn{}, fmt.Errorf("loan: %w", ErrUnknown)
	}
	out, err := module.HandIn(ctx, id)
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeUnknown {
		return out, fmt.Errorf("loan: %w", ErrUnknown)
	}
	if err == nil {
		h.publish(Event{Kind: EventLibrary})
	}
	return out, err
}
