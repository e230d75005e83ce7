package file_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/interconnect/lrp/file"
	"github.com/lares-drm/lares/interconnect/lrp/lrptest"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/revocation"
)

// million are two states of a class of a million devices: one in four revoked,
// then three more of a hundred.
type million struct {
	domain   *pkitest.Domain
	signer   *pkitest.Party
	old, now *revocation.State
}

func newMillion(t *testing.T) *million {
	t.Helper()
	m := &million{domain: pkitest.New(t, pkitest.Start())}
	m.signer = m.domain.Party(pki.StateSigner)
	const devices = 1_000_000
	b := revocation.NewBuilder(nil)
	for class, members := range map[pki.Class]uint32{pkitest.RootClass: 65536, pkitest.Manufacturer: 65536, pkitest.Devices: devices} {
		must(t, b.Allot(class, members))
	}
	some := func(of, from uint32) (out []uint32) {
		for i, x := uint32(0), from; i < devices; i++ {
			if x = x*1664525 + 1013904223; x>>16%1000 < of {
				out = append(out, i)
			}
		}
		return out
	}
	must(t, b.RevokeDevices(pkitest.Devices, some(250, 1)))
	m.old = m.sign(t, b, 1)
	b = revocation.NewBuilder(m.old)
	must(t, b.RevokeDevices(pkitest.Devices, some(30, 7)))
	m.now = m.sign(t, b, 2)
	return m
}

func (m *million) sign(t *testing.T, b *revocation.Builder, number uint64) *revocation.State {
	t.Helper()
	at := pkitest.Start().Add(time.Duration(number) * time.Hour)
	s, err := b.Sign(m.signer.Key, revocation.Issue{Epoch: pki.Epoch{Number: number}, IssuedAt: at, NextUpdate: at.Add(24 * time.Hour)})
	must(t, err)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// house answers from the newer state.
func (m *million) house(t *testing.T) lrp.Handler {
	t.Helper()
	claim, err := revocation.NewClaim(m.now.Head().Bytes(), m.signer.Chain, nil, nil).Encode()
	must(t, err)
	delta, err := m.now.Delta(m.old)
	must(t, err)
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: relay, Gossip: func(_ lrp.Addr, ask lrp.Gossip) ([]lrp.Gossip, error) {
		whole := map[lrp.GossipKind][]byte{lrp.GossipHead: claim, lrp.GossipSnapshot: m.now.Snapshot()}[ask.Want]
		if ask.Want == lrp.GossipDelta && ask.Epoch == 1 {
			whole = delta
		}
		return ask.Pieces(2, whole), nil
	}})
	must(t, err)
	return func(_ context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
		return e.HandleBy(by, f, lrptest.Start(), nil)
	}
}

// device is who has the older state, or none, and no network.
type device struct {
	m     *million
	watch *revocation.Watch
	kept  []byte // of its inquiry, as in its folder
}

func (d *device) inquiry() *lrp.Inquiry {
	var known uint64
	if s := d.watch.State(); s != nil {
		known = s.Epoch().Number
	}
	return lrp.Resume(lrp.InquiryConfig{Known: known, Max: revocation.MaxSnapshot, Judge: func(head []byte) (uint64, error) {
		c, err := revocation.ParseClaim(head)
		if err != nil {
			return 0, err
		}
		h, err := c.Verify(d.m.domain.Trust)
		if err != nil {
			return 0, err
		}
		return h.Epoch.Number, nil
	}}, d.kept)
}

// journey leaves questions in the folder, has the house look into it, and takes
// the answers, or has its power cut before.
func (d *device) journey(t *testing.T, dir string, house *file.Server, cut bool) {
	t.Helper()
	c, q := &file.Client{Dir: dir}, d.inquiry()
	type asked struct {
		ask lrp.Gossip
		f   lrp.Frame
	}
	var left []asked
	for _, ask := range q.Together() {
		body, err := ask.Encode()
		must(t, err)
		f := lrp.NewTransaction(relay, car, lrptest.Start(), lrp.Life).Next(lrp.TypeGossip, body)
		must(t, c.Leave(t.Context(), f))
		left = append(left, asked{ask, f})
	}
	sweep(t, house)
	for i, a := range left {
		if cut && i > 0 {
			return
		}
		answers, there, err := c.Answers(a.f)
		if err != nil || !there {
			t.Fatalf("no answer: %v", err)
		}
		pieces, err := lrp.GossipOf(answers)
		must(t, err)
		must(t, q.Answer(a.ask, pieces))
		d.kept, err = q.Encode()
		must(t, err)
		must(t, c.Done(a.f))
	}
	if f, ok := q.Found(); ok {
		claim, err := revocation.ParseClaim(f.Head)
		must(t, err)
		w, err := d.watch.Take(revocation.Offer{Head: claim.Head, Chain: claim.Chain, Snapshot: f.Snapshot, Delta: f.Delta}, &pki.Verifier{Trust: d.m.domain.Trust}, time.Time{})
		must(t, err)
		d.watch = w
		q.Learned()
	}
}

// TestGossip_Spec13_AMillionDevicesByAFolder: a device that never sees a network
// gets the state of a million others from a stick, whole or as a step, and goes
// on where its power was cut.
func TestGossip_Spec13_AMillionDevicesByAFolder(t *testing.T) {
	m := newMillion(t)
	t.Logf("snapshot of %d bytes, %d of %d revoked", len(m.now.Snapshot()), m.now.Leaves()[2].Revoked, m.now.Leaves()[2].Issued)
	if len(m.now.Snapshot()) <= lrp.MaxPiece {
		t.Error("the state fits into one piece: this is no test of more")
	}
	old, err := new(revocation.Watch).Take(revocation.Offer{Head: m.old.Head().Bytes(), Chain: m.signer.Chain, Snapshot: m.old.Snapshot()}, &pki.Verifier{Trust: m.domain.Trust}, time.Time{})
	must(t, err)
	for name, start := range map[string]*revocation.Watch{"nothing": {}, "a step behind": old} {
		for cuts := range 3 {
			d := &device{m: m, watch: start}
			dir := t.TempDir()
			house := server(dir, m.house(t))
			for range cuts {
				d.journey(t, dir, house, true)
			}
			d.journey(t, dir, house, false)
			if s := d.watch.State(); s == nil || s.Epoch().Number != 2 || s.Head().Hash() != m.now.Head().Hash() {
				t.Errorf("%s, cut %d times: %v", name, cuts, s)
			}
		}
	}
	other := newMillionHead(t)
	d := &device{m: other, watch: new(revocation.Watch)}
	q := d.inquiry()
	claim, err := revocation.NewClaim(m.now.Head().Bytes(), m.signer.Chain, nil, nil).Encode()
	must(t, err)
	ask, _ := q.Ask()
	if err := q.Answer(ask, ask.Pieces(2, claim)); !errors.Is(err, lrp.ErrClaim) {
		t.Errorf("a state of another trust domain: %v, want ErrClaim", err)
	}
	if fmt.Sprint(q.Together()) != "[]" {
		t.Error("it asks on")
	}
}

// newMillionHead is another trust domain.
func newMillionHead(t *testing.T) *million {
	t.Helper()
	return &million{domain: pkitest.New(t, pkitest.Start())}
}
