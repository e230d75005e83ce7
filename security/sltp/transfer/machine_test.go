package transfer

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
)

func yes(*Body) error { return nil }

func tidOf(a, b *party, seq uint64) ident.Transfer {
	return ident.Transfer{Src: a.id, Dst: b.id, Incarnation: a.inc, Seq: seq}
}

func mustReceive(t *testing.T, p *party, x *XFER, judge func(*Body) error) Result {
	t.Helper()
	res, err := p.dst.Receive(x, judge)
	if err != nil {
		t.Fatal(err)
	}
	p.disk = append(p.disk, res.Records...)
	return res
}

func signed(t *testing.T, p *party, s Statement) *Receipt {
	t.Helper()
	data, err := SignReceipt(p.key, []byte("leaf"), s)
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseReceipt(data, p.id, &p.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func prepare(t *testing.T, a, b *party, n uint64) *XFER {
	t.Helper()
	x, _, err := a.src.Prepare(Order{Dst: b.id, Leaf: []byte("leaf"), Body: bodyFor(n)})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestTransfer_2_RepeatsGetTheSameReceipt(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 0)
	x := prepare(t, a, b, 1)
	first := mustReceive(t, b, x, yes)
	if !first.New || !first.Installed || len(first.Records) != 1 || !first.Records[0].Anchored() || first.Body.Amounts[right] != 1 {
		t.Fatalf("%+v", first)
	}
	again := mustReceive(t, b, x, func(*Body) error {
		t.Error("the judge was asked twice")
		return errors.New("no")
	})
	if again.New || !again.Installed || len(again.Records) != 0 || again.Body == nil {
		t.Errorf("%+v", again)
	}
	if d := cmp.Diff(first.Receipt, again.Receipt, cmp.AllowUnexported(ident.Transfer{})); d != "" {
		t.Error(d)
	}
	if !b.dst.Unconfirmed(x.TID) {
		t.Error("the right is confirmed before DONE")
	}
}

func TestTransfer_2_RefusalsAreDurable(t *testing.T) {
	for name, tc := range map[string]struct {
		judge error
		body  []byte
		want  string
	}{
		"reason of the judge": {&RefusedError{Reason: "NOT_MEMBER"}, bodyFor(1), "NOT_MEMBER"},
		"error of the judge":  {errors.New("license: secret detail"), bodyFor(1), ReasonUnacceptable},
		"body":                {nil, []byte{0x80}, ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newParty(t, 1), newParty(t, 0)
			x := NewXFER(tidOf(a, b, 1), 0, tc.body, nil)
			res := mustReceive(t, b, x, func(*Body) error { return tc.judge })
			if res.Installed || res.Receipt.Verdict != Refused || res.Receipt.Reason != tc.want || res.Receipt.XferHash != x.Hash() || !res.Records[0].Anchored() {
				t.Errorf("%+v", res.Receipt)
			}
			if err := b.boot(); err != nil {
				t.Fatal(err)
			}
			if res := mustReceive(t, b, x, yes); res.Installed || res.Receipt.Reason != tc.want {
				t.Errorf("after a restart: %+v", res.Receipt)
			}
		})
	}
}

func TestTransfer_2_LaterDecidesNothing(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 0)
	x := prepare(t, a, b, 1)
	if _, err := b.dst.Receive(x, func(*Body) error { return ErrLater }); !errors.Is(err, ErrLater) {
		t.Fatal(err)
	}
	if _, err := b.dst.Query(x.TID); !errors.Is(err, ErrUnknown) {
		t.Errorf("something was decided: %v", err)
	}
	if res := mustReceive(t, b, x, yes); !res.New || !res.Installed {
		t.Errorf("%+v", res)
	}
}

func TestTransfer_2_CancelBeforeAndAfterInstall(t *testing.T) {
	a, b := newParty(t, 2), newParty(t, 0)
	x := prepare(t, a, b, 1)
	c, _, err := a.src.Cancel(x.TID)
	if err != nil {
		t.Fatal(err)
	}
	if m := a.src.Resend(b.id); len(m) != 1 || m[0] != Message(c) {
		t.Errorf("after Cancel the source sends %+v", m)
	}
	res, err := b.dst.Cancel(c)
	if err != nil || res.Receipt.Verdict != Refused || res.Receipt.Reason != ReasonCancelled || len(res.Records) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	if res := mustReceive(t, b, x, yes); res.Installed || res.Quarantined {
		t.Errorf("installed after a cancel: %+v", res)
	}
	out, err := a.src.Receipt(signed(t, b, res.Receipt))
	if err != nil || !out.Aborted || out.Done != (Done{TID: x.TID, Low: 1}) {
		t.Fatalf("%+v, %v", out, err)
	}
	y := prepare(t, a, b, 1)
	mustReceive(t, b, y, yes)
	if c, _, err = a.src.Cancel(y.TID); err != nil {
		t.Fatal(err)
	}
	if res, err = b.dst.Cancel(c); err != nil || !res.Installed {
		t.Errorf("a cancel undid an install: %+v, %v", res, err)
	}
}

