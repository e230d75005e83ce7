package transfer

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

// The exhaustive test of loans: docs/model/lend.pml on the real machines. Time
// goes in ticks. The lender knows a proven time that is never ahead of the true
// one, and the borrower's clock may be one tick behind it, which is the guard.
const loanGuard = 1

// The two sides.
const (
	lender   = 0
	borrower = 1
)

// loanWorld is one state: what is on the two disks, every message that was ever
// sent, by receiver, the true time, and the time that is proven to the lender.
type loanWorld struct {
	disk      [2]int    // index into loanExplorer.disks
	msgs      [2]uint64 // bits: index into loanExplorer.msgs
	now       int64
	proven    int64
	announced bool // a mutant's: the lender uses the right since its CANCEL
}

// loanFlaws are what the driver of the machines does wrong, on purpose: each
// must be caught. The zero value does nothing wrong.
type loanFlaws struct {
	anyNumber   bool // the lender ends a loan on a RETURNED of any number
	revive      bool // the borrower takes a renewal of what it gave back
	forget      bool // the borrower forgets the tombstone
	ownTime     bool // the lender counts its own time, which may run ahead
	noGuard     bool
	slowClock   bool // the borrower uses the right on a clock two ticks behind
	noJudge     bool // the borrower renews what has ended, and uses it
	shorter     bool // a renewal may end earlier
	sendFirst   bool // messages leave before the records are durable
	recallEnds  bool // the lender uses the right once it has asked it back
	cancelFirst bool // a RETURNED of an older number is answered with the CANCEL
}

type loanBounds struct {
	loans   uint64 // one after the other
	numbers uint64 // of each: LEND and its renewals
	end     int64  // the latest end of a loan
}

// loanEvent is what one side does, apart from the time at which it does it.
type loanEvent struct {
	do     string
	msg    int   // get, refuse
	until  int64 // lend, renew
	tid    ident.Transfer
	proven int64 // expire
}

// loanView is what a disk says.
type loanView struct {
	out   []Lent
	doubt []ident.Transfer // of these: asked back, or in doubt
	here  []Borrowing
	next  uint64 // number of the next loan
}

type loanStep struct {
	disk  int
	event loanEvent
}

type loanEffect struct {
	disk     int
	send     uint64
	recalled []ident.Transfer
	err      error
}

// loanExplorer visits every state within bounds. What a side does depends on its
// disk and the event only, so each step is run once.
type loanExplorer struct {
	t       *testing.T
	bounds  loanBounds
	flaws   loanFlaws
	parties [2]*party
	disks   [2][][]Record
	views   [2][]loanView // of each disk
	diskIDs [2]map[string]int
	msgs    [2][]string // by receiver
	ends    []int64     // of each message to the borrower: the end, of a LEND
	msgIDs  [2]map[string]int
	steps   [2]map[loanStep]loanEffect
	ended   map[loanWorld]bool
	seen    map[loanWorld]bool
	queue   []loanWorld
}

func newLoanExplorer(t *testing.T, b loanBounds, f loanFlaws) *loanExplorer {
	t.Helper()
	x := &loanExplorer{t: t, bounds: b, flaws: f, parties: [2]*party{newParty(t, 1), newParty(t, 0)}, seen: map[loanWorld]bool{}, ended: map[loanWorld]bool{}}
	for i := range 2 {
		x.diskIDs[i], x.msgIDs[i], x.steps[i] = map[string]int{}, map[string]int{}, map[loanStep]loanEffect{}
	}
	return x
}

// load makes side i be what the disk says.
func (x *loanExplorer) load(i, disk int) (*party, error) {
	p := x.parties[i]
	p.disk = slices.Clone(x.disks[i][disk])
	return p, p.boot()
}

// save is the index of the disk that side i has now: of two disks that make the
// same machine, the first. What it would be compacted to makes that machine too.
func (x *loanExplorer) save(i int) (int, error) {
	p := x.parties[i]
	ram := p.state()
	if err := p.boot(); err != nil || p.state() != ram {
		return 0, fmt.Errorf("the replayed state differs: %w", err)
	}
	id, ok := x.diskIDs[i][ram]
	if ok {
		return id, nil
	}
	id = len(x.disks[i])
	x.diskIDs[i][ram], x.disks[i] = id, append(x.disks[i], slices.Clone(p.disk))
	v, err := x.view(p, x.parties[1-i].id)
	if err != nil {
		return 0, err
	}
	x.views[i] = append(x.views[i], v)
	s, err1 := p.src.Snapshot()
	d, err2 := p.dst.Snapshot()
	p.disk = slices.Concat(s, d)
	if err := errors.Join(err1, err2, p.boot()); err != nil || p.state() != ram {
		return 0, fmt.Errorf("compaction changed the state: %w", err)
	}
	return id, nil
}

