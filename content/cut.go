package content

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Part is a part of a media segment.
type Part struct {
	From, To int64 // its place in the segment
	// Head and the bytes of the part behind it are a media segment of their own, of
	// the same track, time and keys. Without a head nothing in the part is protected.
	// The next part takes its memory.
	Head []byte
}

// Cutter cuts a protected media segment, so that whoever decrypts it or encrypts it
// again has only a part of it in memory. What is done to the parts one after
// another is what would have been done to the segment: each protected sample is in
// one part, whole, and the boxes of the segment are in others.
type Cutter struct {
	view *View
	most int64
	at   int64 // parts before it were given
	unit int   // whose jobs these are
	jobs []job // that were not given
	head []byte
}

// Cut begins to cut a media segment of a size. A part is at most so many bytes long,
// with its head, or as long as one sample; of the segment nothing else is in memory
// than the boxes of one fragment. It takes what Fragment takes, but each mdat box
// follows its moof box.
func (in *Init) Cut(src io.ReaderAt, size, most int64) (*Cutter, error) {
	v, err := Open(src, size, ViewConfig{Init: in})
	if err != nil {
		return nil, err
	}
	if v.movie >= 0 {
		return nil, fmt.Errorf("%w: a moov box in a fragment", ErrMalformed)
	}
	v.timed = true
	return &Cutter{view: v, most: max(most, 1), unit: -1}, nil
}

// Next gives the next part, and io.EOF behind the last one.
func (c *Cutter) Next() (Part, error) {
	p := Part{From: c.at}
	if c.at >= c.view.size {
		return p, io.EOF
	}
	i, in, err := c.view.find(c.at)
	if err != nil {
		return p, err
	}
	p.To = c.view.next // what is no fragment passes up to the next one
	if !in && i < len(c.view.units) {
		p.To = c.view.units[i].from
	}
	if in {
		if err := c.enter(i); err != nil {
			return p, err
		}
		u := &c.view.units[i]
		if p.To = u.to; len(c.jobs) > 0 {
			if p.To = u.from + int64(c.jobs[0].off); p.To == p.From {
				return c.cut(u)
			}
		}
	}
	p.To = min(p.To, p.From+c.most)
	c.at = p.To
	return p, nil
}

// enter reads what is protected in a fragment.
func (c *Cutter) enter(i int) error {
	if i == c.unit {
		return nil
	}
	w, err := c.view.describe(i)
	if err != nil {
		return err
	}
	c.unit, c.jobs = i, slices.DeleteFunc(w.jobs, func(j job) bool { return j.size == 0 })
	return nil
}

// cut gives the samples at this place, of one track and one protection, that follow
// each other in place and in time.
func (c *Cutter) cut(u *unit) (Part, error) {
	first := &c.jobs[0]
	n, size, next := 1, first.load(), first
	for n < len(c.jobs) {
		j := &c.jobs[n]
		size += j.load()
		if j.track != first.track || j.entry != first.entry || j.prot != first.prot || j.off != next.off+next.size ||
			j.start != next.start+uint64(next.duration) || size+maxFixed > c.most {
			break
		}
		n, next = n+1, j
	}
	p := Part{From: c.at, To: u.from + int64(next.off+next.size)}
	if err := c.write(c.jobs[:n], p.To-p.From); err != nil {
		return p, err
	}
	p.Head, c.at, c.jobs = c.head, p.To, c.jobs[n:]
	return p, nil
}

// maxFixed is the most of a head that does not depend on how many samples the part
// has, in bytes.
const maxFixed = 300

// load is what a sample adds to a part and its head, in bytes.
func (j *job) load() int64 {
	return int64(j.size) + 8 + int64(j.prot.IVSize) + 2 + 6*int64(len(j.subs))
}

