package content

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// ProtectConfig says how a clear file becomes a protected one.
type ProtectConfig struct {
	Scheme cenc.Scheme // cenc or cbcs
	// Key gives a track of pictures or sound its key; ok is false for one that
	// stays in the clear.
	Key func(*Track) (kid ident.Key, key cenc.ContentKey, ok bool, err error)
}

// What of a NAL unit stays in the clear at its begin, its length among it: the
// header of the slice. Source: local; 23001-7 asks for the header, mp4ff and
// shaka-packager give it as much room in cenc.
const clearHead = 96 // bytes

// maxMaps is how many ranges the length of a sample's auxiliary information, one
// byte in saiz, has room for.
const maxMaps = 40

// protector encrypts the fragments of a file that is read as a clear one.
type protector struct {
	*View
	cfg    ProtectConfig
	w      io.Writer
	tracks map[uint32]*protectedTrack
	next   map[ident.Key]uint64 // cenc: the next vector that was not used
	kids   []ident.Key
}

// protectedTrack is a track that gets protected.
type protectedTrack struct {
	protection
	cipher *cenc.Cipher
	audio  bool
	hevc   bool
	nal    int // bytes of a NAL unit's length
}

// Protect writes the file protected. It must be in the clear and made of
// fragments. The boxes of protection are added, so that the result is longer:
// sidx and mfra boxes, whose places are no longer right, are renamed to free.
//
// Pictures of H.264 and HEVC are protected slice by slice, sound whole sample by
// whole sample. Vectors of cenc count on from a random start, over all tracks of a
// key, and no run of Protect with the same key knows of another: give each file
// keys of its own.
func (f *View) Protect(w io.Writer, cfg ProtectConfig) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &protector{View: f, cfg: cfg, w: w, tracks: map[uint32]*protectedTrack{}, next: map[ident.Key]uint64{}}
	defer p.close()
	if err := p.prepare(); err != nil {
		return err
	}
	for at := int64(0); ; {
		to, err := p.part(at)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if at = to; at == math.MaxInt64 {
			return nil
		}
		if s, ok := f.src.(*stream); ok {
			s.release(at)
		}
	}
}

func (p *protector) close() {
	for _, t := range p.tracks {
		t.cipher.Close()
	}
}

// prepare chooses the key of each track and refuses what cannot be protected.
func (p *protector) prepare() error {
	if p.cfg.Scheme != cenc.SchemeCENC && p.cfg.Scheme != cenc.SchemeCBCS {
		return fmt.Errorf("%w: protect by %v: want cenc or cbcs", ErrUnsupported, p.cfg.Scheme)
	}
	if p.movie < 0 || len(p.units) > 0 && p.units[0].table != nil {
		return fmt.Errorf("%w: only a file of fragments with its movie box is protected (make one with lares pack, or ffmpeg -c copy -movflags +frag_keyframe+empty_moov+default_base_moof)", ErrUnsupported)
	}
	for i := range p.in.Tracks {
		t := &p.in.Tracks[i]
		if t.scheme() != 0 || slices.ContainsFunc(t.Entries, func(e Entry) bool { return e.Foreign != 0 }) {
			return fmt.Errorf("%w: track %d is protected already", ErrUnsupported, t.ID)
		}
		if t.Handler != "vide" && t.Handler != "soun" {
			continue
		}
		kid, key, ok, err := p.cfg.Key(t)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := p.track(t, kid, key); err != nil {
			return err
		}
	}
	if len(p.tracks) == 0 {
		return fmt.Errorf("%w: nothing to protect", ErrUnsupported)
	}
	return nil
}

func (p *protector) track(t *Track, kid ident.Key, key cenc.ContentKey) error {
	e := &t.Entries[0]
	pt := &protectedTrack{audio: t.Handler == "soun", nal: int(e.nal), hevc: e.Format == "hvc1" || e.Format == "hev1"}
	if len(t.Entries) != 1 || !pt.audio && (pt.nal == 0 || !pt.hevc && e.Format != "avc1" && e.Format != "avc3") {
		return fmt.Errorf("%w: protect %s in track %d: want H.264, HEVC or sound of one sample description (lares pack does more)", ErrUnsupported, e.Format, t.ID)
	}
	pt.Scheme, pt.KID = p.cfg.Scheme, kid
	if p.cfg.Scheme == cenc.SchemeCENC {
		pt.IVSize = 8
	} else {
		pt.ConstantIV = make([]byte, cenc.BlockSize)
		rand.Read(pt.ConstantIV)
		if !pt.audio {
			pt.Crypt, pt.Skip = 1, 9
		}
	}
	var err error
	if pt.cipher, err = cenc.NewCipher(key); err != nil {
		return fmt.Errorf("content key %v: %w", kid, err)
	}
	p.tracks[t.ID] = pt
	if _, ok := p.next[kid]; !ok {
		var b [8]byte
		rand.Read(b[:])
		p.next[kid] = binary.BigEndian.Uint64(b[:])
		p.kids = append(p.kids, kid)
	}
	return nil
}

