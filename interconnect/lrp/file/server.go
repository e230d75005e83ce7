package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"time"

	"github.com/lares-drm/lares/internal/wire"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// Server is the accepting side: it answers what lies in a folder.
type Server struct {
	Dir    string
	Self   lrp.Addr                // for whom files are signed
	Frames lrp.Handler             // required
	Serves func(dst lrp.Addr) bool // whose frames it takes; those of others stay: the stick goes on
	// Mail is what waits for an address that has a folder here; nil: nothing.
	Mail func(dst lrp.Addr) []lrp.Kept
	Now  func() time.Time // required
}

// Done is what one sweep did.
type Done struct {
	Answered int // frames
	Mail     int // frames that were put here for others
	Skipped  int // files that are no frames, or are damaged
}

// Sweep answers what is in the folder now and puts mail into it. An answer is
// durable before its question is removed, so a sweep that is cut off is done again
// by the next; the handler answers a repeat as it did.
func (s *Server) Sweep(ctx context.Context) (out Done, err error) {
	d, err := openFolder(s.Dir)
	if err != nil {
		return out, err
	}
	defer d.root.Close() //nolint:errcheck // nothing is held back
	for _, box := range d.boxes() {
		if s.Serves(box) {
			for _, at := range d.list(box, asked) {
				if ctx.Err() != nil {
					return out, ctx.Err()
				}
				done, e := s.answer(ctx, d, at)
				if err = errors.Join(err, e); done {
					out.Answered++
				} else if e == nil {
					out.Skipped++
				}
			}
		}
		if s.Mail != nil {
			n, e := s.deliver(d, box)
			out.Mail, err = out.Mail+n, errors.Join(err, e)
		}
		s.tidy(d, box)
	}
	return out, err
}

// answer serves the frame in one file. Not done without an error is a file that is
// no frame.
func (s *Server) answer(ctx context.Context, d folder, at string) (done bool, err error) {
	data, err := d.read(at, maxAsk)
	if err != nil {
		return false, nil //nolint:nilerr // it cannot be read: as one that is damaged
	}
	f, by, ok := s.open(data)
	if !ok || !fits(at, f) {
		return false, nil
	}
	var ans []byte
	for _, a := range s.Frames(ctx, by, f) {
		b, err := a.Encode()
		if err != nil {
			return false, err
		}
		ans = append(ans, b...)
	}
	if len(ans) > maxAns {
		return false, lrp.ErrFrame
	}
	if err := d.write(name(f.Src, f.Dst, f.Tx, f.Seq, answered), ans); err != nil {
		return false, err
	}
	if err := d.root.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	return true, nil
}

// open reads a file's frame, and whose signature over it is before it.
func (s *Server) open(data []byte) (f lrp.Frame, by lrp.Arrival, ok bool) {
	list, err := lrp.ParseSequence(data, 2)
	switch {
	case err != nil || len(list) == 0:
		return f, by, false
	case len(list) == 1:
		return list[0], by, true
	}
	_, rest, err := wire.Next(data, wire.Limit{Bytes: lrp.MaxFrame, Items: 9, Depth: 1})
	if err != nil || list[0].Type != lrp.TypeHello {
		return f, by, false
	}
	if src, err := lrp.SignedBy(list[0].Body, sha256.Sum256(rest), s.Self); err == nil {
		by.Signed = src
	}
	return list[1], by, true
}

// deliver puts what waits for an address into its folder.
func (s *Server) deliver(d folder, box lrp.Addr) (n int, err error) {
	for _, k := range s.Mail(box) {
		at := numbered(box, k.Number)
		if _, err := d.root.Lstat(at); err == nil {
			continue
		}
		b, err := k.Encode()
		if err != nil {
			return n, err
		}
		if err := d.write(at, b); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// tidy removes answers and mail that are over, and nothing that it cannot read.
func (s *Server) tidy(d folder, box lrp.Addr) {
	now := s.Now().UnixMilli()
	for _, at := range d.list(box, answered) {
		data, err := d.read(at, maxAns)
		if err != nil {
			continue
		}
		list, err := lrp.ParseSequence(data, lrp.MaxFrames)
		over := err == nil && len(list) > 0
		for _, f := range list {
			over = over && f.Expires <= now
		}
		if over {
			_ = d.root.Remove(at)
		}
	}
	for _, at := range d.list(box, mail) {
		if data, err := d.read(at, maxAsk); err == nil {
			if k, err := lrp.ParseKept(data); err == nil && k.Frame.Expires <= now {
				_ = d.root.Remove(at)
			}
		}
	}
}
