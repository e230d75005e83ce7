package home

import (
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lares-drm/lares/content"
)

// pace is how fast files are read, in bytes a second; 0: as fast as it goes.
type pace struct{ rate int64 }

func (p pace) after(ctx context.Context, n int) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	return pause(ctx, time.Duration(n)*time.Second/time.Duration(p.rate))
}

// sum hashes r to its end and returns its length.
func (p pace) sum(ctx context.Context, h hash.Hash, r io.Reader, step func(done int64) error) (n int64, err error) {
	buf := make([]byte, checkChunk)
	for {
		k, err := io.ReadFull(r, buf)
		h.Write(buf[:k])
		n += int64(k)
		if e := p.after(ctx, k); e != nil {
			return n, e
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return n, nil
		case err != nil:
			return n, err //nolint:wrapcheck // its kind is all that is told
		}
		if err := step(n); err != nil {
			return n, err
		}
	}
}

func nothing(int64) error { return nil }

// readSubject reads all files of a title, from where an earlier reading was cut off, and
// notes what is wrong with them. It fails when ctx ends, or when nothing can be noted.
func (h *Home) readSubject(ctx context.Context, s subject, p pace) error {
	if s.film != nil {
		return h.readOwn(ctx, s.film, p)
	}
	begun, _ := s.title.stamp()
	r, err := h.begin(s.title)
	if err != nil {
		return err
	}
	files := slices.Collect(s.title.Listed())
	if r.Next == 0 || r.Next > int64(len(files)) {
		r.Next, r.Faults, r.Further = 0, r.manifestFaults(), 0
	}
	for _, file := range files[r.Next:] {
		kind, err := s.title.check(ctx, file, p)
		if err != nil {
			return errors.Join(err, h.integrity.note(s.id, r, h.cfg.Now()))
		}
		if kind != "" {
			if now, err := s.title.stamp(); err != nil || now != begun {
				return errAway // it left, or is packed anew
			}
			r.fault(file.Name, kind)
		}
		r.Next++
		if err := h.integrity.note(s.id, r, h.cfg.Now()); err != nil {
			return err
		}
	}
	r.Next, r.ReadMS = 0, h.cfg.Now().UnixMilli()
	return h.noted(s, r)
}

// stamp is that of content.json now.
func (t *Title) stamp() (stamp, error) {
	info, err := os.Lstat(filepath.Join(t.folder, content.ManifestName))
	if err != nil {
		return stamp{}, fmt.Errorf("look at content.json: %w", err)
	}
	return stampOf(info), nil
}

// noted keeps what a check came to, and tells the pages when there is something new to
// be said.
func (h *Home) noted(s subject, r record) error {
	was := h.integrity.of(s.id)
	err := h.integrity.note(s.id, r, h.cfg.Now())
	if !slices.Equal(was.Faults, r.Faults) || was.ReadMS == 0 {
		h.publish(Event{Kind: EventWaits})
	}
	return err
}

// manifestFaults are the faults of content.json itself, which begin found.
func (r *record) manifestFaults() []Fault {
	return slices.DeleteFunc(slices.Clone(r.Faults), func(f Fault) bool { return f.File != content.ManifestName })
}

// begin compares content.json with what it was when it was seen first. One that was
// written since, as when a film is packed anew, is what it should be from now on; one
// whose bytes changed by themselves is damaged.
func (h *Home) begin(t *Title) (record, error) {
	r := h.integrity.of(t.Content)
	f, err := t.Open(content.ManifestName)
	if err != nil {
		r.fault(content.ManifestName, kindOf(err))
		return r, nil
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return r, fmt.Errorf("look at content.json: %w", err)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(f, content.MaxManifest+1)); err != nil {
		r.fault(content.ManifestName, FaultUnreadable)
		return r, nil
	}
	at, sum := stampRecord{info.Size(), info.ModTime().UnixNano()}, content.Digest(hash.Sum(nil))
	switch {
	case r.At == at && r.Sum != sum:
		r.fault(content.ManifestName, FaultDamaged)
	case r.At != at && r.Sum != sum:
		now, err := readTitle(t.folder)
		if err != nil {
			r.fault(content.ManifestName, FaultDamaged)
			return r, nil
		}
		if !now.lists(t) {
			return r, errAway // the house has not looked yet: the files are not those of t any more
		}
		return record{At: at, Sum: sum}, nil
	default:
		r.At = at
		r.Faults = slices.DeleteFunc(r.Faults, func(f Fault) bool { return f.File == content.ManifestName })
	}
	return r, nil
}

// lists reports whether a title names the same files as another one, with the same bytes.
func (t *Title) lists(o *Title) bool {
	return slices.Equal(slices.Collect(t.Listed()), slices.Collect(o.Listed()))
}