// write makes the boxes in front of samples of some bytes.
func (c *Cutter) write(jobs []job, bytes int64) error {
	first := &jobs[0]
	c.head = c.head[:0]
	moof := c.begin("moof")
	c.words("mfhd", 0, 0)
	traf := c.begin("traf")
	index := uint32(1)
	for i := range first.track.Entries {
		if &first.track.Entries[i] == first.entry {
			index = uint32(i) + 1
		}
	}
	c.words("tfhd", tfhdFromMoof|tfhdEntry, first.track.ID, index)
	c.words("tfdt", 1<<24, uint32(first.start>>32), uint32(first.start)) //nolint:gosec // its two halves
	place := len(c.head) + 16
	c.words("trun", trunOffset|trunDuration|trunSize, uint32(len(jobs)), 0) //nolint:gosec // <= maxSamples
	trun := place - 16
	for i := range jobs {
		c.word(jobs[i].duration, uint32(jobs[i].size)) //nolint:gosec // read as such
	}
	c.end(trun)
	if err := c.group(first, len(jobs)); err != nil {
		return err
	}
	c.senc(jobs)
	c.end(traf)
	c.end(moof)
	mdat := c.begin("mdat")
	if int64(len(c.head))+bytes > MaxFragment {
		return fmt.Errorf("%w: sample of %d bytes", ErrUnsupported, bytes)
	}
	binary.BigEndian.PutUint32(c.head[place:], uint32(len(c.head))) //nolint:gosec // bounded above
	binary.BigEndian.PutUint32(c.head[mdat:], uint32(8+bytes))      //nolint:gosec // bounded above
	return nil
}

// group puts samples into a group of seig, where their sample description does not
// say how they are protected.
func (c *Cutter) group(first *job, n int) error {
	p := first.prot
	if p == &first.entry.protection {
		return nil
	}
	scheme := first.entry.Scheme
	if scheme == 0 {
		scheme = first.track.scheme()
	}
	if p.Scheme != scheme {
		return fmt.Errorf("%w: a fragment in another scheme than its track", ErrUnsupported)
	}
	sgpd := c.begin("sgpd")
	c.head = append(append(c.head, 1, 0, 0, 0), "seig"...)
	constant := p.ConstantIV
	length := 20
	if p.IVSize == 0 {
		length += 1 + len(constant)
	}
	c.word(uint32(length), 1)
	c.head = append(append(c.head, 0, p.Crypt<<4|p.Skip, 1, p.IVSize), p.KID[:]...)
	if p.IVSize == 0 {
		c.head = append(append(c.head, uint8(len(constant))), constant...) //nolint:gosec // 8 or 16
	}
	c.end(sgpd)
	sbgp := c.begin("sbgp")
	c.head = append(append(c.head, 0, 0, 0, 0), "seig"...)
	c.word(1, uint32(n), localGroup+1) //nolint:gosec // <= maxSamples
	c.end(sbgp)
	return nil
}

// senc describes the samples, if there is something to describe.
func (c *Cutter) senc(jobs []job) {
	size, maps := jobs[0].prot.IVSize, uint32(0)
	for i := range jobs {
		if len(jobs[i].subs) > 0 {
			maps = sencSubsample
		}
	}
	if size == 0 && maps == 0 {
		return
	}
	senc := c.begin("senc")
	c.word(maps, uint32(len(jobs))) //nolint:gosec // <= maxSamples
	for i := range jobs {
		j := &jobs[i]
		c.head = append(c.head, j.iv[:size]...)
		if maps == 0 {
			continue
		}
		c.head = binary.BigEndian.AppendUint16(c.head, uint16(len(j.subs))) //nolint:gosec // read as such
		for _, s := range j.subs {
			c.head = binary.BigEndian.AppendUint16(c.head, uint16(s.Clear)) //nolint:gosec // read as such
			c.word(s.Protected)
		}
	}
	c.end(senc)
}

// begin begins a box and gives its place.
func (c *Cutter) begin(typ string) (at int) {
	at = len(c.head)
	c.head = append(append(c.head, 0, 0, 0, 0), typ...)
	return at
}

// end sets the length of a box.
func (c *Cutter) end(at int) {
	binary.BigEndian.PutUint32(c.head[at:], uint32(len(c.head)-at)) //nolint:gosec // a head is below maxSamples * 16 bytes and maps
}

func (c *Cutter) word(all ...uint32) {
	for _, w := range all {
		c.head = binary.BigEndian.AppendUint32(c.head, w)
	}
}

// words is a box of numbers.
func (c *Cutter) words(typ string, all ...uint32) {
	at := c.begin(typ)
	c.word(all...)
	c.end(at)
}
