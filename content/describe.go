package content

import (
	"fmt"
	"math"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// Piece is what a file says of a part of its samples: of a fragment, or of some
// samples of a track of a progressive file.
type Piece struct {
	At, Bytes           int64 // in the file; a fragment's with its boxes
	Fragment            bool
	StartMS, DurationMS int64 // of a fragment that has a time, as Fragment.Time
	Samples             int
	Keys                []KeyUse
	PSSH                []cenc.PSSH // of the fragment itself
}

// KeyUse is how samples of a piece are protected under one key.
type KeyUse struct {
	KID         ident.Key
	Scheme      cenc.Scheme
	Codec       string // original format
	Crypt, Skip uint8  // pattern, in blocks
	IVSize      uint8  // bytes a sample; 0: constant
	Samples     int
	Mapped      int // samples with a subsample map
	Subsamples  int // in all maps
	Bytes       int // protected, as Fragment.Bytes
}

// Describe visits the pieces of the whole file, in its order. It needs no key.
func (f *View) Describe(visit func(*Piece) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := 0; ; i++ {
		for i >= len(f.units) || f.units[i].table != nil && !f.units[i].placed {
			more, err := f.more()
			if err != nil {
				return err
			}
			if !more && i >= len(f.units) {
				return nil
			}
			if !more {
				return errOutside
			}
		}
		w, err := f.describe(i)
		if err != nil {
			return fmt.Errorf("at byte %d: %w", f.units[i].from, err)
		}
		u := &f.units[i]
		p := &Piece{At: u.from, Bytes: u.to - u.from, Fragment: u.table == nil, Samples: w.samples, Keys: w.uses(), PSSH: w.pssh}
		if u.table != nil {
			p.Samples = u.n
		}
		p.StartMS, p.DurationMS = w.Time()
		if err := visit(p); err != nil {
			return err
		}
	}
}

func (f *Fragment) uses() []KeyUse {
	var out []KeyUse
	at := map[*protection]int{}
	for i := range f.jobs {
		j := &f.jobs[i]
		k, ok := at[j.prot]
		if !ok {
			k = len(out)
			at[j.prot] = k
			p := j.prot
			out = append(out, KeyUse{KID: p.KID, Scheme: p.Scheme, Codec: j.entry.Format, Crypt: p.Crypt, Skip: p.Skip, IVSize: p.IVSize})
		}
		u := &out[k]
		u.Samples++
		u.Bytes += j.protected()
		if u.Subsamples += len(j.subs); len(j.subs) > 0 {
			u.Mapped++
		}
	}
	return out
}

// Streamed reports whether the file is read as a stream, so that its size is not
// known before its end.
func (f *View) Streamed() bool { return f.size == math.MaxInt64 }
