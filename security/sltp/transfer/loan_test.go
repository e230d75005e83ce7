package transfer

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

var childID = ident.License{7}

func loanOf(b *party, until int64) Loan {
	return Loan{Dst: b.id, Leaf: []byte("leaf"), Child: childID, Until: until, Chain: [][]byte{{1}, {2}}, Bundle: []byte{3}}
}

// library is a lender and a borrower whose disks are kept.
type library struct {
	t    *testing.T
	a, b *party
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	return &library{t, newParty(t, 1), newParty(t, 0)}
}

func (l *library) lend(until int64) *Lend {
	l.t.Helper()
	m, recs, err := l.a.src.Lend(loanOf(l.b, until))
	l.keep(l.a, recs, err)
	return m
}

func (l *library) renew(tid ident.Transfer, until int64) *Lend {
	l.t.Helper()
	m, recs, err := l.a.src.Renew(tid, until, [][]byte{{4}, {2}}, []byte{5})
	l.keep(l.a, recs, err)
	return m
}

func (l *library) borrow(m *Lend, judge func(*Lend) error) Result {
	l.t.Helper()
	res, err := l.b.dst.Borrow(m, judge)
	l.keep(l.b, res.Records, err)
	return res
}

func (l *library) giveBack(tid ident.Transfer, spent uint64) Return {
	l.t.Helper()
	r, recs, err := l.b.dst.GiveBack(tid, spent)
	l.keep(l.b, recs, err)
	return r
}

// keep puts records on a disk, and holds the machines against their replay.
func (l *library) keep(p *party, recs []Record, err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, r := range recs {
		if !r.Anchored() && r.Kind != KindLow {
			l.t.Errorf("a record of kind %#x is not anchored", r.Kind)
		}
	}
	p.disk = append(p.disk, recs...)
	now := p.state()
	l.reboot(p)
	if p.state() != now {
		l.t.Fatalf("the replayed state differs after records of kind %v", kinds(recs))
	}
}

func (l *library) reboot(p *party) {
	l.t.Helper()
	if err := p.boot(); err != nil {
		l.t.Fatal(err)
	}
}

func kinds(recs []Record) (out []string) {
	for _, r := range recs {
		out = append(out, fmt.Sprintf("%#x", r.Kind))
	}
	return out
}

func (l *library) returned(r Return) (Outcome, Message) {
	l.t.Helper()
	data, err := SignReturn(l.b.key, []byte("leaf"), r)
	if err != nil {
		l.t.Fatal(err)
	}
	got, err := parseReturned(data, &l.b.key.PublicKey)
	if err != nil {
		l.t.Fatal(err)
	}
	out, m, err := l.a.src.Returned(got)
	l.keep(l.a, out.Records, err)
	return out, m
}

func lendYes(*Lend) error { return nil }

// TestTransfer_3_LoanComesBackEarly: lent, given back, closed.
func TestTransfer_3_LoanComesBackEarly(t *testing.T) {
	l := newLibrary(t)
	m := l.lend(1000)
	res := l.borrow(m, lendYes)
	if !res.Installed || !res.New || res.Receipt.Verdict != Installed || res.Receipt.XferHash != m.Hash() {
		t.Fatalf("%+v", res)
	}
	if out, err := l.a.src.Receipt(signed(t, l.b, res.Receipt)); err != nil || out.Committed || out.Aborted || len(out.Records) > 0 || out.Done.TID.Seq != 0 {
		t.Fatalf("a receipt changes a loan: %+v, %v", out, err)
	}
	if got := l.a.src.Loans(); len(got) != 1 || !got[0].Seen || got[0].Child != childID || got[0].Until != 1000 {
		t.Fatalf("%+v", got)
	}
	if l.b.dst.Unconfirmed(m.TID) {
		t.Error("a loan waits for a DONE")
	}
	r := l.giveBack(m.TID, 1)
	if again := l.giveBack(m.TID, 9); again != r {
		t.Errorf("given back twice: %+v, %+v", r, again)
	}
	if res := l.borrow(m, lendYes); res.Return == nil || *res.Return != r || res.Installed {
		t.Errorf("a LEND after the return: %+v", res)
	}
	out, _ := l.returned(r)
	if !out.Aborted || out.Loan != childID || out.Spent != 1 || out.Expired || out.Done.Low != 1 {
		t.Fatalf("%+v", out)
	}
	if out, m := l.returned(r); len(out.Records) > 0 || m != Message(out.Done) {
		t.Errorf("RETURNED again: %+v", out)
	}
	l.keep(l.b, l.b.dst.Done(out.Done), nil)
	if got := l.b.dst.Borrowed(); len(got) != 0 {
		t.Errorf("closed, and still there: %+v", got)
	}
	if res := l.borrow(m, lendYes); !res.Receipt.Closed || res.Installed || res.New {
		t.Errorf("a LEND after DONE: %+v", res)
	}
}

