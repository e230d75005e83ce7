package module_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

// closing is a house with a shop that may end.
type closing struct {
	*house
	key    *ecdsa.PrivateKey // the notice key
	point  []byte
	film   *stuff
	shown  [][]byte  // what the authority says stands
	silent time.Time // last seen; zero = the leaf is not there
	flag   bool
}

const dayLong = 24 * time.Hour

// newClosing is a house that bought a film with a sunset.
func newClosing(t *testing.T, terms string, mode uint64, free time.Duration, also ...func(*license.Info)) *closing {
	t.Helper()
	h := newHouse(t)
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	h.must(err)
	c := &closing{house: h, key: key}
	c.point, err = license.NoticeKey(key.Public())
	h.must(err)
	c.film = h.stock(cenc.SchemeCENC, filmID)
	g := h.sell(terms, filmID)
	got := c.buy(filmID, func(e trem.Event) trem.Terms {
		x := g(e)
		x.Info.Sunset = &license.Sunset{Mode: mode, SilenceMS: (365 * dayLong).Milliseconds(), NoticeKey: c.point}
		if free > 0 {
			x.Info.Sunset.FreeAfter = h.now.Add(free).UnixMilli()
		}
		for _, change := range also {
			change(&x.Info)
		}
		return x
	})
	c.wantKinds(got[:1], trem.EventInstalled)
	return c
}

// wait lets days go by; modules hear a state and the time every hundred days.
func (c *closing) wait(days int, modules ...*box) {
	c.t.Helper()
	for days > 0 {
		step := min(days, 100)
		days -= step
		c.pass(time.Duration(step) * dayLong)
		c.hear(modules...)
	}
}

// hear brings modules up to date with what the authority says.
func (c *closing) hear(modules ...*box) {
	c.t.Helper()
	c.pki.Now = c.now
	c.state, c.times = c.pki.Party(pki.StateSigner), c.pki.Party(pki.TimeSigner)
	if !c.silent.IsZero() {
		c.must(c.builder.SetIssuer(c.issuerID, c.silent, c.flag))
	}
	s := c.publish()
	for _, b := range modules {
		c.must(c.learnTime(b))
		c.must(b.Learn(context.Background(), trem.Learned{
			Head: s.Head().Bytes(), HeadChain: c.state.Chain, Snapshot: s.Snapshot(), Notices: c.standing(),
		}))
	}
}

// announce lets a notice stand that takes effect after so many days.
func (c *closing) announce(days int, scope ...ident.Content) []byte {
	c.t.Helper()
	n, err := license.SignNotice(c.key, license.Notice{Issuer: c.issuerID, Scope: scope, Effective: c.now.Add(time.Duration(days) * dayLong).UnixMilli()})
	c.must(err)
	c.silent, c.flag, c.shown = c.now, true, [][]byte{n}
	return n
}

func (c *closing) standing() (out [][]byte) {
	for _, n := range c.shown {
		s, err := license.SignStanding(c.state.Key, c.state.Leaf(), n, c.silent.UnixMilli())
		c.must(err)
		out = append(out, s)
	}
	return out
}

func (b *box) release(s *stuff) ([]byte, error) {
	return b.play(s, content.SD, trem.Ask{Content: filmID, Action: permission.Play, Output: trem.OutputInternal, Release: true}, 0)
}

// wantKept checks that a title is not released.
func (c *closing) wantKept(when string) {
	c.t.Helper()
	_, err := c.home.release(c.film)
	if no, ok := errors.AsType[*trem.RefusalError](err); !ok || no.Decision.Allow || no.Decision.Reasons[0].Code != license.NoGrant {
		c.t.Fatalf("%s: %v", when, err)
	}
}

func (c *closing) wantReleased(when string) {
	c.t.Helper()
	clear, err := c.home.release(c.film)
	if err != nil || !bytes.Contains(clear, []byte("moov")) || len(clear) < 10_000 {
		c.t.Fatalf("%s: %d bytes, %v", when, len(clear), err)
	}
	if _, err := c.tablet.release(c.film); err == nil {
		c.t.Fatalf("%s: a device released it", when)
	}
}

