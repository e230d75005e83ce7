package audit

import (
	"crypto"
	"fmt"
)

// Fault is a place at which a log is not what was written.
type Fault struct {
	Seq  uint64 `json:"seq"`
	What string `json:"what"`
}

// Verifier follows a chain entry by entry, from the first one on.
type Verifier struct {
	pub    crypto.PublicKey
	last   Entry
	at     map[uint64]Hash // of the entries that heads may name: all, 40 bytes each
	faults []Fault
	heads  int
}

// NewVerifier begins with an empty chain.
func NewVerifier(pub crypto.PublicKey) *Verifier {
	return &Verifier{pub: pub, at: map[uint64]Hash{0: {}}}
}

func (v *Verifier) fault(seq uint64, format string, args ...any) {
	v.faults = append(v.faults, Fault{seq, fmt.Sprintf(format, args...)})
}

// Entry takes the next entry.
func (v *Verifier) Entry(e Entry) {
	switch {
	case e.Seq == 0 || e.Seq <= v.last.Seq:
		v.fault(e.Seq, "entry %d stands behind entry %d: it was moved or doubled", e.Seq, v.last.Seq)
		return
	case e.Seq != v.last.Seq+1:
		v.fault(e.Seq, "entries %d to %d are missing", v.last.Seq+1, e.Seq-1)
	case v.last.Seq == 0 && e.Prev != Hash{}:
		v.fault(e.Seq, "the first entry follows another one: the beginning was cut off")
	case v.last.Seq != 0 && e.Prev != v.last.Hash():
		v.fault(v.last.Seq, "entry %d is not the one that entry %d follows: one of them was changed", v.last.Seq, e.Seq)
	}
	if err := e.Check(); err != nil {
		v.fault(e.Seq, "entry %d is malformed", e.Seq)
	}
	v.at[e.Seq], v.last = e.Hash(), e
}

// Head takes a signed head, after the entry that it names.
func (v *Verifier) Head(signed []byte) Head {
	h, err := ParseHead(signed, v.pub)
	if err != nil {
		v.fault(0, "%v", err)
		return h
	}
	v.heads++
	have, known := v.at[h.Seq]
	switch {
	case !known:
		v.fault(h.Seq, "the head of %s says that there were %d entries: the end was cut off", h.name(), h.Seq)
	case have != h.Hash:
		v.fault(h.Seq, "entry %d is not the one that the head of %s signs: it was changed, or entries before it", h.Seq, h.name())
	case h.Day == "" && h.Seq != v.last.Seq:
		v.fault(h.Seq, "entries follow the end of the export")
	}
	return h
}

func (h *Head) name() string {
	if h.Day == "" {
		return "the export"
	}
	return h.Day
}

// Report is what a verification found.
type Report struct {
	Entries uint64  `json:"entries"`
	Heads   int     `json:"heads"`
	Faults  []Fault `json:"faults"`
}

// Report ends the verification.
func (v *Verifier) Report() Report {
	if v.faults == nil {
		v.faults = []Fault{}
	}
	return Report{Entries: v.last.Seq, Heads: v.heads, Faults: v.faults}
}