// part writes what begins at a place: a fragment, or one box. It gives the place
// behind.
func (p *protector) part(at int64) (int64, error) {
	i, in, err := p.find(at)
	if err != nil {
		return 0, err
	}
	if in {
		return p.units[i].to, p.fragment(&p.units[i])
	}
	b, err := p.peek(at)
	if err != nil {
		return 0, err
	}
	switch b.typ {
	case cc("moov"):
		seg, err := p.load(b.from, b.to, MaxMovie)
		if err != nil {
			return 0, err
		}
		out, err := p.protectMovie(seg)
		if err != nil {
			return 0, err
		}
		return b.to, p.write(out)
	case cc("sidx"), cc("mfra"):
		seg, err := p.load(b.from, b.to, MaxMovie)
		if err != nil {
			return 0, err
		}
		apply(seg, []edit{{0, cc("free")}})
		return b.to, p.write(seg)
	}
	return b.to, p.copy(b.from, b.to)
}

func (p *protector) write(b []byte) error {
	if _, err := p.w.Write(b); err != nil {
		return fmt.Errorf("write protected content: %w", err)
	}
	return nil
}

// copy writes a part of the file as it is.
func (p *protector) copy(from, to int64) error {
	for from < to {
		if err := p.read(from, min(to, from+window)); err != nil {
			return err
		}
		if err := p.write(p.buf); err != nil {
			return err
		}
		if from += int64(len(p.buf)); from == p.size { // the end of a stream
			return nil
		}
	}
	return nil
}

// run is a track fragment that gets protected: its samples, in their order, with
// their vectors and maps.
type run struct {
	traf    box
	track   *protectedTrack
	samples []extent
	ivs     []cenc.IV
	maps    [][]cenc.Subsample
}

// fragment writes a fragment. Its samples are in memory at one time.
func (p *protector) fragment(u *unit) error {
	if u.to-u.from > MaxFragment {
		return fmt.Errorf("%w: protect a fragment of %d bytes: %d at most", ErrUnsupported, u.to-u.from, MaxFragment)
	}
	seg, err := p.load(u.from, u.to, MaxFragment)
	if err != nil {
		return err
	}
	var runs []run
	ps := parser{in: p.in, f: newFragment(seg), seg: seg, size: len(seg), at: u.from}
	ps.layout = func(t *traf, b box) error {
		if track := p.tracks[t.track.ID]; track != nil {
			runs = append(runs, run{traf: b, track: track, samples: t.samples})
		}
		return nil
	}
	if err := ps.parse(u.heads); err != nil {
		return fmt.Errorf("at byte %d: %w", u.from, err)
	}
	for k := range runs {
		if err := p.encrypt(seg, &runs[k]); err != nil {
			return fmt.Errorf("at byte %d: %w", u.from, err)
		}
	}
	out, err := rewrite(seg, u.heads, runs)
	if err != nil {
		return fmt.Errorf("at byte %d: %w", u.from, err)
	}
	return p.write(out)
}

// encrypt protects the samples of a run in place.
func (p *protector) encrypt(seg []byte, r *run) error {
	t := r.track
	for _, e := range r.samples {
		s := cenc.Sample{Scheme: t.Scheme, Crypt: t.Crypt, Skip: t.Skip, Data: seg[e.from:e.to:e.to]}
		if t.IVSize > 0 {
			binary.BigEndian.PutUint64(s.IV[:], p.next[t.KID])
			p.next[t.KID]++
		} else {
			s.IV = cenc.IV(t.ConstantIV)
		}
		if !t.audio {
			var err error
			if s.Subsamples, err = t.slices(s.Data); err != nil {
				return err
			}
		}
		r.ivs, r.maps = append(r.ivs, s.IV), append(r.maps, s.Subsamples)
		if err := t.cipher.Encrypt(&s); err != nil {
			return err
		}
	}
	return nil
}

