package transfer

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func decided(d Decision) *Decided { return &Decided{Decision: d, verified: true} }

// TestTransfer_2_ReleaseGivesBack: only after hold_until and a day of proven
// time, once, and with what the arbiter names.
func TestTransfer_2_ReleaseGivesBack(t *testing.T) {
	a, b, judge := newParty(t, 9), newParty(t, 0), NewArbiter()
	x := prepare(t, a, b, 5)
	d := Decision{TID: x.TID, XferHash: x.Hash(), Regrant: map[uint64]uint64{right: 3}}
	for name, now := range map[string]int64{"at the end of the hold": 1000, "1 ms early": 1000 + ReleaseWait} {
		if _, _, err := judge.Decide(d, 1000, now); !errors.Is(err, ErrLater) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := judge.Decide(d, 0, 1<<50); !errors.Is(err, ErrLater) {
		t.Errorf("a transfer without a hold: %v", err)
	}
	got, recs, err := judge.Decide(d, 1000, 1000+ReleaseWait+1)
	if err != nil || len(recs) != 1 || !recs[0].Anchored() || cmp.Diff(d, got) != "" {
		t.Fatalf("%+v, %v, %v", got, recs, err)
	}
	again := NewArbiter()
	if err := again.Replay(recs[0]); err != nil {
		t.Fatal(err)
	}
	if err := again.Replay(recs[0]); !errors.Is(err, ErrRecord) {
		t.Errorf("a second decision: %v", err)
	}
	kept, err := again.Snapshot()
	if err != nil || cmp.Diff(recs, kept) != "" {
		t.Errorf("compaction: %v, %v", kept, err)
	}
	// CONFIRM after RELEASE is RELEASE.
	if got, recs, err := again.Decide(Decision{TID: x.TID, XferHash: x.Hash(), Confirm: true}, 0, 0); err != nil || len(recs) > 0 || got.Confirm {
		t.Errorf("%+v, %v, %v", got, recs, err)
	}
	if _, err := a.src.Release(&Decided{Decision: d}); !errors.Is(err, ErrReceipt) {
		t.Errorf("nobody verified it: %v", err)
	}
	odd := d
	odd.XferHash[0]++
	if _, err := a.src.Release(decided(odd)); !errors.Is(err, ErrReceipt) {
		t.Errorf("another body: %v", err)
	}
	out, err := a.src.Release(decided(d))
	if err != nil || !out.Aborted || !out.Released || out.Regrant[right] != 3 || len(out.Records) != 1 || out.Done.TID.Seq != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	if out, err := a.src.Release(decided(d)); err != nil || out.Aborted || len(out.Records) > 0 {
		t.Errorf("a second RELEASE: %+v, %v", out, err)
	}
}

// TestTransfer_2_RefusedByReleaseWaitsForIt: a destination that has heard the
// RELEASE before its source may have played what was here. Its word is not what
// gives the right back: the RELEASE says how much does.
func TestTransfer_2_RefusedByReleaseWaitsForIt(t *testing.T) {
	a, b := newParty(t, 9), newParty(t, 0)
	x := prepare(t, a, b, 5)
	mustReceive(t, b, x, yes)
	d := decided(Decision{TID: x.TID, XferHash: x.Hash(), Regrant: map[uint64]uint64{right: 0}})
	res, err := b.dst.Released(d)
	if err != nil || !res.Destroyed {
		t.Fatalf("%+v, %v", res, err)
	}
	if out, err := a.src.Receipt(signed(t, b, res.Receipt)); !errors.Is(err, ErrNeedsRelease) || out.Aborted || len(out.Records) > 0 {
		t.Errorf("all of it comes back: %+v, %v", out, err)
	}
	if out, err := a.src.Release(d); err != nil || !out.Aborted || !out.Released || out.Regrant[right] != 0 || len(out.Regrant) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := a.src.Receipt(signed(t, b, res.Receipt)); err != nil || out.Aborted || out.Done.Low != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestTransfer_2_NoDoneAfterRelease: a right that was installed in its hold
// sleeps at the destination since the hold is over. A DONE would wake it, and it
// is the source's again: so none is said, of it or of a later one, before the
// destination has heard of the RELEASE.
func TestTransfer_2_NoDoneAfterRelease(t *testing.T) {
	a, b := newParty(t, 9), newParty(t, 0)
	x, recs, err := a.src.Prepare(Order{Dst: b.id, Body: bodyFor(5)})
	if err != nil {
		t.Fatal(err)
	}
	res := mustReceive(t, b, x, yes)
	d := decided(Decision{TID: x.TID, XferHash: x.Hash()})
	out, err := a.src.Release(d)
	if err != nil || !out.Aborted {
		t.Fatalf("%+v, %v", out, err)
	}
	a.disk = append(recs, out.Records...)
	s, err := a.src.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, disk := range [][]Record{a.disk, s} { // after a restart, and after a compaction
		a.src = NewSource(a.id, a.inc)
		for _, r := range disk {
			if err := a.src.Replay(r); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := a.src.Answer(x.TID); err != nil || m != Message(Cancel{TID: x.TID}) {
			t.Errorf("it says %+v, %v", m, err)
		}
		if out, err := a.src.Receipt(signed(t, b, res.Receipt)); err != nil || out.Done.TID.Seq != 0 || out.Committed || len(out.Records) > 0 {
			t.Errorf("INSTALLED after RELEASE: %+v, %v", out, err)
		}
		y := prepare(t, a, b, 1)
		if y.Low != 0 {
			t.Errorf("low %d covers what was released", y.Low)
		}
	}
	for i := range 2 {
		res, err := b.dst.Released(d)
		if err != nil || res.Destroyed != (i == 0) || res.Receipt.Verdict != Refused || res.Receipt.Reason != ReasonReleased {
			t.Fatalf("%+v, %v", res, err)
		}
		b.disk = append(b.disk, res.Records...)
		if err := b.boot(); err != nil {
			t.Fatal(err)
		}
	}
	if b.dst.Unconfirmed(x.TID) {
		t.Error("it is still installed")
	}
	if res := mustReceive(t, b, x, yes); res.Installed || res.New {
		t.Errorf("it installs again: %+v", res)
	}
	st, err := b.dst.Query(x.TID)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := a.src.Receipt(signed(t, b, st)); err != nil || out.Aborted || len(out.Records) != 1 || out.Done.Low != 1 {
		t.Errorf("the destination has heard it: %+v, %v", out, err)
	}
}

// TestTransfer_2_ConfirmEndsTheHold: what was UNCONFIRMED is not any more,
// also after a restart and a compaction, without moving the watermark.
func TestTransfer_2_ConfirmEndsTheHold(t *testing.T) {
	a, b := newParty(t, 2), newParty(t, 0)
	x := prepare(t, a, b, 1)
	d := Decision{TID: x.TID, XferHash: x.Hash(), Confirm: true}
	if _, err := b.dst.Confirm(decided(d)); !errors.Is(err, ErrUnknown) {
		t.Errorf("CONFIRM of what never came: %v", err)
	}
	mustReceive(t, b, x, yes)
	odd := d
	odd.XferHash[0]++
	if _, err := b.dst.Confirm(decided(odd)); !errors.Is(err, ErrReceipt) {
		t.Errorf("another body: %v", err)
	}
	for range 2 {
		recs, err := b.dst.Confirm(decided(d))
		if err != nil {
			t.Fatal(err)
		}
		b.disk = append(b.disk, recs...)
	}
	if len(b.disk) != 2 {
		t.Fatalf("%d records", len(b.disk))
	}
	if err := b.boot(); err != nil || b.dst.Unconfirmed(x.TID) {
		t.Errorf("unconfirmed after a restart: %v", err)
	}
	s, err := b.dst.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	b.disk = s
	if err := b.boot(); err != nil || b.dst.Unconfirmed(x.TID) {
		t.Errorf("unconfirmed after a compaction: %v", err)
	}
	if st, err := b.dst.Query(x.TID); err != nil || st.Closed || st.Verdict != Installed {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestTransfer_2_DecisionsAreSigned(t *testing.T) {
	a := newParty(t, 1)
	tid := prepare(t, a, newParty(t, 0), 1).TID
	for _, d := range []Decision{{TID: tid, XferHash: [32]byte{1}, Regrant: map[uint64]uint64{1: 2}}, {TID: tid, XferHash: [32]byte{1}, Confirm: true}} {
		data, err := SignDecision(a.key, []byte("leaf"), d)
		if err != nil {
			t.Fatal(err)
		}
		got, sig, err := readDecision(data)
		if err != nil || cmp.Diff(d, got) != "" || sig.Verify(&a.key.PublicKey) != nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for name, d := range map[string]Decision{
		"no body":             {TID: tid},
		"CONFIRM that grants": {TID: tid, XferHash: [32]byte{1}, Confirm: true, Regrant: map[uint64]uint64{1: 1}},
		"no transfer":         {XferHash: [32]byte{1}},
	} {
		if _, err := SignDecision(a.key, []byte("leaf"), d); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTransfer_1_ClosingOutsideASession(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 0)
	tid := prepare(t, a, b, 1).TID
	for _, tc := range []struct {
		m       Message
		by      *party
		allowed bool
	}{
		{Done{TID: tid, Low: 1}, a, true},
		{Done{TID: tid, Low: 1}, b, false},
		{Cancel{TID: tid}, a, true},
		{Cancel{TID: tid}, b, false},
		{Query{TID: tid}, a, true},
		{Query{TID: tid}, b, true},
		{Query{TID: tid}, newParty(t, 3), false},
	} {
		payload, err := tc.m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if m, err := parseMarkOf(payload, tc.by.id); (err == nil) != tc.allowed || tc.allowed && m != tc.m {
			t.Errorf("%T by %v: %+v, %v", tc.m, tc.by.start, m, err)
		}
	}
	if _, err := SignClosing(a.key, []byte("leaf"), prepare(t, a, b, 1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a signed XFER: %v", err)
	}
}