// TestTransfer_3_RenewalMeetsReturn: a RETURNED with a lower number ends
// nothing, the renewal goes out again, and its answer does.
func TestTransfer_3_RenewalMeetsReturn(t *testing.T) {
	l := newLibrary(t)
	first := l.lend(1000)
	l.borrow(first, lendYes)
	r := l.giveBack(first.TID, 0)
	second := l.renew(first.TID, 3000)
	out, m := l.returned(r)
	again, ok := m.(*Lend)
	if out.Aborted || !ok || again.Number != 2 || again.Hash() != second.Hash() {
		t.Fatalf("RETURNED of an older number: %+v, %+v", out, m)
	}
	res := l.borrow(again, func(*Lend) error { t.Error("a returned child is judged"); return nil })
	if res.Installed || res.Return == nil || res.Return.Number != 2 {
		t.Fatalf("a renewal of a returned child: %+v", res)
	}
	if out, _ := l.returned(*res.Return); !out.Aborted {
		t.Errorf("%+v", out)
	}
}

func TestTransfer_3_RenewalSupersedes(t *testing.T) {
	l := newLibrary(t)
	first := l.lend(1000)
	second := l.renew(first.TID, 3000)
	if res := l.borrow(second, lendYes); !res.Installed || res.Receipt.XferHash != second.Hash() {
		t.Fatalf("a renewal that comes first: %+v", res)
	}
	if res := l.borrow(first, func(*Lend) error { t.Error("an older LEND is judged"); return nil }); res.New || !res.Installed || res.Quarantined {
		t.Errorf("the older one: %+v", res)
	}
	if _, _, err := l.a.src.Renew(first.TID, 2999, [][]byte{{4}, {2}}, []byte{5}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a renewal that ends sooner, which the borrower need not take: %v", err)
	}
	third := l.renew(first.TID, 4000)
	if _, err := l.b.dst.Borrow(third, func(*Lend) error { return ErrLater }); !errors.Is(err, ErrLater) {
		t.Errorf("a renewal that cannot be judged: %v", err)
	}
	if got := l.b.dst.Borrowed(); len(got) != 1 || got[0].Until != 3000 {
		t.Errorf("%+v", got)
	}
	if res := l.borrow(third, lendYes); !res.New {
		t.Errorf("%+v", res)
	}
	odd := *third
	odd.Until = 9000
	if res := l.borrow(&odd, lendYes); !res.Quarantined || len(l.b.dst.Evidence()) != 1 {
		t.Errorf("two messages of one number: %+v", res)
	}
}