// TestLicense_4_SunsetByDate: the day, and nothing that its owner can set.
func TestLicense_4_SunsetByDate(t *testing.T) {
	c := newClosing(t, purchase, license.SunsetRelease, 50*dayLong)
	c.wantKept("on the first day")
	c.home.clock.setRTC(c.now.Add(4000 * dayLong))
	c.wantKept("a clock set ahead")
	c.home.restart()
	c.wantKept("and started again")
	c.home.clock.id++ // rebooted, offline
	c.home.clock.setRTC(c.now.Add(60 * dayLong))
	c.home.restart()
	c.wantKept("rebooted with a clock that is ahead and plausible")
	c.home.clock.setRTC(c.now)
	c.home.clock.pass(60 * dayLong)
	c.wantKept("60 days on without a word of an authority")
	c.home.clock.setRTC(c.now)
	c.pass(49 * dayLong)
	c.hear(c.home)
	c.wantKept("a day before")
	c.pass(dayLong)
	c.hear(c.home)
	c.wantReleased("on the day")
	c.home.restart()
	c.wantReleased("after a restart")
}

// A release is no play: it takes no place, and no play ends it.
func TestEvaluator_E5_AReleaseTakesNoPlace(t *testing.T) {
	ctx := context.Background()
	c := newClosing(t, purchase, license.SunsetRelease, 50*dayLong, func(i *license.Info) {
		i.Policy.Concurrency = &license.ConcurrencyRule{Max: 1, OnFull: license.BlockNew}
	})
	c.pass(50 * dayLong)
	c.hear(c.home)
	released, err := c.home.Begin(ctx, trem.Ask{Content: filmID, Action: permission.Play, Output: trem.OutputInternal, Release: true})
	c.must(err)
	shown, err := c.home.Begin(ctx, screen(false))
	c.must(err)
	_, err = c.home.Begin(ctx, screen(false))
	var no *trem.RefusalError
	if !errors.As(err, &no) || !no.Decision.Has(license.SlotFull) {
		t.Errorf("a second screen: %v, want SLOT_FULL", err)
	}
	c.must(c.home.End(ctx, shown.Handle))
	c.must(c.home.End(ctx, released.Handle)) // it is still there
}

// TestLicense_4_SunsetByNotice: it stands, takes effect, and stays.
func TestLicense_4_SunsetByNotice(t *testing.T) {
	c := newClosing(t, purchase, license.SunsetRelease, 0)
	c.announce(40)
	c.hear(c.home)
	c.wantKept("announced")
	d, err := c.home.Evaluate(context.Background(), trem.Ask{Content: filmID, Action: permission.Play, Output: trem.OutputLink})
	if err != nil || !d.Allow || !slices.ContainsFunc(d.Next, func(n license.Change) bool { return n.Change == "SUNSET" }) {
		t.Fatalf("%+v, %v", d.Next, err)
	}
	c.pass(39 * dayLong)
	c.hear(c.home)
	c.wantKept("a day before")
	c.pass(dayLong)
	c.wantKept("on the day, with a state of the day before")
	c.hear(c.home)
	c.wantReleased("on the day")
	c.flag, c.shown, c.silent = false, nil, c.now // the authority cannot take it back
	c.hear(c.home)
	c.wantReleased("for ever")
}

// TestLicense_4_NoticesThatDoNotCount are those that lead to nothing.
func TestLicense_4_NoticesThatDoNotCount(t *testing.T) {
	c := newClosing(t, purchase, license.SunsetRelease, 0)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	mine := c.key
	for _, tc := range []struct {
		name string
		do   func()
	}{
		{"of another key", func() { c.key = stranger; c.announce(31); c.key = mine }},
		{"of other titles", func() { c.announce(31, "another-film") }},
		{"in less than 30 days", func() { c.announce(29) }},
		{"without the flag", func() { c.announce(31); c.flag = false }},
		{"of another time than the leaf's", func() {
			c.announce(31)
			c.silent = c.silent.Add(-time.Hour)
			c.shown = c.standing()
			c.silent = c.silent.Add(time.Hour)
		}},
	} {
		c.shown, c.flag, c.silent = nil, false, c.now
		c.hear(c.home)
		tc.do()
		c.hear(c.home)
		c.pass(35 * dayLong)
		c.hear(c.home)
		c.wantKept(tc.name)
	}
}

// TestLicense_4_WithdrawnNotice: a notice that was taken back in time comes to
// nothing, also when a courier goes on showing it beside a later one.
func TestLicense_4_WithdrawnNotice(t *testing.T) {
	c := newClosing(t, purchase, license.SunsetRelease, 0)
	first := c.announce(40)
	c.hear(c.home)
	c.pass(20 * dayLong)
	c.flag, c.shown, c.silent = false, [][]byte{first}, c.now
	c.hear(c.home)
	c.pass(30 * dayLong)
	c.hear(c.home)
	c.wantKept("withdrawn")
	c.announce(60)
	c.shown = nil
	c.hear(c.home) // the owner shows the state, and not the new notice
	c.pass(10 * dayLong)
	c.hear(c.home)
	c.wantKept("withdrawn, and another one stands")
}

