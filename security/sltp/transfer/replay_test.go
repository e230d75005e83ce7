package transfer

import (
	"errors"
	"slices"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

// FuzzReplay: no record makes a machine panic, alone or after all others, and
// what a machine takes it gives back in a snapshot that rebuilds it.
func FuzzReplay(f *testing.F) {
	a, b := newParty(f, 1), newParty(f, 0)
	x, recs, err := a.src.Prepare(Order{Dst: b.id, Body: bodyFor(1), Request: ident.Request{1}})
	if err != nil {
		f.Fatal(err)
	}
	res, err := b.dst.Receive(x, yes)
	if err != nil {
		f.Fatal(err)
	}
	snap, err := b.dst.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	whole, more := loanRecords(f, newParty(f, 1), newParty(f, 0))
	for _, r := range slices.Concat(recs, res.Records, snap, whole, more) {
		f.Add(r.Kind, r.Body)
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		r := Record{Kind: kind, Body: body}
		for n := range len(whole) + 1 { // after each beginning of a disk
			machines := newReplayed(a, b)
			var err error
			for _, old := range whole[:n] {
				err = errors.Join(err, machines.replay(old))
			}
			if err != nil {
				t.Fatal(err)
			}
			if machines.replay(r) == nil {
				machines.rebuild(t, a, b, kind, body)
			}
		}
	})
}

// replayed is the three machines of one disk.
type replayed struct {
	party
	arbiter *Arbiter
}

func newReplayed(a, b *party) *replayed {
	return &replayed{party{src: NewSource(a.id, a.inc), dst: NewDestination(b.id)}, NewArbiter()}
}

func (m *replayed) replay(r Record) error {
	_, err := m.dst.Replay(r)
	return errors.Join(err, m.src.Replay(r), m.arbiter.Replay(r))
}

func (m *replayed) rebuild(t *testing.T, a, b *party, kind uint8, body []byte) {
	t.Helper()
	s, err1 := m.src.Snapshot()
	d, err2 := m.dst.Snapshot()
	j, err3 := m.arbiter.Snapshot()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	again := newReplayed(a, b)
	for _, r := range append(append(s, d...), j...) {
		if err := again.replay(r); err != nil {
			t.Fatalf("record %x %x, then its snapshot: %v", kind, body, err)
		}
	}
	k, err := again.arbiter.Snapshot()
	if err != nil || m.state() != again.state() || len(j) != len(k) {
		t.Errorf("record %x %x: the snapshot rebuilds another state (%v)", kind, body, err)
	}
}

// TestTransfer_Records_EachKindIsFuzzed: the seeds of FuzzReplay are of every kind.
func TestTransfer_Records_EachKindIsFuzzed(t *testing.T) {
	seen := map[uint8]bool{}
	disk, snap := loanRecords(t, newParty(t, 1), newParty(t, 0))
	for _, r := range append(disk, snap...) {
		seen[r.Kind] = true
	}
	for kind := range uint8(0xff) {
		if Known(kind) && (kind >= KindLend && kind < KindInstall || kind >= KindBorrow) && !seen[kind] {
			t.Errorf("no record of kind %#x", kind)
		}
	}
}
