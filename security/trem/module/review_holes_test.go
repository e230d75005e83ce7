package module_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

// fill makes every further write to the open log of b fail, as a full disk does.
func (b *box) fill() {
	b.t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer full.Close()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		b.t.Fatal(err)
	}
	n := 0
	for _, e := range fds {
		to, _ := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if strings.HasPrefix(to, b.dir) && strings.HasSuffix(to, ".seg") {
			fd, _ := strconv.Atoi(e.Name())
			if err := unix.Dup3(int(full.Fd()), fd, 0); err != nil {
				b.t.Fatal(err)
			}
			n++
		}
	}
	if n == 0 {
		b.t.Fatal("no open log")
	}
}

// mend ends the module, which may have ended itself, and starts it again.
func (b *box) mend() {
	b.t.Helper()
	_ = b.Close()
	<-b.exited
	b.start()
}

// ask opens an exchange at b and carries it until the home server's answer; errors of the home are ignored.
func (h *house) tryGet(b *box, req ident.Request, plays uint64) []trem.Event {
	h.t.Helper()
	ctx := context.Background()
	o, err := b.Open(ctx, trem.LicenseRequest{Peer: h.home.id, Request: req, Content: filmID, Plays: plays})
	if err != nil {
		h.t.Logf("device: %v", err) // a module whose store failed has ended
		return nil
	}
	var events []trem.Event
	for q := o.Messages; len(q) > 0; q = q[1:] {
		got, err := h.home.Receive(ctx, q[0])
		if err != nil {
			h.t.Logf("home: %v", err)
			continue
		}
		for _, m := range got.Messages {
			got, err := b.Receive(ctx, m)
			if err != nil {
				h.t.Logf("device: %v", err)
				continue
			}
			events = append(events, got.Events...)
			q = append(q, got.Messages...)
		}
	}
	return events
}

func playsLeft(t *testing.T, b *box) (n uint64) {
	t.Helper()
	held, err := b.Licenses(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range held {
		if l.Counters.PlaysLeft != nil {
			n += *l.Counters.PlaysLeft
		}
	}
	return n
}

func TestReview_A1_BrokenStoreGivesNothing(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(rental, filmID))
	h.must(h.pair(h.tablet))
	h.home.fill()
	req := ident.NewRequest()
	t.Log(kinds(h.tryGet(h.tablet, req, 2)))
	t.Log(kinds(h.tryGet(h.tablet, req, 2)))
	h.home.mend()
	if got := playsLeft(t, h.home) + playsLeft(t, h.tablet); got != 2 {
		t.Errorf("%d plays of 2: home %d, tablet %d", got, playsLeft(t, h.home), playsLeft(t, h.tablet))
	}
}

func TestReview_A2_BrokenStoreSignsNothing(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(rental, filmID))
	h.must(h.pair(h.tablet))
	h.learn(h.tablet)
	h.tablet.fill()
	req := ident.NewRequest()
	t.Log(kinds(h.tryGet(h.tablet, req, 2)))
	t.Log(kinds(h.tryGet(h.tablet, req, 2)))
	h.tablet.mend()
	t.Log(kinds(h.tryGet(h.tablet, req, 2)))
	if got := playsLeft(t, h.home) + playsLeft(t, h.tablet); got != 2 {
		t.Errorf("%d plays of 2: home %d, tablet %d", got, playsLeft(t, h.home), playsLeft(t, h.tablet))
	}
}

func (b *box) reboot(id byte, rtc time.Time, up time.Duration) {
	b.t.Helper()
	_ = b.Close()
	<-b.exited
	b.clock.mu.Lock()
	b.clock.id, b.clock.rtc, b.clock.boot = id, rtc, up
	b.clock.mu.Unlock()
	b.start()
}

func TestReview_B_FreeClockKeepsUptime(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(rental, filmID))
	h.home.reboot(9, time.Unix(0, 0), 10*time.Hour)
	before, err := h.home.Status(context.Background())
	h.must(err)
	ses, err := h.home.Begin(context.Background(), playAsk(content.HD))
	h.must(err)
	after, err := h.home.Status(context.Background())
	h.must(err)
	if after.Clock.Est < before.Clock.Est {
		t.Errorf("est fell by %v", time.Duration(before.Clock.Est-after.Clock.Est)*time.Millisecond)
	}
	_ = ses
}

func TestReview_B2_FreeClockPlays(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(rental, filmID))
	h.home.reboot(9, time.Unix(0, 0), 10*time.Hour)
	for range 2 {
		if _, err := h.home.play(s, content.HD, playAsk(content.HD), 0); err != nil {
			var d string
			if r, ok := errors.AsType[*trem.RefusalError](err); ok {
				for _, x := range r.Decision.Reasons {
					d += string(x.Code) + " "
				}
			}
			t.Fatalf("%v %s", err, d)
		}
		h.home.clock.pass(time.Minute)
	}
}

func TestReview_C_RebootsAddUp(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	end := h.now.Add(48 * time.Hour).UTC().Format(time.RFC3339)
	h.wantKinds(h.buy(filmID, h.sell("PLAY; END_TIME="+end+"; EXPORT=clearkey", filmID)), trem.EventInstalled)
	at := h.now
	n := 0
	for i := range 10 {
		h.home.reboot(byte(10+i), at.Add(time.Minute), time.Minute)
		if _, err := h.home.play(s, content.HD, playAsk(content.HD), 0); err != nil {
			break
		}
		n++
		h.home.clock.pass(20 * time.Hour)
		if _, err := h.home.play(s, content.HD, playAsk(content.HD), 0); err != nil {
			break
		}
		n++
	}
	if n > 5 {
		t.Errorf("%d plays, the last of them %d hours powered on after the last sync; the grace is 24 h", n, n/2*20)
	}
}