func TestTransfer_1_LowRules(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 0)
	mustReceive(t, b, NewXFER(tidOf(a, b, 1), 0, bodyFor(1), nil), yes)
	for _, tc := range []struct {
		seq, low uint64
		want     error
	}{
		{2, 2, ErrDropped},    // the watermark is not below the number it comes with
		{2, 3, ErrDropped},    //
		{100, 66, ErrDropped}, // 65 above the highest seen
		{100, 65, nil},        // which is now 100
		{100 + Window, 65, ErrDropped},
		{65 + Window, 65, nil},
		{65 + Window + 1, 65, ErrDropped},
	} {
		_, err := b.dst.Receive(NewXFER(tidOf(a, b, tc.seq), tc.low, bodyFor(1), nil), yes)
		if !errors.Is(err, tc.want) {
			t.Errorf("seq %d, low %d: %v, want %v", tc.seq, tc.low, err, tc.want)
		}
	}
	if recs := b.dst.Done(Done{TID: tidOf(a, b, 5000), Low: 65 + Window + MaxOpen + 1}); recs != nil {
		t.Errorf("DONE far above the highest seen: %d records", len(recs))
	}
	if _, err := b.dst.Cancel(Cancel{TID: tidOf(a, b, 200), Low: 200}); !errors.Is(err, ErrDropped) {
		t.Errorf("CANCEL with its own number as watermark: %v", err)
	}
	c, d := newParty(t, 3), newParty(t, 4)
	if recs := d.dst.Done(Done{TID: tidOf(c, d, 1), Low: 1}); recs != nil {
		t.Error("DONE of an unknown pair was recorded")
	}
	res := mustReceive(t, d, NewXFER(tidOf(c, d, 500), 499, bodyFor(1), nil), yes) // a first contact begins where it says
	if !res.Installed {
		t.Errorf("%+v", res)
	}
	if res := mustReceive(t, d, NewXFER(tidOf(c, d, 480), 479, bodyFor(1), nil), yes); res.Receipt.Verdict != Unknown || !res.Receipt.Closed || res.Receipt.Low != 499 {
		t.Errorf("below the watermark: %+v", res.Receipt)
	}
	if err := d.boot(); err != nil {
		t.Fatal(err)
	}
	if s, err := d.dst.Query(tidOf(c, d, 480)); err != nil || s.Verdict != Unknown {
		t.Errorf("after a restart: %+v, %v", s, err)
	}
}

// TestTransfer_2_KeepsTheLastOutcomes closes more than Window transfers.
func TestTransfer_2_KeepsTheLastOutcomes(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 0)
	const n = Window + 10
	xs := make([]*XFER, n+1)
	for i := 1; i <= n; i++ {
		x := prepare(t, a, b, 1)
		xs[i] = x
		res := mustReceive(t, b, x, yes)
		out, err := a.src.Receipt(&Receipt{Statement: res.Receipt, raw: []byte{1}})
		if err != nil {
			t.Fatal(err)
		}
		b.disk = append(b.disk, b.dst.Done(out.Done)...)
	}
	check := func() {
		t.Helper()
		for i, want := range map[int]Verdict{1: Unknown, 10: Unknown, 11: Installed, n: Installed} {
			res := mustReceive(t, b, xs[i], func(*Body) error {
				t.Errorf("transfer %d is judged again", i)
				return nil
			})
			if res.Receipt.Verdict != want || !res.Receipt.Closed || len(res.Records) != 0 {
				t.Errorf("transfer %d: %+v, want CLOSED %v", i, res.Receipt, want)
			}
		}
		if k := len(b.dst.pairs[pairKey{a.id, a.inc}].outcomes); k != Window {
			t.Errorf("%d outcomes kept, want %d", k, Window)
		}
	}
	check()
	if err := b.boot(); err != nil {
		t.Fatal(err)
	}
	check()
}

func TestTransfer_2_AtMost64Open(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 0)
	var first *XFER
	for i := range MaxOpen {
		x := prepare(t, a, b, 1)
		if i == 0 {
			first = x
		}
	}
	if _, _, err := a.src.Prepare(Order{Dst: b.id, Body: bodyFor(1)}); !errors.Is(err, ErrFull) {
		t.Fatalf("transfer %d: %v, want ErrFull", MaxOpen+1, err)
	}
	res := mustReceive(t, b, first, yes)
	if _, err := a.src.Receipt(signed(t, b, res.Receipt)); err != nil {
		t.Fatal(err)
	}
	prepare(t, a, b, 1)
}

