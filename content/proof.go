package content

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// ErrWrongKey is returned when what was decrypted is not what its codec allows.
var ErrWrongKey = errors.New("content: wrong key")

// A wrong key decrypts as well as the right one, into noise. What tells them
// apart, codec by codec:
//
// A NAL unit of H.264 or HEVC never has 0, 0 and a number up to 2 in a row, nor a
// zero at its end; noise has the one four times in 2^24 bytes (with 0, 0, 3 and
// more than 3), the other in each 256th unit. Sound mostly begins each sample
// with the same three bits (AAC: the kind of element; Opus: its configuration;
// FLAC and AC-3: a fixed word); noise has all eight values alike. Of other codecs
// nothing is known that survives in the protected bytes.

// Thresholds. Source: local; the chance that noise passes is below e^-12 then.
const (
	proofEnough = 12   // faults that noise would have had by now
	proofFaults = 2    // faults that a right key does not have
	proofFirst  = 24   // samples of sound before their first bits say anything
	proofLast   = 4096 // samples of sound, and no more
)

// use is a key together with what it protects.
type use struct {
	kid   ident.Key
	codec string
}

// evidence is what was seen of one use of a key.
type evidence struct {
	broken   bool // a length that was protected leads out of its sample
	faults   int
	expected float64 // faults of noise
	first    [8]int  // sound: the first three bits of its samples
	samples  int
}

// proof collects evidence for each use of a key.
type proof struct{ of map[use]*evidence }

func newProof() *proof { return &proof{map[use]*evidence{}} }

// see looks at a decrypted sample.
func (p *proof) see(j *job, data []byte) {
	u := use{j.prot.KID, j.entry.Format}
	e := p.of[u]
	if e == nil {
		e = &evidence{}
		p.of[u] = e
	}
	switch {
	case len(data) == 0:
	case j.entry.nal > 0 && e.expected < proofEnough:
		e.units(j, data)
	case isSound(u.codec) && e.samples < proofLast && j.encrypted(0):
		e.samples++
		e.first[data[0]>>5]++
	}
}

func isSound(codec string) bool {
	return slices.Contains([]string{"mp4a", "Opus", "fLaC", "ac-3", "ec-3"}, codec)
}

// units walks the NAL units of a sample.
func (e *evidence) units(j *job, data []byte) {
	size := int(j.entry.nal)
	for at := 0; at < len(data); {
		n := uint64(len(data)) // too much, when there is no room for a length
		if len(data)-at >= size {
			var b [4]byte
			copy(b[4-size:], data[at:at+size])
			n = uint64(binary.BigEndian.Uint32(b[:]))
		}
		from := at + size
		if n > uint64(max(len(data)-from, 0)) {
			e.broken = e.broken || j.encrypted(at) // else the sample is damaged, whatever the key
			return
		}
		at = from + int(n) //nolint:gosec // just bounded
		if n > 0 {
			e.unit(j, data, from, at)
		}
	}
}

// unit looks at one NAL unit with protected bytes in it.
func (e *evidence) unit(j *job, data []byte, from, to int) {
	n := j.hidden(from, to)
	if n == 0 {
		return
	}
	e.expected += float64(n) * 4 / (1 << 24)
	if j.encrypted(to - 1) {
		e.expected += 1. / 256
		if data[to-1] == 0 {
			e.faults++
		}
	}
	for b := data[from:to]; ; {
		i := bytes.Index(b, []byte{0, 0})
		if i < 0 || i+2 >= len(b) {
			return
		}
		if next := b[i+2]; next < 3 || next == 3 && i+3 < len(b) && b[i+3] > 3 {
			e.faults++
		}
		b = b[i+2:]
	}
}

// hidden is the number of encrypted bytes in a part of a sample, roughly where a
// range begins or ends within it.
func (j *job) hidden(from, to int) int {
	total := 0
	j.ranges(func(a, b int) {
		n := max(0, min(b, to)-max(a, from))
		if c, s := int(j.prot.Crypt), int(j.prot.Skip); s > 0 {
			n = n * c / (c + s)
		}
		total += n
	})
	return total
}

// encrypted reports whether a byte of a sample is encrypted.
func (j *job) encrypted(at int) (yes bool) {
	j.ranges(func(a, b int) {
		if at < a || at >= b {
			return
		}
		block, whole := (at-a)/16, (b-a)/16
		switch c, s := int(j.prot.Crypt), int(j.prot.Skip); {
		case s > 0:
			yes = block%(c+s) < c && block/(c+s)*(c+s)+c <= whole
		case j.prot.Scheme == cenc.SchemeCENC:
			yes = true
		default:
			yes = block < whole
		}
	})
	return yes
}

// ranges calls f with each protected range.
func (j *job) ranges(f func(from, to int)) {
	if len(j.subs) == 0 {
		f(0, j.size)
		return
	}
	at := 0
	for _, s := range j.subs {
		at += int(s.Clear)
		f(at, at+int(s.Protected))
		at += int(s.Protected)
	}
}

// wrong reports whether the key cannot be the right one, all things seen. Far more
// faults than noise has are those of an encoder.
func (e *evidence) wrong() bool {
	noise := e.expected >= 1 && e.faults >= proofFaults && float64(e.faults) <= 4*e.expected+8
	return e.broken || noise || e.samples >= proofFirst && slices.Max(e.first[:])*2 < e.samples
}

// right reports whether a wrong key would have been found out.
func (e *evidence) right() bool {
	return !e.wrong() && (e.expected >= proofEnough && e.faults == 0 || e.samples >= proofFirst)
}

// failed is the error as soon as a key is found to be wrong.
func (p *proof) failed(unchecked bool) error {
	if unchecked {
		return nil
	}
	for u, e := range p.of {
		if e.wrong() {
			return fmt.Errorf("%w: what key %v decrypts is not %s", ErrWrongKey, u.kid, u.codec)
		}
	}
	return nil
}

// verdict is failed at the end of a file, where less is enough.
func (p *proof) verdict(unchecked bool) error {
	if unchecked {
		return nil
	}
	for u, e := range p.of {
		if e.wrong() || e.faults > 0 && e.expected < 1 {
			return fmt.Errorf("%w: what key %v decrypts is not %s", ErrWrongKey, u.kid, u.codec)
		}
	}
	return nil
}

// Unproven lists the keys that were used and of which the codec does not tell, or
// not in so few samples, whether they were right.
func (f *View) Unproven() []ident.Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	proven := map[ident.Key]bool{}
	for u, e := range f.proof.of {
		proven[u.kid] = proven[u.kid] || e.right()
	}
	var out []ident.Key
	for kid, yes := range proven {
		if !yes {
			out = append(out, kid)
		}
	}
	slices.SortFunc(out, func(a, b ident.Key) int { return bytes.Compare(a[:], b[:]) })
	return out
}