// TestLicense_4_SunsetBySilence: a head whose leaf of the issuer is a year old,
// or no head at all for two years of signed time.
func TestLicense_4_SunsetBySilence(t *testing.T) {
	c := newClosing(t, purchase, license.SunsetRelease, 0)
	c.silent = c.now
	c.wait(364, c.home)
	c.wantKept("a day before")
	c.wait(1, c.home)
	c.wantReleased("after a year")

	c = newClosing(t, purchase, license.SunsetRelease, 0)
	for range 7 {
		c.pass(100 * dayLong)
		c.pki.Now = c.now
		c.times = c.pki.Party(pki.TimeSigner)
		c.must(c.learnTime(c.home))
	}
	c.pass(29 * dayLong)
	c.must(c.learnTime(c.home))
	c.wantKept("729 days without a state")
	c.pass(2 * dayLong)
	c.must(c.learnTime(c.home))
	c.wantReleased("two years without a state")
}

// bind asks the house for a license of a device's own.
func (c *closing) bind(b *box) []trem.Event {
	c.t.Helper()
	o, err := b.Open(context.Background(), trem.LicenseRequest{Peer: c.home.id, Request: ident.NewRequest(), Content: filmID, Op: trem.OpBind})
	c.must(err)
	return c.carry(b, c.home, o, nil)
}

// TestLicense_4_Rebind: the house binds a title to its devices when the shop has
// ended, and only then; a device believes the end only by what it knows itself.
func TestLicense_4_Rebind(t *testing.T) {
	c := newClosing(t, purchase, license.SunsetRebind, 50*dayLong)
	if got := c.bind(c.tablet); !slices.Contains(kinds(got), trem.EventRefused) {
		t.Fatalf("before the end: %v", kinds(got))
	}
	c.wantKept("mode 1 releases nothing")
	c.pass(51 * dayLong)
	c.hear(c.home, c.tablet, c.phone)
	c.wantKept("mode 1 releases nothing")
	got := c.bind(c.tablet)
	if !slices.Contains(kinds(got), trem.EventInstalled) {
		t.Fatalf("%v", got)
	}
	lic := c.boundTo(c.tablet)
	if lic.Info().Subject != license.DeviceSubject(c.tablet.id) || lic.Units().Text() != "PLAY" {
		t.Errorf("%v %s", lic.Info().Subject, lic.Units().Text())
	}
	if _, err := c.tablet.play(c.film, content.SD, trem.Ask{Content: filmID, License: lic.Info().ID, Action: permission.Play, Output: trem.OutputInternal}, 0); err != nil {
		t.Error(err)
	}
	c.home.restart() // the log keeps it
	c.bind(c.tablet)
	if again := c.boundTo(c.tablet); again.Info().ID != lic.Info().ID {
		t.Errorf("bound twice: %v", again.Info().ID)
	}
}

// boundTo is the one license that is bound to a device.
func (c *closing) boundTo(b *box) *license.License {
	c.t.Helper()
	held, err := b.Licenses(context.Background())
	c.must(err)
	held = slices.DeleteFunc(held, func(h trem.Held) bool { return h.Kind != uint64(license.KindRebind) })
	if len(held) != 1 {
		c.t.Fatalf("%d licenses are bound to the device", len(held))
	}
	lic, err := license.Parse(held[0].Bytes)
	c.must(err)
	return lic
}

// TestLicense_4_RebindNeedsProofAtTheDevice: the house's word is not enough.
func TestLicense_4_RebindNeedsProofAtTheDevice(t *testing.T) {
	c := newClosing(t, purchase, license.SunsetRebind, 0)
	c.announce(31)
	c.hear(c.home)
	c.pass(32 * dayLong)
	c.hear(c.home) // the tablet hears the state only by SLTP, and no notice
	if got := c.bind(c.tablet); slices.Contains(kinds(got), trem.EventInstalled) {
		t.Fatalf("%v", got)
	}
	c.hear(c.home, c.tablet)
	if got := c.bind(c.tablet); !slices.Contains(kinds(got), trem.EventInstalled) {
		t.Fatalf("with the proof: %v", got)
	}
}

// TestLicense_4_CountedIsNotRebound, nor a license without a sunset.
func TestLicense_4_CountedIsNotRebound(t *testing.T) {
	c := newClosing(t, rental, license.SunsetRebind, 50*dayLong)
	c.pass(51 * dayLong)
	c.hear(c.home, c.tablet)
	if got := c.bind(c.tablet); !slices.Contains(kinds(got), trem.EventRefused) {
		t.Fatalf("%v", kinds(got))
	}
}