// slices maps a picture: of each NAL unit with picture data, the header stays
// clear, the rest is protected, in whole blocks with cenc.
func (t *protectedTrack) slices(data []byte) ([]cenc.Subsample, error) {
	var out []cenc.Subsample
	clear := 0
	flush := func(protected int) {
		for ; clear > math.MaxUint16; clear -= math.MaxUint16 {
			out = append(out, cenc.Subsample{Clear: math.MaxUint16})
		}
		out = append(out, cenc.Subsample{Clear: uint32(clear), Protected: uint32(protected)}) //nolint:gosec // within a sample
		clear = 0
	}
	for at := 0; at < len(data); {
		var length [4]byte
		if len(data)-at < t.nal {
			return nil, fmt.Errorf("%w: a sample that does not end with a NAL unit", ErrMalformed)
		}
		copy(length[4-t.nal:], data[at:at+t.nal])
		n := uint64(binary.BigEndian.Uint32(length[:]))
		if n > uint64(len(data)-at-t.nal) { //nolint:gosec // not negative
			return nil, fmt.Errorf("%w: a sample that does not end with a NAL unit", ErrMalformed)
		}
		whole := t.nal + int(n) //nolint:gosec // just bounded
		protected := 0
		if n > 0 && t.picture(data[at+t.nal]) && whole >= clearHead+cenc.BlockSize {
			if protected = whole - clearHead; t.Scheme == cenc.SchemeCENC {
				protected = protected / cenc.BlockSize * cenc.BlockSize
			}
		}
		if clear += whole - protected; protected > 0 {
			flush(protected)
		}
		at += whole
	}
	if clear > 0 || len(out) == 0 {
		flush(0)
	}
	if len(out) > maxMaps {
		return nil, fmt.Errorf("%w: protect a picture of over %d ranges", ErrUnsupported, maxMaps)
	}
	return out, nil
}

// picture reports whether a NAL unit with this first byte holds picture data.
func (t *protectedTrack) picture(head byte) bool {
	if t.hevc {
		return head>>1&63 < 32
	}
	return head&31 >= 1 && head&31 <= 5
}

// boxes of auxiliary information, as a track fragment gets them: saiz, saio and
// senc, the last. Constant vectors without maps need none. at is where they begin,
// from the moof box on.
func (r *run) boxes(at int) []byte {
	t := r.track
	if t.IVSize == 0 && t.audio {
		return nil
	}
	var entries, sizes []byte
	for i := range r.ivs {
		from := len(entries)
		entries = append(entries, r.ivs[i][:t.IVSize]...)
		if !t.audio {
			entries = binary.BigEndian.AppendUint16(entries, uint16(len(r.maps[i]))) //nolint:gosec // <= maxMaps
			for _, s := range r.maps[i] {
				entries = binary.BigEndian.AppendUint16(entries, uint16(s.Clear)) //nolint:gosec // see slices
				entries = binary.BigEndian.AppendUint32(entries, s.Protected)
			}
		}
		sizes = append(sizes, uint8(len(entries)-from)) //nolint:gosec // see maxMaps
	}
	n := binary.BigEndian.AppendUint32(nil, uint32(len(r.ivs))) //nolint:gosec // <= maxSamples
	same := byte(0)
	if len(sizes) > 0 && bytes.Count(sizes, sizes[:1]) == len(sizes) {
		same, sizes = sizes[0], nil
	}
	flags := byte(0)
	if !t.audio {
		flags = sencSubsample
	}
	saiz := makeBox("saiz", []byte{0, 0, 0, 0, same}, n, sizes)
	const saio = 20                                                           // bytes of its box
	first := binary.BigEndian.AppendUint32(nil, uint32(at+len(saiz)+saio+16)) //nolint:gosec // in a fragment
	return bytes.Join([][]byte{saiz, makeBox("saio", make([]byte, 4), []byte{0, 0, 0, 1}, first), makeBox("senc", []byte{0, 0, 0, flags}, n, entries)}, nil)
}

func makeBox(typ string, parts ...[]byte) []byte {
	b := append(make([]byte, 4, 64), typ...)
	for _, p := range parts {
		b = append(b, p...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b))) //nolint:gosec // boxes made here are small
	return b
}