func TestTransfer_3_LoanEndsByProvenTime(t *testing.T) {
	l := newLibrary(t)
	m := l.lend(1000)
	l.borrow(m, lendYes)
	if _, err := l.a.src.Expire(m.TID, 1000+Guard-1, Guard); !errors.Is(err, ErrLater) {
		t.Fatalf("1 ms early: %v", err)
	}
	out, err := l.a.src.Expire(m.TID, 1000+Guard, Guard)
	l.keep(l.a, out.Records, err)
	if !out.Aborted || !out.Expired || out.Loan != childID || out.Done.Low != 1 || len(l.a.src.Loans()) != 0 {
		t.Errorf("%+v", out)
	}
	if _, err := l.a.src.Expire(m.TID, 1<<50, Guard); !errors.Is(err, ErrUnknown) {
		t.Errorf("a second end: %v", err)
	}
	if out, m := l.returned(Return{TID: m.TID, Child: childID, Number: 1}); out.Aborted || m != Message(out.Done) {
		t.Errorf("a late RETURNED: %+v", out)
	}
}

func TestTransfer_3_RefusedLoan(t *testing.T) {
	l := newLibrary(t)
	m := l.lend(1000)
	if _, err := l.b.dst.Borrow(m, func(*Lend) error { return ErrLater }); !errors.Is(err, ErrLater) {
		t.Fatalf("%v", err)
	}
	res := l.borrow(m, func(*Lend) error { return &RefusedError{Reason: "EXPIRED"} })
	if res.Installed || res.Receipt.Verdict != Refused || res.Receipt.Reason != "EXPIRED" {
		t.Fatalf("%+v", res)
	}
	renewed := l.renew(m.TID, 2000) // not yet known there
	if res := l.borrow(renewed, lendYes); res.Installed || res.Receipt.Verdict != Refused {
		t.Errorf("a renewal of what was refused: %+v", res)
	}
	out, err := l.a.src.Receipt(signed(t, l.b, res.Receipt))
	l.keep(l.a, out.Records, err)
	if !out.Aborted || out.Loan != childID {
		t.Errorf("%+v", out)
	}
}

func TestTransfer_3_Recall(t *testing.T) {
	l := newLibrary(t)
	m := l.lend(1000)
	c, recs, err := l.a.src.Cancel(m.TID)
	l.keep(l.a, recs, err)
	if again, err := l.a.src.Answer(m.TID); err != nil || again != Message(c) {
		t.Errorf("after a restart it sends %+v, %v", again, err)
	}
	l.borrow(m, lendYes)
	res, err := l.b.dst.Cancel(c)
	l.keep(l.b, res.Records, err)
	if !res.Recalled || res.Return != nil || !res.Installed {
		t.Fatalf("a recall: %+v", res)
	}
	r := l.giveBack(m.TID, 0)
	if res, err := l.b.dst.Cancel(c); err != nil || res.Recalled || res.Return == nil || *res.Return != r {
		t.Errorf("a recall of what was given back: %+v, %v", res, err)
	}
	early := l.lend(1000) // recalled before it arrives
	c, recs, err = l.a.src.Cancel(early.TID)
	l.keep(l.a, recs, err)
	if res, err = l.b.dst.Cancel(c); err != nil || res.Receipt.Verdict != Refused {
		t.Errorf("%+v, %v", res, err)
	}
	l.keep(l.b, res.Records, err)
	if res := l.borrow(early, lendYes); res.Installed {
		t.Errorf("a recalled LEND installs: %+v", res)
	}
}