// check reads one file of a title. It fails only when ctx ends, or with errAway when the
// file is written while it is read.
func (t *Title) check(ctx context.Context, file content.File, p pace) (FaultKind, error) {
	f, err := t.Open(file.Name)
	if err != nil {
		return kindOf(err), nil
	}
	defer f.Close() //nolint:errcheck // read only
	before, err := f.Stat()
	if err != nil {
		return FaultUnreadable, nil
	}
	h := sha256.New()
	n, err := p.sum(ctx, h, io.LimitReader(f, file.Bytes+1), nothing)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return FaultUnreadable, nil
	case !stands(f, stampOf(before)):
		return "", errAway
	case n < file.Bytes:
		return FaultMissing, nil
	case n > file.Bytes || content.Digest(h.Sum(nil)) != file.SHA256:
		return FaultDamaged, nil
	}
	return "", nil
}

// stands reports whether an open file is as it was.
func stands(f *os.File, was stamp) bool {
	info, err := f.Stat()
	return err == nil && stampOf(info) == was
}

// measure looks at the lengths of a title's files: what is missing is found at once, and
// what was missing and is there again is read with the next reading.
func (h *Home) measure(s subject) error {
	if s.film != nil {
		return nil // the house would not show it
	}
	if !IsPacked(s.title.folder) {
		return errAway
	}
	r, err := h.begin(s.title)
	if err != nil {
		return err
	}
	was, there := r.Faults, map[string]bool{}
	r.Faults = slices.DeleteFunc(slices.Clone(was), func(f Fault) bool { return f.Kind == FaultMissing })
	r.Further = 0 // counted anew
	for file := range s.title.Listed() {
		info, err := os.Stat(filepath.Join(s.title.folder, filepath.FromSlash(file.Name)))
		switch {
		case err != nil:
			r.fault(file.Name, kindOf(err))
		case info.Size() != file.Bytes:
			r.fault(file.Name, FaultMissing)
		default:
			there[file.Name] = true
		}
	}
	if !IsPacked(s.title.folder) {
		return errAway // it left meanwhile
	}
	if slices.ContainsFunc(was, func(f Fault) bool { return f.Kind == FaultMissing && there[f.File] }) {
		r.ReadMS, r.Next = 0, 0
	}
	return h.noted(s, r)
}

// readOwn reads an own film. The first whole reading says what it should be; after that,
// bytes that changed while the file's length and time did not are damage, and a file
// that was written since is what it should be from now on.
func (h *Home) readOwn(ctx context.Context, film *Film, p pace) error {
	r, at := h.integrity.of(film.ID), stampRecord{film.Bytes, film.ModifiedNS}
	s := subject{id: film.ID, name: film.Title, film: film}
	fail := func(kind FaultKind) error {
		r.Faults, r.Next, r.Hash, r.ReadMS = []Fault{{film.Path, kind}}, 0, nil, h.cfg.Now().UnixMilli()
		return h.noted(s, r)
	}
	_, f, err := h.OpenFilm(film.ID)
	switch {
	case errors.Is(err, ErrUnknown), errors.Is(err, fs.ErrNotExist):
		return errAway
	case err != nil:
		return fail(FaultUnreadable)
	}
	defer f.Close() //nolint:errcheck // read only
	if !stands(f, film.stamp()) {
		return errAway
	}
	sum := sha256.New()
	if state, ok := sum.(encoding.BinaryUnmarshaler); r.Next > 0 && (r.At != at || !ok || state.UnmarshalBinary(r.Hash) != nil) {
		r.Next = 0
		sum = sha256.New()
	}
	fresh := r.At != at || r.Sum == content.Digest{}
	if r.At != at {
		r = record{At: at}
	}
	if _, err := f.Seek(r.Next, io.SeekStart); err != nil {
		return fail(FaultUnreadable)
	}
	begun := r.Next
	mark := func(done int64) error {
		state, ok := sum.(encoding.BinaryMarshaler)
		if !ok {
			return nil // then a reading that is cut off begins anew
		}
		data, err := state.MarshalBinary()
		if err != nil {
			return fmt.Errorf("keep a hash: %w", err)
		}
		r.Next, r.Hash = begun+done, data
		return h.integrity.note(film.ID, r, h.cfg.Now())
	}
	n, err := p.sum(ctx, sum, f, mark)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fail(FaultUnreadable)
	case begun+n != film.Bytes, !stands(f, film.stamp()):
		return errAway
	}
	r.Next, r.Hash, r.ReadMS = 0, nil, h.cfg.Now().UnixMilli()
	now := content.Digest(sum.Sum(nil))
	if !fresh && r.Sum != now {
		return fail(FaultDamaged)
	}
	r.Sum, r.Faults, r.Further = now, nil, 0
	return h.noted(s, r)
}