// TestLicense_4_FourNewDevicesAYear: and who has it already is not new.
func TestLicense_4_FourNewDevicesAYear(t *testing.T) {
	c := newClosing(t, purchase, license.SunsetRebind, 50*dayLong)
	c.pass(51 * dayLong)
	devices := []*box{c.tablet, c.phone}
	for range 3 {
		b := c.box(pki.Device, pkitest.Devices)
		b.clock.rtc = c.now
		devices = append(devices, b)
	}
	c.hear(append(devices, c.home)...)
	for _, b := range devices[2:] {
		c.must(c.pair(b))
	}
	for i, b := range devices {
		got := slices.Contains(kinds(c.bind(b)), trem.EventInstalled)
		if want := i < 4; got != want {
			t.Errorf("device %d: installed %v", i, got)
		}
	}
	c.home.restart()
	if got := c.bind(devices[4]); !slices.Contains(kinds(got), trem.EventRefused) {
		t.Errorf("the fifth after a restart: %v", kinds(got))
	}
}

// TestLicense_4_BackupAfterTheSunset: the household's own code restores what only
// the shop could restore before.
func TestLicense_4_BackupAfterTheSunset(t *testing.T) {
	c := newClosing(t, purchase+"; CHARGE=PURCHASE", license.SunsetRebind, 50*dayLong)
	ctx := context.Background()
	code, err := c.home.RecoveryCode(ctx)
	c.must(err)
	b, _, err := c.home.Backup(ctx, trem.BackupOrder{Code: code}, nil)
	c.must(err)
	if b.Titles[0].Needs != trem.NeedsIssuer {
		t.Fatalf("before: %+v", b.Titles)
	}
	c.pass(51 * dayLong)
	c.hear(c.home)
	b, file, err := c.home.Backup(ctx, trem.BackupOrder{}, nil)
	c.must(err)
	if b.Titles[0].Needs != trem.NeedsNothing {
		t.Fatalf("after: %+v", b.Titles)
	}
	heir := c.box(pki.HomeServer, pkitest.HomeServers)
	heir.clock.rtc = c.now
	c.hear(heir)
	_, err = heir.Found(ctx)
	c.must(err)
	got, _, err := heir.Restore(ctx, trem.RestoreOrder{Code: code}, file)
	if err != nil || got.Titles[0].Needs != trem.NeedsNothing {
		t.Fatalf("%+v, %v", got.Titles, err)
	}
	held, err := heir.Licenses(ctx)
	if err != nil || len(held) != 1 {
		t.Fatalf("%d licenses, %v", len(held), err)
	}
}

// TestLicense_4_PowerFailsAsItComes: whatever part of what was learned is on the
// disk, the sunset has come or has not, and comes when it is learned again.
func TestLicense_4_PowerFailsAsItComes(t *testing.T) {
	for f := torn1; f <= torn3; f++ {
		c := newClosing(t, purchase, license.SunsetRelease, 0)
		c.announce(31)
		x := &flow{house: c.house, fault: f}
		x.torn(c.home, func() error { c.hear(c.home); return nil })
		c.wantKept("announced")
		c.hear(c.home)
		c.pass(31 * dayLong)
		x.torn(c.home, func() error { c.hear(c.home); return nil })
		c.hear(c.home)
		c.wantReleased("learned again")
		c.home.restart()
		c.wantReleased("and it stays")
	}
}

// TestLicense_4_BindMeetsEveryFault: each command of a re-binding is lost, torn,
// repeated or late; in the end the device has one license of its own, and the
// house counts one device.
func TestLicense_4_BindMeetsEveryFault(t *testing.T) {
	run := func(f fault, at int) int {
		c := newClosing(t, purchase, license.SunsetRebind, 50*dayLong)
		c.pass(51 * dayLong)
		c.hear(c.home, c.tablet, c.phone)
		return one(t, c.house, f, at, func(*flow) {}, func(x *flow) {
			x.fetch(c.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpBind})
			x.straggle()
			first := c.boundTo(c.tablet)
			x.fault = never
			x.fetch(c.phone, trem.LicenseRequest{Content: filmID, Op: trem.OpBind})
			if other := c.boundTo(c.phone); other.Info().ID == first.Info().ID || other.Info().Parent.Hash != first.Info().Parent.Hash {
				t.Errorf("%v and %v", other.Info().ID, first.Info().ID)
			}
		})
	}
	commands := run(never, -1)
	for at := range commands / 2 { // the second half is the other device's
		for f := before; f <= late; f++ {
			if needs.Part(at + int(f)) {
				run(f, at)
			}
		}
	}
}