func TestTransfer_3_WhoMayEndALoan(t *testing.T) {
	l := newLibrary(t)
	m := l.lend(1000)
	l.borrow(m, lendYes)
	r := l.giveBack(m.TID, 0)
	data, err := SignReturn(l.a.key, []byte("leaf"), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseReturned(data, &l.a.key.PublicKey); !errors.Is(err, ErrReceipt) {
		t.Errorf("signed by the lender: %v", err)
	}
	if _, err := parseReturned(data, &l.b.key.PublicKey); !errors.Is(err, ErrReceipt) {
		t.Errorf("another key's signature: %v", err)
	}
	if _, _, err := l.a.src.Returned(&Returned{Return: r}); !errors.Is(err, ErrReceipt) {
		t.Errorf("nobody verified it: %v", err)
	}
	for name, odd := range map[string]Return{"child": {TID: r.TID, Child: ident.License{8}, Number: 1}, "number": {TID: r.TID, Child: childID, Number: 2}} {
		if _, _, err := l.a.src.Returned(&Returned{Return: odd, verified: true}); !errors.Is(err, ErrReceipt) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	x := prepare(t, l.a, l.b, 1)
	if _, _, err := l.a.src.Renew(x.TID, 2000, [][]byte{{1}, {2}}, []byte{3}); !errors.Is(err, ErrUnknown) {
		t.Errorf("a renewal of a move: %v", err)
	}
	if _, err := l.a.src.Expire(x.TID, 1<<50, Guard); !errors.Is(err, ErrUnknown) {
		t.Errorf("a move ends by time: %v", err)
	}
}

// TestTransfer_3_LoanUnderTheIDOfAMove, and the other way: evidence.
func TestTransfer_3_LoanUnderTheIDOfAMove(t *testing.T) {
	l := newLibrary(t)
	x := prepare(t, l.a, l.b, 1)
	res := mustReceive(t, l.b, x, yes)
	if err := l.b.account(res.Records[0]); err != nil {
		t.Fatal(err)
	}
	m := &Lend{TID: x.TID, Child: childID, Number: 1, Until: 5, Chain: [][]byte{{1}, {2}}, Bundle: []byte{3}}
	if res := l.borrow(m, lendYes); !res.Quarantined || res.Installed {
		t.Errorf("%+v", res)
	}
	l = newLibrary(t)
	m = l.lend(1000)
	l.borrow(m, lendYes)
	if res, err := l.b.dst.Receive(NewXFER(m.TID, 0, bodyFor(1), nil), yes); err != nil || !res.Quarantined || res.Installed {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestTransfer_3_CompactionKeepsLoans on both sides, out and returned.
func TestTransfer_3_CompactionKeepsLoans(t *testing.T) {
	l := newLibrary(t)
	for i := range 3 {
		m := l.lend(int64(1000 + i))
		l.borrow(m, lendYes)
		if i == 1 {
			l.giveBack(m.TID, 1)
		}
	}
	l.renew(tidOf(l.a, l.b, 3), 5000)
	for _, p := range []*party{l.a, l.b} {
		before := p.state()
		s, err1 := p.src.Snapshot()
		d, err2 := p.dst.Snapshot()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		p.disk = slices.Concat(s, d)
		l.reboot(p)
		if p.state() != before {
			t.Error("compaction changed the state")
		}
	}
	if got := l.b.dst.Borrowed(); len(got) != 3 || !got[1].Returned || got[1].Return.Spent != 1 || got[0].Returned {
		t.Errorf("%+v", got)
	}
	if got := l.a.src.Loans(); len(got) != 3 || got[2].Number != 2 || got[2].Until != 5000 {
		t.Errorf("%+v", got)
	}
}

func TestTransfer_3_BadLoans(t *testing.T) {
	l := newLibrary(t)
	for name, spoil := range map[string]func(*Loan){
		"no parent":   func(x *Loan) { x.Chain = x.Chain[:1] },
		"five links":  func(x *Loan) { x.Chain = [][]byte{{1}, {2}, {3}, {4}, {5}} },
		"empty link":  func(x *Loan) { x.Chain = [][]byte{{1}, {}} },
		"no keys":     func(x *Loan) { x.Bundle = nil },
		"no end":      func(x *Loan) { x.Until = 0 },
		"no child":    func(x *Loan) { x.Child = ident.License{} },
		"too large":   func(x *Loan) { x.Bundle = make([]byte, MaxBody) },
		"to itself":   func(x *Loan) { x.Dst = l.a.id },
		"end too far": func(x *Loan) { x.Until = maxTime + 1 },
	} {
		x := loanOf(l.b, 1000)
		spoil(&x)
		if _, _, err := l.a.src.Lend(x); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(l.a.src.Open()) != 0 {
		t.Error("something is open")
	}
	m := l.lend(1000)
	l.borrow(m, lendYes)
	r := l.giveBack(m.TID, 0)
	for name, disk := range map[string][]Record{
		"second LEND":      {l.a.disk[0], l.a.disk[0]},
		"end of no loan":   {{Kind: KindExpired, Body: l.b.disk[0].Body}},
		"return of none":   {l.b.disk[1]},
		"second return":    {l.b.disk[0], l.b.disk[1], l.b.disk[1]},
		"second loan":      {l.b.disk[0], l.b.disk[0]},
		"snapshot of none": {{Kind: KindBorrowed, Body: l.b.disk[0].Body}},
	} {
		s, d := NewSource(l.a.id, l.a.inc), NewDestination(l.b.id)
		var err error
		for _, rec := range disk {
			_, more := d.Replay(rec)
			err = errors.Join(err, s.Replay(rec), more)
		}
		if err == nil {
			t.Errorf("%s (of %v): no error", name, r.TID)
		}
	}
}

// TestTransfer_3_RecallOfARenewedLoan: the borrower gave it back before the
// renewal came. RETURNED with the old number is answered with the renewal and
// not with the recall, whose answer is the same RETURNED again.
func TestTransfer_3_RecallOfARenewedLoan(t *testing.T) {
	l := newLibrary(t)
	m := l.lend(1000)
	l.borrow(m, lendYes)
	r := l.giveBack(m.TID, 0)
	l.renew(m.TID, 2000)
	c, recs, err := l.a.src.Cancel(m.TID)
	l.keep(l.a, recs, err)
	res, err := l.b.dst.Cancel(c)
	l.keep(l.b, res.Records, err)
	if res.Return == nil || *res.Return != r {
		t.Fatalf("%+v", res)
	}
	out, next := l.returned(*res.Return)
	again, ok := next.(*Lend)
	if !ok || out.Aborted || again.Number != 2 {
		t.Fatalf("answered with %T, %+v", next, out)
	}
	if res = l.borrow(again, lendYes); res.Return == nil || res.Return.Number != 2 {
		t.Fatalf("%+v", res)
	}
	if out, _ = l.returned(*res.Return); !out.Aborted {
		t.Errorf("%+v", out)
	}
}

// TestTransfer_3_LoanHoldsNothingUp: a DONE confirms the transfer that it names,
// though a loan before it keeps the watermark down.
func TestTransfer_3_LoanHoldsNothingUp(t *testing.T) {
	l := newLibrary(t)
	l.borrow(l.lend(1000), lendYes)
	x, recs, err := l.a.src.Prepare(Order{Dst: l.b.id, Body: bodyFor(1)})
	if err != nil {
		t.Fatal(err)
	}
	l.a.disk = append(l.a.disk, recs...)
	res, err := l.b.dst.Receive(x, yes)
	if err != nil {
		t.Fatal(err)
	}
	l.b.disk = append(l.b.disk, res.Records...)
	l.reboot(l.a)
	l.reboot(l.b)
	if !l.b.dst.Unconfirmed(x.TID) {
		t.Fatal("confirmed before anybody said so")
	}
	out, err := l.a.src.Receipt(signed(t, l.b, res.Receipt))
	if err != nil || out.Done.TID != x.TID || out.Done.Low != 0 {
		t.Fatalf("%+v", out.Done)
	}
	for i := range 2 {
		recs := l.b.dst.Done(out.Done)
		if len(recs) != 1-i {
			t.Fatalf("%d records", len(recs))
		}
		l.b.disk = append(l.b.disk, recs...)
		l.reboot(l.b)
		if l.b.dst.Unconfirmed(x.TID) {
			t.Error("unconfirmed after its DONE")
		}
	}
	if st, err := l.b.dst.Query(x.TID); err != nil || st.Closed || st.Verdict != Installed {
		t.Errorf("it is said to be %+v, %v", st, err)
	}
}
