package content

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// Fragment is a parsed media segment: what to decrypt, and what to rename then.
type Fragment struct {
	seg        []byte
	jobs       []job
	edits      []edit
	kids       []ident.Key
	pssh       []cenc.PSSH
	protected  int
	samples    int
	foreign    cenc.Scheme // of samples that cannot be decrypted; 0: there are none
	start, end uint64      // media ms
	used       bool
}

// job is one protected sample.
type job struct {
	off, size int
	prot      *protection
	entry     *Entry // the sample description, which names the codec
	iv        cenc.IV
	subs      []cenc.Subsample
	track     *Track
	start     uint64 // decode time, ticks; of a fragment's sample, as duration
	duration  uint32 // ticks
}

// protected is the length of its protected ranges, in bytes.
func (j *job) protected() int {
	if len(j.subs) == 0 {
		return j.size
	}
	n := 0
	for _, s := range j.subs {
		n += int(s.Protected)
	}
	return n
}

// Keys finds the content key of a key ID.
type Keys func(ident.Key) (cenc.ContentKey, error)

// Fragment reads a media segment: one or several moof and mdat boxes, with
// styp, sidx and the like around them. Decrypt and Reencrypt then work in seg
// itself. Segments whose offsets are absolute are refused: use FragmentAt.
func (in *Init) Fragment(seg []byte) (*Fragment, error) { return in.FragmentAt(seg, -1) }

// FragmentAt is Fragment for a segment that begins at a known byte of its file.
func (in *Init) FragmentAt(seg []byte, at int64) (*Fragment, error) {
	return in.fragment(seg, at, false)
}

func (in *Init) fragment(seg []byte, at int64, hollow bool) (*Fragment, error) {
	if len(seg) > MaxFragment {
		return nil, fmt.Errorf("%w: fragment over %d bytes", ErrMalformed, MaxFragment)
	}
	top, err := boxes(seg, 0, len(seg))
	if err != nil {
		return nil, err
	}
	p := parser{in: in, seg: seg, size: len(seg), at: at, hollow: hollow, timed: true, f: newFragment(seg)}
	return p.f, p.parse(top)
}

func newFragment(seg []byte) *Fragment { return &Fragment{seg: seg, start: ^uint64(0)} }

// KIDs lists the keys that the fragment needs, each once, in order of use.
func (f *Fragment) KIDs() []ident.Key { return slices.Clone(f.kids) }

// Bytes is the number of protected bytes: all ranges that subsample maps or
// whole-sample encryption cover, the gaps of a pattern included.
func (f *Fragment) Bytes() int { return f.protected }

// Time gives the decode time of the fragment's first sample and the length of
// all of them, in milliseconds of media, rounded down and up.
func (f *Fragment) Time() (startMS, durMS int64) {
	if f.start > f.end { // the file says none
		return 0, 0
	}
	return int64(f.start), int64(f.end - f.start) //nolint:gosec // both below 2^53: see stamp
}

// Decrypt turns the segment into clear content in place. It fails before the
// first byte changes or not at all, and works once.
func (f *Fragment) Decrypt(keys Keys) error {
	from, err := f.ciphers(keys)
	defer closed(from)
	if err != nil {
		return err
	}
	f.used = true
	for i := range f.jobs {
		s := f.sample(&f.jobs[i])
		if err := from[f.jobs[i].prot.KID].Decrypt(&s); err != nil {
			return err
		}
	}
	apply(f.seg, f.edits)
	return nil
}

// Reencrypt replaces the keys in place, sample by sample, and leaves every box
// and IV as it is: link encryption. The keys of to are fresh for each session,
// so no IV meets a key twice. It fails before the first byte changes or not at
// all, and works once.
func (f *Fragment) Reencrypt(from, to Keys) error {
	dec, err := f.ciphers(from)
	defer closed(dec)
	if err != nil {
		return err
	}
	enc, err := f.ciphers(to)
	defer closed(enc)
	if err != nil {
		return err
	}
	f.used = true
	for i := range f.jobs {
		s := f.sample(&f.jobs[i])
		if err := dec[f.jobs[i].prot.KID].Decrypt(&s); err != nil {
			return err
		}
		if err := enc[f.jobs[i].prot.KID].Encrypt(&s); err != nil {
			return err
		}
	}
	return nil
}

// ciphers fetches every key of the fragment. What it returns beside an error is
// to be closed, too.
func (f *Fragment) ciphers(keys Keys) (map[ident.Key]*cenc.Cipher, error) {
	if f.used {
		return nil, ErrUsed
	}
	out := make(map[ident.Key]*cenc.Cipher, len(f.kids))
	for _, kid := range f.kids {
		c, err := newCipher(keys, kid)
		if err != nil {
			return out, err
		}
		out[kid] = c
	}
	return out, nil
}

func newCipher(keys Keys, kid ident.Key) (*cenc.Cipher, error) {
	k, err := keys(kid)
	if err != nil {
		return nil, fmt.Errorf("content key %v: %w", kid, err)
	}
	c, err := cenc.NewCipher(k)
	if err != nil {
		return nil, fmt.Errorf("content key %v: %w", kid, err)
	}
	return c, nil
}

// closed overwrites what the ciphers hold, as soon as the fragment is done.
func closed(all map[ident.Key]*cenc.Cipher) {
	for _, c := range all {
		c.Close()
	}
}

func (f *Fragment) sample(j *job) cenc.Sample {
	return j.sample(f.seg[j.off : j.off+j.size : j.off+j.size])
}

func (j *job) sample(data []byte) cenc.Sample {
	return cenc.Sample{
		Scheme: j.prot.Scheme, IV: j.iv, Crypt: j.prot.Crypt, Skip: j.prot.Skip,
		Subsamples: j.subs, Data: data,
	}
}

// add checks a job and takes it in: what Decrypt relies on is decided here.
func (f *Fragment) add(j job) error {
	s := j.sample(nil)
	if err := s.CheckSize(j.size); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !slices.Contains(f.kids, j.prot.KID) {
		if len(f.kids) == maxEntries {
			return fmt.Errorf("%w: over %d keys", ErrMalformed, maxEntries)
		}
		f.kids = append(f.kids, j.prot.KID)
	}
	f.protected += j.protected()
	f.jobs = append(f.jobs, j)
	return nil
}

// stamp widens the fragment's time by a track's.
func (f *Fragment) stamp(ticks, duration uint64, timescale uint32) error {
	end, carry := bits.Add64(ticks, duration, 0)
	hi, lo := bits.Mul64(end, 1000)
	lo, up := bits.Add64(lo, uint64(timescale)-1, 0)
	hi += up
	if carry != 0 || hi >= uint64(timescale) {
		return fmt.Errorf("%w: decode time", ErrMalformed)
	}
	endMS, _ := bits.Div64(hi, lo, uint64(timescale))
	hi, lo = bits.Mul64(ticks, 1000)
	startMS, _ := bits.Div64(hi, lo, uint64(timescale))
	if endMS >= 1<<53 {
		return fmt.Errorf("%w: decode time", ErrMalformed)
	}
	f.start, f.end = min(f.start, startMS), max(f.end, endMS)
	return nil
}