func TestReview_D_TwoRoots(t *testing.T) {
	h := newHouse(t)
	other := pkitest.New(t, pkitest.Start())
	b := &box{t: t, dir: t.TempDir(), clock: &clock{rtc: h.now, boot: time.Minute}}
	b.start()
	t.Cleanup(func() { _ = b.Close(); <-b.exited })
	e := h.certify(b, pki.HomeServer, pkitest.HomeServers)
	e.Roots = append(e.Roots, other.Root)
	if err := b.Enroll(context.Background(), e); err == nil {
		t.Error("a module trusts a root that its own certificates are not under")
	}
}

func TestReview_E_Unconfirmed(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	ctx := context.Background()
	o, err := h.home.Open(ctx, trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: filmID, Issuer: h.issuerID})
	h.must(err)
	// message 1, 2, 3, 4; the receipt is lost
	m, to, from := o.Messages[0], h.issuer, h.home
	installed := false
	for range 4 {
		got, err := to.Receive(ctx, m)
		h.must(err)
		out := got.Messages
		for _, e := range got.Events {
			installed = installed || e.Kind == trem.EventInstalled
			out = append(out, h.host(to, e, h.sell(rental, filmID))...)
		}
		m, to, from = out[0], from, to
	}
	if !installed {
		t.Fatal("not installed")
	}
	got := kinds(h.get(h.tablet, filmID, 1))
	if slices.Contains(got, trem.EventInstalled) {
		t.Errorf("plays of an unconfirmed license were set aside: %v", got)
	}
}

func TestReview_F_RefusedAllowancesCost(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.learn(h.issuer) // newer than the tablet: rev_min_epoch
	h.learn(h.home)
	h.buy(filmID, h.sell(rental, filmID))
	for range 2 {
		ev := h.get(h.tablet, filmID, 1)
		for _, e := range ev {
			t.Log(e.Kind, e.Text, e.Code)
		}
	}
	t.Log("home has", playsLeft(t, h.home))
	h.learn(h.tablet)
	got := h.tryGet(h.tablet, ident.NewRequest(), 1)
	for _, e := range got {
		t.Log(e.Kind, e.Text, e.Code)
	}
	if !slices.Contains(kinds(got), trem.EventInstalled) {
		t.Errorf("%v", kinds(got))
	}
}

func TestReview_H_Full(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.buy(filmID, h.sell("PLAY; PLAY_COUNT=200", filmID))
	ctx := context.Background()
	for i := range 70 {
		o, err := h.tablet.Open(ctx, trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), Content: filmID, Plays: 1})
		h.must(err)
		a, err := h.home.Receive(ctx, o.Messages[0])
		h.must(err)
		b, err := h.tablet.Receive(ctx, a.Messages[0])
		h.must(err)
		c, err := h.home.Receive(ctx, b.Messages[0])
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		_ = c // message 4 is lost
	}
}

func TestReview_G_ReleaseToAnother(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	other := h.box(pki.HomeServer, pkitest.HomeServers)
	h.learn(other)
	_, err := other.Found(context.Background())
	h.must(err)
	h.wantKinds(h.buy(filmID, h.sell(purchase, filmID)), trem.EventInstalled)
	var sealed []byte
	for _, p := range h.sold {
		sealed = p.Sealed
	}
	ctx := context.Background()
	o, err := other.Open(ctx, trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: filmID, Issuer: h.issuerID})
	h.must(err)
	a, err := h.issuer.Receive(ctx, o.Messages[0])
	h.must(err)
	b, err := other.Receive(ctx, a.Messages[0])
	h.must(err)
	c, err := h.issuer.Receive(ctx, b.Messages[0])
	h.must(err)
	if _, err := h.issuer.Release(ctx, c.Events[0].Handle, sealed); err == nil {
		t.Error("the answer that was prepared for one house, with its keys, was sent to another")
	}
}

func TestReview_K_Level(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	g := h.sell(purchase, filmID)
	ctx := context.Background()
	o, err := h.home.Open(ctx, trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: filmID, Issuer: h.issuerID})
	h.must(err)
	a, err := h.issuer.Receive(ctx, o.Messages[0])
	h.must(err)
	b, err := h.home.Receive(ctx, a.Messages[0])
	h.must(err)
	c, err := h.issuer.Receive(ctx, b.Messages[0])
	h.must(err)
	terms := g(c.Events[0])
	terms.Info.Policy.MinLevel = 3
	p, err := h.issuer.Prepare(ctx, terms)
	if err != nil {
		return
	}
	d, err := h.issuer.Release(ctx, c.Events[0].Handle, p.Sealed)
	if err != nil {
		return
	}
	e, err := h.home.Receive(ctx, d[0])
	h.must(err)
	if slices.Contains(kinds(e.Events), trem.EventInstalled) {
		t.Error("keys of a license that needs SL3 are in the store of an SL1 module")
	}
}

func TestReview_L_LostAnswerNewRequest(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.buy(filmID, h.sell(rental, filmID))
	ctx := context.Background()
	o, err := h.tablet.Open(ctx, trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), Content: filmID, Plays: 2})
	h.must(err)
	a, err := h.home.Receive(ctx, o.Messages[0])
	h.must(err)
	b, err := h.tablet.Receive(ctx, a.Messages[0])
	h.must(err)
	_, err = h.home.Receive(ctx, b.Messages[0]) // message 4 is lost with the device's host
	h.must(err)
	h.tablet.restart()
	got := kinds(h.get(h.tablet, filmID, 2))
	if !slices.Contains(got, trem.EventInstalled) || playsLeft(t, h.tablet) != 2 {
		t.Errorf("the plays are lost: %v, home %d, tablet %d", got, playsLeft(t, h.home), playsLeft(t, h.tablet))
	}
}
