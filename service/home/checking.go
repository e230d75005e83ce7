package home

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

// How the films' files are read, and again. Source: local, docs/spec/library.md section 3.
const (
	checkChunk  = 1 << 20        // bytes that are read at one time
	idleBetween = time.Minute    // between two looks for something to read, when all was read
	faultyEvery = 24 * time.Hour // after which what has faults is read again
)

// Suspect is a title or own film with files that are not as they should be.
type Suspect struct {
	ID      ident.Content `json:"id"`
	Title   string        `json:"title"`
	Own     bool          `json:"own"`
	Faults  []Fault       `json:"faults"`
	Further int           `json:"further,omitempty"` // faults beside these
}

// CheckReport is how the films' files are: of the whole library, or of one film that was
// asked about, and then of no folders.
type CheckReport struct {
	Title    string    `json:"title,omitempty"` // of the one film; empty: the library
	Films    int       `json:"films"`           // titles and own films
	Read     int       `json:"read"`            // of these, read whole within Config.CheckEvery
	Oldest   time.Time `json:"oldest"`          // when the one was read that was read the longest ago; zero: one was never
	Away     []string  `json:"away"`            // folders of the library that are not there
	Unpacked []string  `json:"unpacked"`        // folders of the library whose content.json cannot be read
	Suspects []Suspect `json:"suspects"`
}

// subject is something to be checked: a title or an own film.
type subject struct {
	id    ident.Content
	name  string
	title *Title // or
	film  *Film
}

// subjects are all titles and films of the library.
func (h *Home) subjects() []subject {
	var out []subject
	for _, t := range h.Titles() {
		out = append(out, subject{id: t.Content, name: t.Title, title: t})
	}
	for _, f := range h.Films() {
		out = append(out, subject{id: f.ID, name: f.Title, film: f})
	}
	return out
}

// Checked says what is known of the files of all films, and of the library's folders.
func (h *Home) Checked() CheckReport {
	out := h.checked(h.subjects())
	loaded := h.library.loaded()
	for _, path := range h.library.known() {
		switch {
		case loaded[path] != nil:
		case IsPacked(path):
			if t, err := readTitle(path); err != nil || h.library.title(t.Content) == nil { // else it is a second copy
				out.Unpacked = append(out.Unpacked, path)
			}
		default:
			out.Away = append(out.Away, path)
		}
	}
	for _, f := range h.Folders() {
		if f.Away {
			out.Away = append(out.Away, f.Folder)
		}
	}
	for _, path := range h.folders.off() {
		if !slices.Contains(out.Away, path) {
			out.Away = append(out.Away, path)
		}
	}
	return out
}

// checked says what is known of some films' files.
func (h *Home) checked(of []subject) CheckReport {
	now := h.cfg.Now()
	out := CheckReport{Away: []string{}, Unpacked: []string{}, Suspects: []Suspect{}}
	oldest := now.UnixMilli()
	for _, s := range of {
		r := h.integrity.of(s.id)
		out.Films++
		oldest = min(oldest, r.ReadMS)
		if now.Sub(time.UnixMilli(r.ReadMS)) < h.cfg.CheckEvery {
			out.Read++
		}
		if r.faulty() {
			out.Suspects = append(out.Suspects, Suspect{s.id, s.name, s.film != nil, append([]Fault{}, r.Faults...), r.Further})
		}
	}
	if out.Films > 0 && oldest > 0 {
		out.Oldest = time.UnixMilli(oldest).UTC()
	}
	return out
}

// CheckOrder says what is checked now.
type CheckOrder struct {
	Content ident.Content `json:"content,omitempty"` // empty: everything
	Read    bool          `json:"read"`              // the bytes of all files, and not only their lengths
}

// Check checks now, as fast as it goes, and says what is known then of what it was
// asked about. Cut off, it has noted how far it came.
func (h *Home) Check(ctx context.Context, o CheckOrder) (CheckReport, error) {
	all := h.subjects()
	if o.Content != "" {
		all = slices.DeleteFunc(all, func(s subject) bool { return s.id != o.Content })
		if len(all) == 0 {
			return CheckReport{}, ErrUnknown
		}
	}
	for _, s := range all {
		var err error
		if o.Read {
			err = h.readSubject(ctx, s, pace{})
		} else {
			err = h.measure(s)
		}
		if errors.Is(err, errAway) {
			err = nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return CheckReport{}, errors.Join(err, h.integrity.flush(h.cfg.Now()))
		}
	}
	if o.Content != "" {
		out := h.checked(all)
		out.Title = all[0].name
		return out, h.integrity.flush(h.cfg.Now())
	}
	return h.Checked(), h.integrity.flush(h.cfg.Now())
}

// checkFilms reads what was not read for the longest time, slowly, one after the other,
// as long as the house runs.
func (h *Home) checkFilms(ctx context.Context) error {
	for {
		s, ok := h.due()
		var err error
		if ok {
			err = h.readSubject(ctx, s, pace{h.cfg.CheckRate})
		} else {
			err = h.integrity.flush(h.cfg.Now())
		}
		if ok && errors.Is(err, errAway) {
			h.integrity.putOff(s.id, h.cfg.Now())
			continue
		}
		if ok && err == nil {
			continue
		}
		if err != nil && ctx.Err() == nil {
			h.log.LogAttrs(ctx, slog.LevelWarn, "what films were read is not noted", slog.Any("error", err))
		}
		if err := pause(ctx, idleBetween); err != nil {
			return errors.Join(h.integrity.flush(h.cfg.Now()), err)
		}
	}
}

// due is what is read next: what a reading was cut off in, else what was read the
// longest ago, if that is long enough.
func (h *Home) due() (subject, bool) {
	all := h.subjects()
	has := map[ident.Content]bool{}
	for _, s := range all {
		has[s.id] = true
	}
	h.integrity.keep(has)
	at := func(s subject) int64 { // when it is read, Unix ms
		r := h.integrity.of(s.id)
		switch {
		case r.Next > 0:
			return -1
		case r.ReadMS > 0 && r.faulty():
			return r.ReadMS + min(faultyEvery, h.cfg.CheckEvery).Milliseconds()
		case r.ReadMS > 0:
			return r.ReadMS + h.cfg.CheckEvery.Milliseconds()
		}
		return 0
	}
	now := h.cfg.Now().UnixMilli()
	all = slices.DeleteFunc(all, func(s subject) bool { return h.integrity.notBefore(s.id) > now })
	if len(all) == 0 {
		return subject{}, false
	}
	s := slices.MinFunc(all, func(a, b subject) int { return cmp.Compare(at(a), at(b)) })
	return s, at(s) <= now
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