func (x *loanExplorer) view(p *party, peer ident.Device) (v loanView, err error) {
	next, err := p.src.Next(peer)
	if err != nil {
		return v, err
	}
	v.out, v.here, v.next = p.src.Loans(), p.dst.Borrowed(), next.Seq
	for _, l := range v.out {
		if o, err := p.src.Opened(l.TID); err != nil || o.Cancelled || o.InDoubt {
			v.doubt = append(v.doubt, l.TID)
		}
	}
	return v, nil
}

func (x *loanExplorer) message(to int, m string) (uint64, error) {
	id, ok := x.msgIDs[to][m]
	if !ok {
		id = len(x.msgs[to])
		x.msgIDs[to][m], x.msgs[to] = id, append(x.msgs[to], m)
		if to == borrower {
			end := int64(0)
			if l, err := ParseLend([]byte(m)); err == nil {
				end = l.Until
			}
			x.ends = append(x.ends, end)
		}
	}
	if id > 63 {
		return 0, errors.New("more than 64 messages")
	}
	return 1 << id, nil
}

// step is what side i does about an event: records first, then messages.
func (x *loanExplorer) step(i, disk int, ev loanEvent) loanEffect {
	key := loanStep{disk, ev}
	if e, ok := x.steps[i][key]; ok {
		return e
	}
	e := x.run(i, disk, ev)
	if e.err != nil {
		e.err = fmt.Errorf("%s %v: %w", ev.do, ev.tid, e.err)
	}
	x.steps[i][key] = e
	return e
}

func (x *loanExplorer) run(i, disk int, ev loanEvent) (out loanEffect) {
	p, err := x.load(i, disk)
	if err != nil {
		return loanEffect{err: err}
	}
	do := x.lends
	if i == borrower {
		do = x.borrows
	}
	e, recalled, err := do(p, ev)
	if err != nil {
		return loanEffect{err: err}
	}
	if e.recs == nil && e.send == nil && recalled == nil {
		return loanEffect{disk: disk}
	}
	p.disk = append(p.disk, e.recs...)
	if x.flaws.forget && ev.do == "give back" {
		p.disk = slices.DeleteFunc(p.disk, func(r Record) bool { return r.Kind == KindGaveBack || r.Kind == KindBorrow })
		_ = p.boot()
	}
	if out.disk, err = x.save(i); err != nil {
		return loanEffect{err: err}
	}
	out.recalled = recalled
	for _, m := range e.send {
		bit, err := x.message(1-i, m)
		if err != nil {
			return loanEffect{err: err}
		}
		out.send |= bit
	}
	return out
}

// lends is the lender.
func (x *loanExplorer) lends(p *party, ev loanEvent) (e effect, _ []ident.Transfer, err error) {
	var m Message
	switch ev.do {
	case "lend":
		m, e.recs, err = p.src.Lend(loanOf(x.parties[borrower], ev.until))
	case "renew":
		m, e.recs, err = x.renew(p, ev)
	case "cancel":
		m, e.recs, err = p.src.Cancel(ev.tid)
	case "resend":
		e, err = p.resend(x.parties[borrower].id)
	case "expire":
		guard := int64(loanGuard)
		if x.flaws.noGuard {
			guard = 0
		}
		var out Outcome
		if out, err = p.src.Expire(ev.tid, ev.proven, guard); errors.Is(err, ErrLater) {
			return e, nil, nil
		}
		e.recs, m = out.Records, out.Done
	case "get":
		return x.heard(p, x.msgs[lender][ev.msg])
	}
	if err == nil && m != nil {
		err = e.add(m)
	}
	return e, nil, err
}

