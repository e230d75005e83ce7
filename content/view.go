package content

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"sync"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// Limits of a file. Source: local, docs/spec/content.md.
const (
	MaxMovie  = 32 << 20 // movie box, bytes
	MaxHead   = 16 << 20 // the boxes of a fragment before its samples, bytes
	MaxSample = 32 << 20 // protected sample, bytes
	maxUnits  = 1 << 22  // fragments or chunks
	window    = 1 << 18  // bytes that are worked on at one time, to the end of a sample: less than a core's cache
	maxKept   = 64       // ciphers that are kept from one fragment to the next
)

// ViewConfig says how a file is read.
type ViewConfig struct {
	Keys Keys // required where samples are protected
	// Init is the init segment of a file that has none of its own.
	Init *Init
	// Unchecked leaves out the check that what was decrypted looks like its codec.
	Unchecked bool
}

// View is the clear view of a protected file, fragmented or progressive: the
// same length, the same byte ranges, and what is protected there is in the clear
// here. It is read at any place; only the samples that are touched are decrypted,
// and the file is indexed as far as it is read. Close it: it holds keys.
type View struct {
	mu     sync.Mutex
	cfg    ViewConfig
	src    io.ReaderAt
	size   int64 // of the file; math.MaxInt64 until the end of a stream is met
	in     *Init
	movie  int64 // place of the movie box; -1 when there is none
	units  []unit
	next   int64  // all boxes before it are known
	mdats  []span // those that belong to no fragment
	placed int    // so many of them were looked at
	timed  bool   // a fragment must have a time

	work    *Fragment // of the unit that was read last
	working int
	ciphers map[ident.Key]*cenc.Cipher
	buf     []byte // decrypted, from at on
	at      int64
	proof   *proof
	closed  bool
}

// span is a range of the file.
type span struct{ from, to int64 }

// Open reads a file of a size as far as its movie box, or its first fragment.
func Open(src io.ReaderAt, size int64, cfg ViewConfig) (*View, error) {
	f := &View{cfg: cfg, src: src, size: size, in: cfg.Init, movie: -1, working: -1, ciphers: map[ident.Key]*cenc.Cipher{}, proof: newProof()}
	for f.movie < 0 && len(f.units) == 0 {
		if more, err := f.more(); err != nil {
			return nil, err
		} else if !more {
			return nil, fmt.Errorf("%w: no moov and no moof box", ErrMalformed)
		}
	}
	return f, nil
}

// Init is the file's init segment: its own, or that of the ViewConfig.
func (f *View) Init() *Init { return f.in }

// Size is the length of the file and of its clear view, in bytes.
func (f *View) Size() int64 { return f.size }

// Close overwrites the keys and what was decrypted last. Nothing is read after it.
func (f *View) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	closed(f.ciphers)
	clear(f.ciphers)
	clear(f.buf)
	f.buf = f.buf[:0]
}

// ReadAt reads the clear view. It may be called by several goroutines.
func (f *View) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off < 0 {
		return 0, errors.New("content: a place before the file")
	}
	if f.closed {
		return 0, fs.ErrClosed
	}
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if at >= f.size {
			return n, io.EOF
		}
		if at < f.at || at >= f.at+int64(len(f.buf)) {
			if err := f.fill(at); err != nil {
				return n, err
			}
			if at >= f.size {
				return n, io.EOF
			}
		}
		n += copy(p[n:], f.buf[at-f.at:])
	}
	return n, nil
}

// WriteTo writes the whole clear view.
func (f *View) WriteTo(w io.Writer) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	var n int64
	for n < f.size {
		if err := f.fill(n); err != nil {
			return n, err
		}
		if n >= f.size {
			break
		}
		k, err := w.Write(f.buf[n-f.at:])
		if n += int64(k); err != nil {
			return n, fmt.Errorf("write clear content: %w", err)
		}
		if s, ok := f.src.(*stream); ok {
			s.release(n)
		}
	}
	return n, f.proof.verdict(f.cfg.Unchecked)
}

// find gives the unit in which a place lies, or the place where the next begins.
func (f *View) find(at int64) (i int, in bool, err error) {
	for f.next <= at {
		more, err := f.more()
		if err != nil {
			return 0, false, err
		}
		if !more {
			break
		}
	}
	i, in = slices.BinarySearchFunc(f.units, at, func(u unit, at int64) int {
		switch {
		case u.to <= at:
			return -1
		case u.from > at:
			return 1
		}
		return 0
	})
	return i, in, nil
}

