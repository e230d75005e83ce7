package authority_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/authority"
)

// renewer is a home server that has a certificate and frames that reach a server.
type renewer struct {
	*testing.T
	server *authority.Server
	dir    ca.OSDir
	clock  *clock
	keys   [2]*ecdsa.PrivateKey
	chain  [][]byte
	self   ident.Device
	frames []lrp.Frame // that were sent
}

func newRenewer(t *testing.T, edit func(*authority.Config)) *renewer {
	t.Helper()
	r := &renewer{T: t, clock: &clock{ms: start().UnixMilli()}}
	dir, err := ca.NewOSDir(t.TempDir())
	must(t, err)
	a, err := ca.Ceremony(dir, ca.Config{}, start())
	must(t, err)
	r.dir = dir
	for i := range r.keys {
		r.keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
	}
	req := r.request(1)
	c, err := a.Enroll(ca.Request{Role: pki.HomeServer, Signing: req.Signing, Delivery: req.Delivery, Stated: true}, start())
	must(t, err)
	r.chain, r.self = c.Chain, c.Device
	cfg := authority.Config{Store: dir, Now: r.clock.now}
	edit(&cfg)
	r.server, err = authority.New(cfg)
	must(t, err)
	return r
}

func (r *renewer) request(svn uint32) (out trem.SigningRequest) {
	r.Helper()
	var err error
	out.Signing, err = pki.NewRequest(r.keys[0], &pki.Module{SVN: svn, Implementation: []byte("test")})
	must(r, err)
	out.Delivery, err = pki.NewRequest(r.keys[1], nil)
	must(r, err)
	return out
}

func (r *renewer) carry(ctx context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	r.frames = append(r.frames, f)
	return r.server.Frame(ctx, f), nil
}

func (r *renewer) renew(svn uint32) (trem.Enrollment, error) {
	r.Helper()
	a, err := ca.Open(r.dir)
	must(r, err)
	return authority.Renew(r.Context(), r.carry, a.Trust().Roots[0], r.self, r.chain, r.request(svn), r.clock.now())
}

// TestLRP_1_RenewalIsOneFrameEachWay: a home server renews near its certificate's
// end, by one frame, and a frame that comes twice is answered from memory.
func TestLRP_1_RenewalIsOneFrameEachWay(t *testing.T) {
	r := newRenewer(t, func(*authority.Config) {})
	if _, err := r.renew(1); !errors.Is(err, authority.ErrNotDue) {
		t.Errorf("too early: %v", err)
	}
	r.clock.ms = start().AddDate(0, 0, 340).UnixMilli()
	e, err := r.renew(1)
	must(t, err)
	trust, err := pki.NewTrustStore(e.Roots...)
	must(t, err)
	peer, err := (&pki.Verifier{Trust: trust}).Verify(e.Chain, r.clock.now(), pki.HomeServer)
	if err != nil || peer.ID() != r.self || !peer.NotAfter().After(start().AddDate(0, 0, 400)) {
		t.Errorf("renewed: %v", err)
	}
	sent := r.frames[len(r.frames)-1]
	first, second := r.server.Frame(t.Context(), sent), r.server.Frame(t.Context(), sent)
	a, err := ca.Open(r.dir)
	must(t, err)
	if issued, err := a.Issued(ca.HomeServerClass); err != nil || len(issued) != 2 || len(first) != 1 || string(first[0].Body) != string(second[0].Body) {
		t.Errorf("a repeated frame was served again: %d issued, %v", len(issued), err)
	}
	// The address follows the root.
	must(t, a.RotateRoot(r.clock.now()))
	r.chain = e.Chain
	if e, err = r.renew(1); err != nil || string(e.Roots[0]) != string(a.Trust().Roots[0]) {
		t.Errorf("under the new root: %v", err)
	}
}

func TestLRP_1_RenewalsThatAreRefused(t *testing.T) {
	r := newRenewer(t, func(c *authority.Config) { c.PerMinute = 3 })
	a, err := ca.Open(r.dir)
	must(t, err)
	root := a.Trust().Roots[0]
	other := &renewer{T: t, server: r.server, dir: r.dir, clock: r.clock, chain: r.chain, self: r.self}
	for i := range other.keys {
		other.keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
	}
	if _, err := other.renew(2); !errors.Is(err, authority.ErrRefused) {
		t.Errorf("somebody else's certificate: %v", err)
	}
	bad := r.request(2)
	bad.Signing[len(bad.Signing)-1] ^= 1
	if _, err := authority.Renew(t.Context(), r.carry, root, r.self, r.chain, bad, r.clock.now()); !errors.Is(err, pki.ErrRequest) {
		t.Errorf("no possession: %v", err)
	}
	send := func(typ lrp.Type, body []byte, dst lrp.Addr) error {
		tx := lrp.NewTransaction(dst, lrp.Addr(r.self), r.clock.now(), time.Minute)
		for _, f := range r.server.Frame(t.Context(), tx.Next(typ, body)) {
			if err := tx.Check(f); err != nil {
				return err
			}
		}
		return nil
	}
	self := r.frames[0].Dst
	for name, tc := range map[string]struct {
		err  error
		want lrp.Code
	}{
		"SLTP":            {send(lrp.TypeGossip, nil, self), lrp.CodeUnsupported},
		"another address": {send(lrp.TypeRenew, nil, lrp.Addr{1}), lrp.CodeUnknownDst},
	} {
		if e, ok := errors.AsType[*lrp.Error](tc.err); !ok || e.Code != tc.want {
			t.Errorf("%s: %v", name, tc.err)
		}
	}
	if err := send(lrp.TypeRenew, []byte{1}, self); err != nil {
		t.Errorf("a body of another layout is an answer: %v", err)
	}
	if _, err := r.renew(2); !errors.Is(err, authority.ErrBusy) {
		t.Errorf("the fourth in a minute: %v", err)
	}
	lost := func(context.Context, lrp.Frame) ([]lrp.Frame, error) { return nil, errors.New("no way") }
	if _, err := authority.Renew(t.Context(), lost, root, r.self, r.chain, r.request(2), r.clock.now()); !errors.Is(err, authority.ErrAway) {
		t.Errorf("nobody there: %v", err)
	}
	silent := func(context.Context, lrp.Frame) ([]lrp.Frame, error) { return nil, nil }
	if _, err := authority.Renew(t.Context(), silent, root, r.self, r.chain, r.request(2), r.clock.now()); !errors.Is(err, authority.ErrAway) {
		t.Errorf("no answer: %v", err)
	}
}