func (x *loanExplorer) renew(p *party, ev loanEvent) (Message, []Record, error) {
	o, err := p.src.Opened(ev.tid)
	if err != nil {
		return nil, nil, err
	}
	chain := [][]byte{{4, byte(o.Loan.Number)}, {2}}
	if x.flaws.shorter && ev.until < o.Loan.Until {
		l := p.src.pairs[pairKey{ev.tid.Dst, ev.tid.Incarnation}].open[ev.tid.Seq].loan
		l.until = ev.until
		defer func() { // its disk too
			for i, r := range p.disk {
				var rec lendRecord
				if r.Kind == KindLend && read(r, &rec) == nil && rec.TID == ev.tid {
					rec.Until = min(rec.Until, ev.until)
					p.disk[i], _ = newRecord(KindLend, rec) //nolint:errcheck // it was read from one
				}
			}
		}()
	}
	return p.src.Renew(ev.tid, ev.until, chain, []byte{5})
}

// heard acts on what the borrower signed.
func (x *loanExplorer) heard(p *party, m string) (e effect, _ []ident.Transfer, err error) {
	b := x.parties[borrower]
	if r := p.verify(b, m); r != nil {
		out, err := p.src.Receipt(r)
		if err != nil {
			return e, nil, err
		}
		if e.recs = out.Records; out.Done.TID.Seq != 0 {
			err = e.add(out.Done)
		}
		return e, nil, err
	}
	r, err := parseReturned([]byte(m), &b.key.PublicKey)
	if err != nil {
		return e, nil, err
	}
	if o, err := p.src.Opened(r.TID); err == nil && x.flaws.anyNumber {
		r.Number = o.Loan.Number
	}
	out, again, err := p.src.Returned(r)
	if err != nil {
		return e, nil, err
	}
	if x.flaws.cancelFirst && !out.Aborted {
		if again, err = p.src.Answer(r.TID); err != nil {
			return e, nil, err
		}
	}
	e.recs = out.Records
	return e, nil, e.add(again)
}

// borrows is the borrower.
func (x *loanExplorer) borrows(p *party, ev loanEvent) (e effect, _ []ident.Transfer, err error) {
	if ev.do == "give back" {
		r, recs, err := p.dst.GiveBack(ev.tid, 1)
		if errors.Is(err, ErrUnknown) { // closed since
			return e, nil, nil
		}
		if err != nil {
			return e, nil, err
		}
		e.recs = recs
		return e, nil, p.signReturn(&e, r)
	}
	raw := []byte(x.msgs[borrower][ev.msg])
	if d, err := ParseDone(raw); err == nil {
		e.recs = p.dst.Done(d)
		return e, nil, nil
	}
	var res Result
	if c, err := ParseCancel(raw); err == nil {
		if res, err = p.dst.Cancel(c); err != nil {
			return e, nil, err
		}
	} else {
		m, err := ParseLend(raw)
		if err != nil {
			return e, nil, err
		}
		if res, err = x.borrowed(p, m, ev.do); err != nil {
			return e, nil, err
		}
	}
	e.recs = res.Records
	var recalled []ident.Transfer
	if res.Recalled {
		recalled = append(recalled, res.Receipt.TID)
	}
	if res.Return != nil {
		return e, recalled, p.signReturn(&e, *res.Return)
	}
	return e, recalled, p.sign(&e, res.Receipt)
}

// borrowed takes a LEND, or refuses it.
func (x *loanExplorer) borrowed(p *party, m *Lend, do string) (Result, error) {
	if r := p.dst.pairs[pairKey{m.TID.Src, m.TID.Incarnation}]; r != nil && x.flaws.revive && do == "get" {
		if k := r.outcomes[m.TID.Seq]; k != nil && k.loan != nil && k.loan.Returned && m.Number > k.loan.Number {
			k.loan.Returned = false
			for i, old := range p.disk { // its disk too
				if old.Kind == KindGaveBack {
					p.disk = slices.Delete(p.disk, i, i+1)
					break
				}
			}
		}
	}
	refused := errors.New("refused")
	res, err := p.dst.Borrow(m, func(*Lend) error {
		if do == "refuse" {
			return refused
		}
		return nil
	})
	if errors.Is(err, refused) { // a renewal: the old end stays
		res = Result{}
		res.Receipt, err = p.dst.Query(m.TID)
	}
	return res, err
}

func (p *party) signReturn(e *effect, r Return) error {
	key := fmt.Sprint(r)
	if p.signed[key] == "" {
		data, err := SignReturn(p.key, []byte("leaf of "+p.id.String()), r)
		if err != nil {
			return err
		}
		p.signed[key] = string(data)
	}
	e.send = append(e.send, p.signed[key])
	return nil
}
