package transfer

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// exampleLend is the LEND of the page.
func exampleLend() *Lend {
	return &Lend{TID: exampleTID(), Low: 0, Child: ident.License(bytes.Repeat([]byte{6}, 16)), Number: 1, Until: 1_800_000_000_000, Chain: [][]byte{{0xaa}, {0xab}}, Bundle: []byte{0xbb}}
}

// loanExamples is the LEND of the page, and the RETURNED, the RELEASE, the
// CONFIRM and the closing message that are signed with its key.
func loanExamples(tb testing.TB) [][]byte {
	tb.Helper()
	key, id := exampleKey(tb)
	leaf, tid, hash := []byte("certificate"), exampleTID(), [32]byte(bytes.Repeat([]byte{4}, 32))
	lend, err1 := exampleLend().Encode()
	back := tid
	back.Dst = id
	returned, err2 := SignReturn(key, leaf, Return{TID: back, Child: exampleLend().Child, Number: 1, Spent: 1})
	release, err3 := SignDecision(key, leaf, Decision{TID: tid, XferHash: hash, Regrant: map[uint64]uint64{1: 2}})
	confirm, err4 := SignDecision(key, leaf, Decision{TID: tid, XferHash: hash, Confirm: true})
	out := tid
	out.Src = id
	closing, err5 := SignClosing(key, leaf, Done{TID: out, Low: 1})
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		tb.Fatal(err)
	}
	return [][]byte{lend, returned, release, confirm, closing}
}

func TestTransfer_3_WorkedExamples(t *testing.T) {
	page := pageExamples(t)[6:]
	for i, got := range loanExamples(t) {
		if i >= len(page) || !bytes.Equal(got, page[i]) {
			t.Errorf("example %d is\n%x", i, got)
		}
	}
	if len(page) != 5 {
		t.Fatalf("%d examples on the page, want 5", len(page))
	}
	key, id := exampleKey(t)
	m, err := ParseLend(page[0])
	if err != nil || cmp.Diff(exampleLend(), m) != "" {
		t.Errorf("the page's LEND: %+v, %v", m, err)
	}
	r, err := parseReturned(page[1], &key.PublicKey)
	if err != nil || r.TID.Dst != id || r.Child != m.Child || r.Number != 1 || r.Spent != 1 {
		t.Errorf("the page's RETURNED: %+v, %v", r, err)
	}
	for i, confirm := range []bool{false, true} {
		d, sig, err := readDecision(page[2+i])
		if err != nil || d.Confirm != confirm || d.TID != exampleTID() || len(d.Regrant) != 1-i || sig.Verify(&key.PublicKey) != nil {
			t.Errorf("the page's decision: %+v, %v", d, err)
		}
	}
}

func FuzzParseLend(f *testing.F) {
	data, err := exampleLend().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := ParseLend(in)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil || !bytes.Equal(again, in) {
			t.Errorf("%x encodes again as %x (%v)", in, again, err)
		}
		low := *m
		if low.Low = 0; low.Hash() != m.Hash() {
			t.Errorf("%x: low is part of the hash", in)
		}
	})
}

// FuzzParseReturned, FuzzParseDecision and FuzzParseClosing fuzz the payloads:
// what is signed is what the reader read.
func FuzzParseReturned(f *testing.F) {
	_, id := exampleKey(f)
	tid := exampleTID()
	tid.Dst = id
	payload, err := wire.Marshal(returnWire{Type: typeReturned, TID: tid, Child: ident.License{6}, Number: 1, Spent: 2})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, in []byte) {
		key, id := exampleKey(t)
		data, err := wire.NewSign1(key, []byte("certificate"), ObjectReturned, in)
		if err != nil {
			return
		}
		r, err := parseReturned(data, &key.PublicKey)
		if err != nil {
			return
		}
		if again, err := SignReturn(key, []byte("certificate"), r.Return); err != nil || !bytes.Equal(again, data) || r.TID.Dst != id || !r.verified {
			t.Errorf("%x is signed again as %x (%v)", data, again, err)
		}
	})
}

