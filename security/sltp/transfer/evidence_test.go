package transfer

import (
	"errors"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

// TestTransfer_2_AnotherBodyIsEvidence: at the destination.
func TestTransfer_2_AnotherBodyIsEvidence(t *testing.T) {
	a, b := newParty(t, 9), newParty(t, 0)
	mustReceive(t, b, prepare(t, a, b, 1), yes)
	forged := NewXFER(tidOf(a, b, 1), 0, bodyFor(9), nil)
	res := mustReceive(t, b, forged, yes)
	if !res.Quarantined || res.Installed || res.Body != nil || len(res.Records) != 1 || !res.Records[0].Anchored() {
		t.Fatalf("%+v", res)
	}
	if res.Receipt.XferHash == forged.Hash() {
		t.Error("the receipt speaks of the forged body")
	}
	proof, err := forged.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // before and after a restart
		ev := b.dst.Evidence()
		if len(ev) != 1 || string(ev[0].Proof) != string(proof) || ev[0].Hash != forged.Hash() {
			t.Fatalf("evidence: %+v", ev)
		}
		if res := mustReceive(t, b, forged, yes); !res.Quarantined || len(res.Records) != 0 {
			t.Errorf("the same evidence again: %+v", res)
		}
		if err := b.boot(); err != nil {
			t.Fatal(err)
		}
	}
	// The source, which was set back to before, learns that it was.
	out, err := a.src.Receipt(signed(t, b, Statement{TID: forged.TID, Verdict: Installed, XferHash: forged.Hash()}))
	if err != nil || !out.Quarantined || len(out.Records) != 1 || len(a.src.Evidence()) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err := out.Done.Encode(); err == nil {
		t.Error("a quarantined transfer has a DONE to send")
	}
}

// TestTransfer_2_QuarantineEndsByInstalledOnly: after a contradiction a
// refusal no longer gives the right back, before and after a restart.
func TestTransfer_2_QuarantineEndsByInstalledOnly(t *testing.T) {
	for _, tc := range []struct {
		name string
		odd  Statement
	}{
		{"other hash", Statement{Verdict: Installed, XferHash: [32]byte{1}}},
		{"other hash refused", Statement{Verdict: Refused, Reason: "X", XferHash: [32]byte{1}}},
		{"unknown", Statement{Verdict: Unknown, Closed: true, Low: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := newParty(t, 1), newParty(t, 0)
			x, recs, err := a.src.Prepare(Order{Dst: b.id, Body: bodyFor(1)})
			if err != nil {
				t.Fatal(err)
			}
			tc.odd.TID = x.TID
			out, err := a.src.Receipt(signed(t, b, tc.odd))
			if err != nil || !out.Quarantined || out.Committed || out.Aborted {
				t.Fatalf("%+v, %v", out, err)
			}
			a.disk = append(recs, out.Records...)
			if err := a.boot(); err != nil {
				t.Fatal(err)
			}
			if out, err := a.src.Receipt(signed(t, b, tc.odd)); err != nil || !out.Quarantined || len(out.Records) != 0 {
				t.Errorf("again: %+v, %v", out, err)
			}
			if _, err := a.src.Receipt(signed(t, b, Statement{TID: x.TID, Verdict: Refused, Reason: "X", XferHash: x.Hash()})); !errors.Is(err, ErrNeedsRelease) {
				t.Errorf("a refusal after evidence: %v, want ErrNeedsRelease", err)
			}
			if out, err := a.src.Receipt(signed(t, b, Statement{TID: x.TID, Verdict: Installed, XferHash: x.Hash()})); err != nil || !out.Committed {
				t.Errorf("INSTALLED: %+v, %v", out, err)
			}
		})
	}
}

func TestTransfer_2_RevokedDestination(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 0)
	x := prepare(t, a, b, 1)
	revoked := func(s Statement) *Receipt {
		data, err := SignReceipt(b.key, []byte("leaf"), s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseRevokedReceipt(data, &a.key.PublicKey); !errors.Is(err, ErrReceipt) {
			t.Errorf("another key's receipt: %v", err)
		}
		r, err := ParseRevokedReceipt(data, &b.key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if _, err := a.src.Receipt(revoked(Statement{TID: x.TID, Verdict: Refused, Reason: "X", XferHash: x.Hash()})); !errors.Is(err, ErrNeedsRelease) {
		t.Errorf("a revoked module's refusal: %v, want ErrNeedsRelease", err)
	}
	if out, err := a.src.Receipt(revoked(Statement{TID: x.TID, Verdict: Installed, XferHash: x.Hash()})); err != nil || !out.Committed {
		t.Errorf("a revoked module's INSTALLED: %+v, %v", out, err)
	}
}

func TestTransfer_2_OlderIncarnation(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 0)
	old := prepare(t, a, b, 1)
	mustReceive(t, b, old, yes)
	next := *a
	next.inc, next.disk = ident.Incarnation{99}, nil
	if err := next.boot(); err != nil {
		t.Fatal(err)
	}
	if res := mustReceive(t, b, prepare(t, &next, b, 1), yes); !res.Installed {
		t.Fatalf("%+v", res)
	}
	if res := mustReceive(t, b, old, yes); !res.Installed || res.New {
		t.Errorf("what was opened before goes on: %+v", res)
	}
	res := mustReceive(t, b, NewXFER(tidOf(a, b, 2), 0, bodyFor(1), nil), yes)
	if res.Installed || res.Receipt.Reason != ReasonRolledBack || len(res.Records) != 1 {
		t.Errorf("new transfer of an older incarnation: %+v", res)
	}
	other := NewXFER(old.TID, 0, bodyFor(7), nil)
	res = mustReceive(t, b, other, yes)
	if res.Quarantined || res.Receipt.Reason != ReasonRolledBack || res.Receipt.XferHash != other.Hash() || len(res.Records) != 0 {
		t.Errorf("other body of an older incarnation is no evidence: %+v", res)
	}
	if err := b.boot(); err != nil {
		t.Fatal(err)
	}
	if res := mustReceive(t, b, NewXFER(tidOf(a, b, 3), 0, bodyFor(1), nil), yes); res.Receipt.Reason != ReasonRolledBack {
		t.Errorf("after a restart: %+v", res)
	}
}
