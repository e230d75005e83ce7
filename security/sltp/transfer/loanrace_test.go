package transfer

import (
	"errors"
	"testing"
)

// TestTransfer_3_RenewalEndsNoEarlier: the borrower may never hear of it.
func TestTransfer_3_RenewalEndsNoEarlier(t *testing.T) {
	l := newLibrary(t)
	m := l.lend(1000)
	if _, _, err := l.a.src.Renew(m.TID, 999, [][]byte{{4}, {2}}, []byte{5}); !errors.Is(err, ErrShorter) {
		t.Fatalf("1 ms earlier: %v", err)
	}
	if again := l.renew(m.TID, 1000); again.Number != 2 {
		t.Errorf("%+v", again)
	}
	var rec lendRecord
	if err := read(l.a.disk[1], &rec); err != nil {
		t.Fatal(err)
	}
	rec.Until--
	shorter, err := newRecord(KindLend, rec)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSource(l.a.id, l.a.inc)
	if err := errors.Join(s.Replay(l.a.disk[0]), s.Replay(shorter)); !errors.Is(err, ErrRecord) {
		t.Errorf("its record: %v", err)
	}
}

// TestTransfer_3_RecallMeetsReturn: the borrower gave back, the lender renewed,
// the renewal was lost, and the recall goes out in its place. The RETURNED of the
// old number is answered with the renewal: two sides that each repeat what they
// said last would go on until the end of the loan.
func TestTransfer_3_RecallMeetsReturn(t *testing.T) {
	l := newLibrary(t)
	m := l.lend(1000)
	l.borrow(m, lendYes)
	r := l.giveBack(m.TID, 1)
	second := l.renew(m.TID, 3000)
	c, recs, err := l.a.src.Cancel(m.TID)
	l.keep(l.a, recs, err)
	res, err := l.b.dst.Cancel(c)
	if err != nil || res.Return == nil || *res.Return != r {
		t.Fatalf("a recall of what was given back: %+v, %v", res, err)
	}
	out, answer := l.returned(*res.Return)
	again, ok := answer.(*Lend)
	if out.Aborted || !ok || again.Hash() != second.Hash() {
		t.Fatalf("RETURNED of an older number: %+v, %+v", out, answer)
	}
	if res = l.borrow(again, lendYes); res.Return == nil || res.Return.Number != 2 {
		t.Fatalf("%+v", res)
	}
	if out, _ := l.returned(*res.Return); !out.Aborted || out.Spent != 1 {
		t.Errorf("%+v", out)
	}
}

// TestTransfer_3_RolledBackLenderEndsNoLoan: a lender whose vault was set back
// renews again what it renewed before; a refusal would give it the right while
// the borrower has it.
func TestTransfer_3_RolledBackLenderEndsNoLoan(t *testing.T) {
	l := newLibrary(t)
	m := l.lend(1000)
	l.borrow(l.renew(m.TID, 3000), lendYes)
	newer := *l.a
	newer.inc[7]++
	newer.src = NewSource(newer.id, newer.inc)
	l.borrow(firstLoan(t, &newer, l.b), lendYes) // so the incarnation of m is older
	odd := *m
	odd.Number, odd.Until = 2, 2000
	res := l.borrow(&odd, lendYes)
	if res.Quarantined || res.Installed || res.Receipt.Verdict != Installed {
		t.Fatalf("%+v", res)
	}
	if out, err := l.a.src.Receipt(signed(t, l.b, res.Receipt)); err != nil || out.Aborted {
		t.Errorf("it ends the loan: %+v, %v", out, err)
	}
}

func firstLoan(t *testing.T, a, b *party) *Lend {
	t.Helper()
	m, _, err := a.src.Lend(loanOf(b, 1000))
	if err != nil {
		t.Fatal(err)
	}
	return m
}
