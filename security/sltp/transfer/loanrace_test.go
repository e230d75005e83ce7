package transfer

import (
	"errors"
	"testing"
)

// TestTransfer_3_RenewalEndsNoEarlier: the borrower may never hear of it.
func TestTransfer_3_RenewalEndsNoEarlier(t *testing.T) {
	l := newLibrary(t)
	m := l.lend(1000)
	if _, _, err := l.a.src.Renew(m.TID, 999, [][]byte{{4}, {2}}, []byte{5}); !errors.Is(err, ErrMalformed) {
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

// TestTransfer_3_RecallAfterRenewal: a loan that was renewed, and recalled before
// the renewal arrived, ends too: the CANCEL alone would be answered with the old
// number for ever.
func TestTransfer_3_RecallAfterRenewal(t *testing.T) {
	l := newLibrary(t)
	first := l.lend(1000)
	l.borrow(first, lendYes)
	l.renew(first.TID, 3000)
	c, recs, err := l.a.src.Cancel(first.TID)
	l.keep(l.a, recs, err)
	if res, err := l.b.dst.Cancel(c); err != nil || !res.Recalled {
		t.Fatalf("%+v, %v", res, err)
	}
	out, m := l.returned(l.giveBack(first.TID, 0))
	again, ok := m.(*Lend)
	if out.Aborted || !ok || again.Number != 2 {
		t.Fatalf("RETURNED of an older number: %+v, %+v", out, m)
	}
	res := l.borrow(again, lendYes)
	if res.Return == nil || res.Installed {
		t.Fatalf("%+v", res)
	}
	if out, _ := l.returned(*res.Return); !out.Aborted {
		t.Errorf("%+v", out)
	}
}