// TestTransfer_2_WindowOfTheSource: one transfer that stays open ends new ones
// before the destination would drop them.
func TestTransfer_2_WindowOfTheSource(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 0)
	prepare(t, a, b, 1) // 1 stays open
	for {
		x, _, err := a.src.Prepare(Order{Dst: b.id, Body: bodyFor(1)})
		if errors.Is(err, ErrFull) {
			if got := a.src.pairs[pairKey{b.id, a.inc}].last; got != Window {
				t.Errorf("full at %d, want %d", got, Window)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		res := mustReceive(t, b, x, yes)
		if _, err := a.src.Receipt(&Receipt{Statement: res.Receipt, raw: []byte{1}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTransfer_2_RequestsAreAnsweredOnce(t *testing.T) {
	a, b := newParty(t, 2), newParty(t, 0)
	req := ident.NewRequest()
	x, recs, err := a.src.Prepare(Order{Dst: b.id, Request: req, Body: bodyFor(1)})
	if err != nil {
		t.Fatal(err)
	}
	a.disk = recs
	if got, ok := a.src.ByRequest(b.id, req).(*XFER); !ok || got.TID != x.TID || got.Hash() != x.Hash() {
		t.Errorf("ByRequest = %+v", got)
	}
	if a.src.ByRequest(b.id, ident.NewRequest()) != nil || a.src.ByRequest(b.id, ident.Request{}) != nil || a.src.ByRequest(a.id, req) != nil {
		t.Error("another request leads to the transfer")
	}
	out, err := a.src.Receipt(signed(t, b, mustReceive(t, b, x, yes).Receipt))
	if err != nil {
		t.Fatal(err)
	}
	a.disk = append(a.disk, out.Records...)
	for range 2 {
		if tid, ok := a.src.ClosedRequest(b.id, req); !ok || tid != x.TID || a.src.ByRequest(b.id, req) != nil {
			t.Errorf("ClosedRequest = %v, %v", tid, ok)
		}
		if err := a.boot(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTransfer_2_NotOurs(t *testing.T) {
	a, b, c := newParty(t, 1), newParty(t, 0), newParty(t, 7)
	x := prepare(t, a, b, 1)
	if _, err := c.dst.Receive(x, yes); !errors.Is(err, ErrForeign) {
		t.Errorf("XFER for another: %v", err)
	}
	if _, err := c.dst.Query(x.TID); !errors.Is(err, ErrForeign) {
		t.Errorf("QUERY for another: %v", err)
	}
	if _, err := c.src.Answer(x.TID); !errors.Is(err, ErrForeign) {
		t.Errorf("QUERY of another's transfer: %v", err)
	}
	res := mustReceive(t, b, x, yes)
	if _, err := c.src.Receipt(signed(t, b, res.Receipt)); !errors.Is(err, ErrForeign) {
		t.Errorf("RECEIPT for another: %v", err)
	}
	if _, err := a.src.Receipt(signed(t, b, Statement{TID: tidOf(a, b, 2), Verdict: Installed, XferHash: [32]byte{1}})); !errors.Is(err, ErrUnknown) {
		t.Errorf("RECEIPT for a transfer never made: %v", err)
	}
	for _, r := range []*Receipt{nil, {}, {Statement: res.Receipt}} {
		if _, err := a.src.Receipt(r); !errors.Is(err, ErrReceipt) {
			t.Errorf("a receipt that nobody verified: %v", err)
		}
	}
}

func TestTransfer_5_ReplayRefusesWhatDoesNotFit(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 0)
	x, recs, err := a.src.Prepare(Order{Dst: b.id, Body: bodyFor(1)})
	if err != nil {
		t.Fatal(err)
	}
	res := mustReceive(t, b, x, yes)
	out, err := a.src.Receipt(signed(t, b, res.Receipt))
	if err != nil {
		t.Fatal(err)
	}
	for name, disk := range map[string][]Record{
		"COMMIT before PREPARE": out.Records,
		"second PREPARE":        {recs[0], recs[0]},
		"second COMMIT":         {recs[0], out.Records[0], out.Records[0]},
		"second INSTALL":        {res.Records[0], res.Records[0]},
		"unknown kind":          {{Kind: 0x5f}},
		"trailing byte":         {{Kind: recs[0].Kind, Body: append(append([]byte{}, recs[0].Body...), 0)}},
	} {
		s, d := NewSource(a.id, a.inc), NewDestination(b.id)
		var err error
		for _, r := range disk {
			_, more := d.Replay(r)
			err = errors.Join(err, s.Replay(r), more)
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
