package home

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/security/trem"
)

// partBytes is how much of a segment is in memory at one time, or one sample where
// that is longer: a second of film at 2 Mb/s. Less costs more commands to the module,
// more costs memory for each stream. Source: local, `lares bench home`.
const partBytes = 256 << 10

// Segment is a media segment on its way to a browser, link-encrypted part by part.
type Segment struct {
	Bytes int64 // of all of it

	home  *Home
	id    string
	play  *Playback
	track *linkTrack
	file  *os.File
	cut   *content.Cutter
	ready []byte // link-encrypted already: what leaves first
}

// Segment returns media segment n (from 0) of a track whole, link-encrypted for the
// session: for players whose format is not made part by part. It fails as OpenSegment
// does.
func (h *Home) Segment(ctx context.Context, id, track string, n int) ([]byte, error) {
	_, _, file, err := h.listed(id, track, n)
	if err == nil && file.Bytes > trem.MaxPayload {
		err = fmt.Errorf("read a file of the title: %w", errTooLarge) // memory is taken for all of it
	}
	if err != nil {
		return nil, err
	}
	s, err := h.OpenSegment(ctx, id, track, n)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	out := bytes.NewBuffer(make([]byte, 0, s.Bytes))
	err = s.Write(ctx, out)
	return out.Bytes(), err
}

// OpenSegment opens media segment n (from 0) of a track for a session, and has its
// first part link-encrypted. When the license no longer allows it the session ends and
// the error is a *Stopped. The caller closes what it gets.
func (h *Home) OpenSegment(ctx context.Context, id, track string, n int) (*Segment, error) {
	p, t, listed, err := h.listed(id, track, n)
	if err != nil {
		return nil, err
	}
	s := &Segment{Bytes: listed.Bytes, home: h, id: id, play: p, track: t}
	if s.file, err = p.title.Open(listed.Name); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		s.Close()
		return nil, err
	}
	h.asked(p, t.Segments[n].StartMS)
	return s, nil
}

// listed is the file of a media segment of a session's track, as content.json lists it.
func (h *Home) listed(id, track string, n int) (*Playback, *linkTrack, content.File, error) {
	p, err := h.Playing(id)
	if err != nil {
		return nil, nil, content.File{}, err
	}
	t, err := p.track(track)
	if err != nil {
		return nil, nil, content.File{}, err
	}
	if n < 0 || n >= len(t.Segments) {
		return nil, nil, content.File{}, fmt.Errorf("segment: %w", ErrUnknown)
	}
	return p, t, t.Segments[n].File, nil
}

// begin goes on to the end of the first part that the module is asked for, or that there
// is enough to send: a segment may begin with film that is not protected.
func (s *Segment) begin(ctx context.Context) error {
	info, err := s.file.Stat()
	if err == nil && info.Size() < s.Bytes {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		s.cut, err = s.track.in.Cut(s.file, s.Bytes, partBytes)
	}
	if err != nil {
		return fmt.Errorf("read a file of the title: %w", err)
	}
	for asked := false; !asked && len(s.ready) < partBytes; {
		asked, err = s.next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Write writes the segment. A player that takes it slowly holds nothing but its part.
func (s *Segment) Write(ctx context.Context, w io.Writer) error {
	for {
		if _, err := w.Write(s.ready); err != nil {
			return fmt.Errorf("write a segment: %w", err)
		}
		s.ready = s.ready[:0]
		if _, err := s.next(ctx); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		s.home.plays.touch(s.id, s.home.cfg.Now())
	}
}

// Close closes its file.
func (s *Segment) Close() { _ = s.file.Close() } // read only

// next makes the next part ready, and reports whether it came from the module. Behind
// the last one it fails with io.EOF.
func (s *Segment) next(ctx context.Context) (asked bool, err error) {
	part, err := s.cut.Next()
	if errors.Is(err, io.EOF) {
		return false, io.EOF
	}
	switch {
	case err != nil:
	case part.Head == nil:
		from := len(s.ready)
		s.ready = slices.Grow(s.ready, int(part.To-part.From))[:from+int(part.To-part.From)]
		err = s.read(s.ready[from:], part.From)
	default:
		asked, err = true, s.protect(ctx, part)
	}
	if err != nil {
		return false, s.failed(ctx, err)
	}
	return asked, nil
}

// read reads bytes of the file that must be there.
func (s *Segment) read(b []byte, at int64) error {
	if _, err := s.file.ReadAt(b, at); errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	} else if err != nil {
		return err
	}
	return nil
}

// protect has a part link-encrypted, in the memory that the module has in common with
// this process where there is room.
func (s *Segment) protect(ctx context.Context, part content.Part) error {
	m := s.home.cfg.Module
	head, size := len(part.Head), len(part.Head)+int(part.To-part.From)
	place, err := s.home.desk.take(ctx, s.home, size)
	if err != nil {
		return err
	}
	var data []byte
	if place == nil {
		data = make([]byte, size)
	} else {
		defer s.home.desk.give(place)
		data = place.mem[:size]
	}
	copy(data, part.Head)
	if err := s.read(data[head:], part.From); err != nil {
		return err
	}
	if place != nil {
		err = m.(Sharer).DecryptBuffer(ctx, s.play.handle, s.track.number, place.at, size) //nolint:errcheck // who gave the memory is one
	} else if data, err = m.Decrypt(ctx, s.play.handle, s.track.number, data); err == nil && len(data) != size {
		err = fmt.Errorf("the module gives %d bytes for %d", len(data), size)
	}
	if err == nil {
		s.ready = append(s.ready, data[head:]...)
	}
	return err
}

// failed says what an error of a part is to the player, and ends the session where
// its license does.
func (s *Segment) failed(ctx context.Context, err error) error {
	if refusal, ok := errors.AsType[*trem.RefusalError](err); ok {
		return s.home.stop(context.WithoutCancel(ctx), s.id, &Stopped{Reason: StopRefused, Decision: &refusal.Decision})
	}
	if _, gone := s.home.Playing(s.id); gone != nil { // stopped meanwhile
		return gone
	}
	if end, ok := s.home.lostPlace(ctx, s.id, err); ok {
		return end
	}
	s.home.log.LogAttrs(ctx, slog.LevelWarn, "segment not served", slog.String("session", s.id[:8]), slog.Any("error", err))
	return fmt.Errorf("protect a segment for the browser: %w", err)
}