// fill reads and decrypts the bytes around a place.
func (f *View) fill(at int64) error {
	i, in, err := f.find(at)
	if err != nil || at >= f.size {
		return err
	}
	if in {
		return f.fillUnit(i, at)
	}
	to := min(f.size, at+window)
	if f.next > at {
		to = min(to, f.next)
	}
	if i < len(f.units) {
		to = min(to, f.units[i].from)
	}
	if err := f.read(at, to); err != nil {
		return err
	}
	if f.movie >= 0 {
		f.rename(f.in.edits, f.movie)
	}
	return nil
}

// read brings a range of the file into the buffer.
func (f *View) read(from, to int64) error {
	var err error
	f.at = from
	if f.buf, err = f.take(f.buf, from, to); int64(len(f.buf)) == to-from {
		return nil
	}
	k := len(f.buf)
	f.buf = f.buf[:0]
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("read content: %w", err)
	case f.size == math.MaxInt64 && f.next == math.MaxInt64: // the last box of a stream has no length of its own
		f.size, f.buf = from+int64(k), f.buf[:k]
		return nil
	}
	return fmt.Errorf("%w: file ends within a box", ErrMalformed)
}

// fillUnit decrypts what of a unit lies around a place.
func (f *View) fillUnit(i int, at int64) error {
	u := &f.units[i]
	w, err := f.unit(i)
	if err != nil {
		return err
	}
	rel := int(at - u.from)
	first, _ := slices.BinarySearchFunc(w.jobs, rel, func(j job, rel int) int {
		if j.off+j.size <= rel {
			return -1
		}
		return 1
	})
	from, to := rel, min(rel+window, int(u.to-u.from))
	last := first
	for ; last < len(w.jobs) && w.jobs[last].off < to; last++ {
		j := &w.jobs[last]
		from, to = min(from, j.off), max(to, j.off+j.size)
	}
	if err := f.read(u.from+int64(from), u.from+int64(to)); err != nil {
		return err
	}
	if len(f.buf) < to-from { // the end of a stream without a length
		return fmt.Errorf("%w: samples outside of the file", ErrMalformed)
	}
	for ; first < last; first++ {
		j := &w.jobs[first]
		s := j.sample(f.buf[j.off-from : j.off-from+j.size : j.off-from+j.size])
		if err := f.ciphers[j.prot.KID].Decrypt(&s); err != nil {
			return err
		}
		f.proof.see(j, s.Data)
	}
	f.rename(w.edits, u.from)
	return f.proof.failed(f.cfg.Unchecked)
}

// rename changes the types of boxes in the buffer, or as much of them as is in it.
func (f *View) rename(edits []edit, base int64) {
	for _, e := range edits {
		at := base + int64(e.at) + 4 - f.at
		if at < -3 || at >= int64(len(f.buf)) {
			continue
		}
		for k := range int64(4) {
			if i := at + k; i >= 0 && i < int64(len(f.buf)) {
				f.buf[i] = byte(e.typ >> (24 - 8*k)) //nolint:gosec // one byte of four
			}
		}
	}
}

// unit describes the samples of a unit and has all of its keys at hand.
func (f *View) unit(i int) (*Fragment, error) {
	if f.working == i {
		return f.work, nil
	}
	f.work, f.working = nil, -1 // its ciphers may go
	w, err := f.describe(i)
	if err != nil {
		return nil, err
	}
	if w.foreign != 0 {
		return nil, fmt.Errorf("%w: samples protected by the scheme %v", ErrUnsupported, w.foreign)
	}
	for k := range w.jobs {
		if w.jobs[k].size > MaxSample {
			return nil, fmt.Errorf("%w: sample of %d bytes", ErrUnsupported, w.jobs[k].size)
		}
	}
	if len(f.ciphers)+len(w.kids) > maxKept {
		closed(f.ciphers)
		clear(f.ciphers)
	}
	for _, kid := range w.kids {
		if f.ciphers[kid] != nil {
			continue
		}
		if f.cfg.Keys == nil {
			return nil, fmt.Errorf("content key %v: %w", kid, cenc.ErrKey)
		}
		c, err := newCipher(f.cfg.Keys, kid)
		if err != nil {
			return nil, err
		}
		f.ciphers[kid] = c
	}
	f.work, f.working = w, i
	return w, nil
}