func FuzzParseDecision(f *testing.F) {
	release, err1 := wire.Marshal(releaseWire{Type: typeRelease, TID: exampleTID(), Hash: [32]byte{4}, Regrant: map[uint64]uint64{1: 2}})
	confirm, err2 := wire.Marshal(confirmWire{Type: typeConfirm, TID: exampleTID(), Hash: [32]byte{4}})
	if err := errors.Join(err1, err2); err != nil {
		f.Fatal(err)
	}
	f.Add(false, release)
	f.Add(true, confirm)
	f.Fuzz(func(t *testing.T, isConfirm bool, in []byte) {
		key, _ := exampleKey(t)
		obj := ObjectRelease
		if isConfirm {
			obj = ObjectConfirm
		}
		data, err := wire.NewSign1(key, []byte("certificate"), obj, in)
		if err != nil {
			return
		}
		d, _, err := readDecision(data)
		if err != nil {
			return
		}
		if again, err := SignDecision(key, []byte("certificate"), d); err != nil || !bytes.Equal(again, data) || d.Confirm != isConfirm {
			t.Errorf("%x is signed again as %x (%v)", data, again, err)
		}
	})
}

func FuzzParseClosing(f *testing.F) {
	for _, m := range []Message{Done{TID: exampleTID(), Low: 1}, Cancel{TID: exampleTID()}, Query{TID: exampleTID()}} {
		payload, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		src, dst := exampleTID().Src, exampleTID().Dst
		var read []Message
		for _, by := range []ident.Device{src, dst, {9}} {
			m, err := parseMarkOf(in, by)
			if err != nil {
				continue
			}
			if again, err := m.Encode(); err != nil || !bytes.Equal(again, in) {
				t.Errorf("%x encodes again as %x (%v)", in, again, err)
			}
			if q, ok := m.(Query); by != src && (!ok || q.TID.Src != by && q.TID.Dst != by) {
				if tid := sideOf(m); tid.Src != by {
					t.Errorf("%v says %+v", by, m)
				}
			}
			read = append(read, m)
		}
		for _, m := range read {
			if d := cmp.Diff(read[0], m); d != "" {
				t.Errorf("%x is two things: %s", in, d)
			}
		}
	})
}

func sideOf(m Message) ident.Transfer {
	switch m := m.(type) {
	case Done:
		return m.TID
	case Cancel:
		return m.TID
	}
	return ident.Transfer{}
}

// loanRecords is a disk with a record of each kind of a loan and of an arbiter,
// and what the borrower's machine is compacted to in between.
func loanRecords(tb testing.TB, a, b *party) (out, snap []Record) {
	tb.Helper()
	keep := func(recs []Record, err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, recs...)
	}
	lend := func() *Lend {
		m, recs, err := a.src.Lend(loanOf(b, 1000))
		keep(recs, err)
		return m
	}
	take := func(m *Lend) {
		res, err := b.dst.Borrow(m, lendYes)
		keep(res.Records, err)
	}
	first, second := lend(), lend()
	take(first)
	take(second)
	r, recs, err := b.dst.GiveBack(first.TID, 1)
	keep(recs, err)
	_, recs, err = a.src.Cancel(first.TID)
	keep(recs, err)
	if snap, err = b.dst.Snapshot(); err != nil {
		tb.Fatal(err)
	}
	o, _, err := a.src.Returned(&Returned{Return: r, verified: true})
	keep(o.Records, err)
	o, err = a.src.Expire(second.TID, 1<<50, 0)
	keep(o.Records, err)
	x, recs, err := a.src.Prepare(Order{Dst: b.id, Body: bodyFor(1)})
	keep(recs, err)
	d := Decision{TID: x.TID, XferHash: x.Hash(), Regrant: map[uint64]uint64{1: 1}}
	judge := NewArbiter()
	_, recs, err = judge.Decide(d, 1000, 1<<50)
	keep(recs, err)
	o, err = a.src.Release(decided(d))
	keep(o.Records, err)
	res, err := b.dst.Receive(x, yes)
	keep(res.Records, err)
	other, recs, err := a.src.Prepare(Order{Dst: b.id, Body: bodyFor(2)})
	keep(recs, err)
	res, err = b.dst.Receive(other, yes)
	keep(res.Records, err)
	res, err = b.dst.Released(decided(Decision{TID: other.TID, XferHash: other.Hash()}))
	keep(res.Records, err)
	d.Confirm, d.Regrant = true, nil
	recs, err = b.dst.Confirm(decided(d))
	keep(recs, err)
	return out, snap
}
