package module_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/module"
)

const filmID = ident.Content("lares-film")

// clock is a scripted kernel: what the owner of a machine can do to it.
type clock struct {
	mu   sync.Mutex
	rtc  time.Time
	boot time.Duration
	id   byte
}

func (c *clock) read() (module.Reading, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return module.Reading{RTC: c.rtc.UnixMilli(), Boot: c.boot.Milliseconds(), BootID: [16]byte{c.id}}, nil
}

// pass lets time go by as it does.
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rtc, c.boot = c.rtc.Add(d), c.boot+d
}

// setRTC is what `date -s` does.
func (c *clock) setRTC(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rtc = to
}

// box is one module, running in this process behind its stream.
type box struct {
	*trem.Client
	t      *testing.T
	dir    string
	clock  *clock
	exited chan error
	id     ident.Device
	plugs  *plugs          // its machine's outputs; nil = none can be read
	chip   func() *os.File // the TPM for a module of its own process whose keys are in one

	as      *user     // of a process of its own; nil = this one
	without []string  // walls that it does not put up
	stderr  io.Writer // nil = this process's
	tracer  []string  // a command that runs the process of its own; empty: none
}

func (b *box) start() {
	b.t.Helper()
	host, inside := net.Pipe()
	b.Client, b.exited = trem.NewClient(host), make(chan error, 1)
	cfg := module.Config{Dir: b.dir, Conn: inside, Clock: b.clock.read, BuildMS: pkitest.Start().UnixMilli()}
	if b.plugs != nil {
		cfg.Outputs = b.plugs.read
	}
	exited := b.exited
	go func() {
		defer inside.Close()
		exited <- module.Run(cfg)
	}()
}

// restart ends the module and starts it on the same folder.
func (b *box) restart() {
	b.t.Helper()
	if err := b.Close(); err != nil {
		b.t.Fatal(err)
	}
	if err := <-b.exited; err != nil {
		b.t.Fatal(err)
	}
	b.start()
}

// house is a household with its shop, all modules real.
type house struct {
	t             *testing.T
	pki           *pkitest.Domain
	state, times  *pkitest.Party
	issuer, home  *box
	tablet, phone *box
	aunt          *box // the server of another house, where a test has one
	issuerID      ident.Issuer
	epoch         uint64
	builder       *revocation.Builder
	rental        *stuff // where a test has one
	now           time.Time
	wire          [][]byte // every SLTP message that a courier carried
	seq           uint64
	sold          map[ident.Request]trem.Prepared  // the shop's table: what a request led to
	open          map[ident.Transfer]trem.Prepared // and which of it is not closed
}

func newHouse(t *testing.T) *house {
	t.Helper()
	d := pkitest.New(t, pkitest.Start())
	h := &house{
		t: t, pki: d, state: d.Party(pki.StateSigner), times: d.Party(pki.TimeSigner), builder: revocation.NewBuilder(nil), now: pkitest.Start().Add(time.Hour),
		sold: map[ident.Request]trem.Prepared{}, open: map[ident.Transfer]trem.Prepared{},
	}
	for class := range d.CAs {
		h.must(h.builder.Allot(class, 65536))
	}
	h.issuer, h.home = h.box(pki.LicenseIssuer, pkitest.Issuers), h.box(pki.HomeServer, pkitest.HomeServers)
	h.tablet, h.phone = h.box(pki.Device, pkitest.Devices), h.box(pki.Device, pkitest.SecondDevices)
	h.issuerID = "test-" + ident.Issuer(pkitest.Issuers.String())
	h.publish()
	for _, b := range []*box{h.issuer, h.home, h.tablet, h.phone} {
		h.learn(b)
	}
	_, err := h.home.Found(context.Background())
	h.must(err)
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// box makes a module and enrolls it.
func (h *house) box(role pki.Role, class pki.Class) *box {
	h.t.Helper()
	b := &box{t: h.t, dir: h.t.TempDir(), clock: &clock{rtc: h.now, boot: time.Minute}}
	b.start()
	h.t.Cleanup(func() { _ = b.Close(); <-b.exited })
	h.must(b.Enroll(context.Background(), h.certify(b, role, class)))
	s, err := b.Status(context.Background())
	h.must(err)
	b.id = s.Device
	return b
}

func (h *house) certify(b *box, role pki.Role, class pki.Class) trem.Enrollment {
	h.t.Helper()
	return h.certifyAs(b, role, class, pki.SL1, pki.A0)
}

func (h *house) certifyAs(b *box, role pki.Role, class pki.Class, level pki.Level, anchor pki.Anchor) trem.Enrollment {
	h.t.Helper()
	req, err := b.SigningRequest(context.Background())
	h.must(err)
	ca := h.pki.CAs[class]
	party := h.pki.Party(role, func(p *pki.Profile) { p.Member.Class = class }) // takes the index
	p := pki.Profile{Name: "module", Role: role, Member: party.Member, Levels: []pki.Level{level}, Anchors: []pki.Anchor{anchor}}
	if days := pki.MaxDays(role); days > 0 {
		p.NotAfter = h.pki.Now.AddDate(0, 0, days)
	}
	if role == pki.LicenseIssuer || role == pki.HomeServer {
		p.Issuer = ident.Issuer("test-" + class.String())
	}
	out := trem.Enrollment{Roots: [][]byte{h.pki.Root}}
	for _, r := range [][]byte{req.Signing, req.Delivery} {
		pub, err := pki.ParseRequest(r)
		h.must(err)
		leaf, err := pki.Issue(ca, p, pub, h.pki.Now)
		h.must(err)
		if out.Chain == nil {
			out.Chain, p.Kind = append([][]byte{leaf}, ca.Chain...), pki.KindECDH
		} else {
			out.Delivery = leaf
		}
	}
	return out
}

// publish signs the next revocation state.
func (h *house) publish() *revocation.State {
	h.t.Helper()
	h.epoch++
	s, err := h.builder.Sign(h.state.Key, revocation.Issue{Epoch: pki.Epoch{Number: h.epoch}, IssuedAt: h.now, NextUpdate: h.now.Add(24 * time.Hour)})
	h.must(err)
	return s
}

func (h *house) learnState(b *box, s *revocation.State) error {
	return b.Learn(context.Background(), trem.Learned{Head: s.Head().Bytes(), HeadChain: h.state.Chain, Snapshot: s.Snapshot()})
}

func (h *house) learnTime(b *box) error {
	nonce, err := b.Nonce(context.Background())
	h.must(err)
	token, err := revocation.SignTime(h.times.Key, h.times.Leaf(), h.now, [16]byte(nonce))
	h.must(err)
	return b.Learn(context.Background(), trem.Learned{Time: token, TimeChain: h.times.Chain})
}

// learn brings a module up to date.
func (h *house) learn(b *box) {
	h.t.Helper()
	h.must(h.learnTime(b))
	h.must(h.learnState(b, h.publish()))
}

// pass lets time go by for the whole house.
func (h *house) pass(d time.Duration) {
	h.now = h.now.Add(d)
	for _, b := range []*box{h.issuer, h.home, h.tablet, h.phone, h.aunt} {
		if b != nil {
			b.clock.pass(d)
		}
	}
}

// pair admits a device.
func (h *house) pair(b *box) error {
	s, err := b.Status(context.Background())
	h.must(err)
	a, err := h.home.Admit(context.Background(), trem.Candidate{Chain: s.Chain, Hardware: []byte(b.dir)})
	if err != nil {
		return err
	}
	return b.Join(context.Background(), a)
}

// grant is what the shop sold: the answer its host gives.
type grant func(trem.Event) trem.Terms

// carry drives an exchange between a destination and a source, keeping every
// message, and plays the shop's host.
func (h *house) carry(from, to *box, opened trem.Opened, g grant) []trem.Event {
	h.t.Helper()
	ctx := context.Background()
	var events []trem.Event
	for queue := opened.Messages; len(queue) > 0; queue = queue[1:] {
		h.wire = append(h.wire, queue[0].Bytes)
		got, err := to.Receive(ctx, queue[0])
		h.must(err)
		back := got.Messages
		for _, e := range got.Events {
			back = append(back, h.host(to, e, g)...)
		}
		for _, m := range back {
			h.wire = append(h.wire, m.Bytes)
			got, err := from.Receive(ctx, m)
			h.must(err)
			events = append(events, got.Events...)
			queue = append(queue, got.Messages...)
		}
	}
	return events
}

func (h *house) host(b *box, e trem.Event, g grant) []trem.SLTPMessage {
	h.t.Helper()
	ctx := context.Background()
	switch {
	case e.Kind == trem.EventRequest && g == nil:
		m, err := b.Refuse(ctx, e.Handle, "NO_GRANT", 0)
		h.must(err)
		return m
	case e.Kind == trem.EventRequest:
		p, repeated := h.sold[e.Request]
		if _, open := h.open[p.Transfer]; repeated && !open {
			m, err := b.Done(ctx, trem.Done{Handle: e.Handle, Transfer: p.Transfer, Low: h.low(p.Transfer.Dst)})
			h.must(err)
			return m
		}
		if !repeated {
			var err error
			p, err = b.Prepare(ctx, g(e))
			h.must(err)
			h.sold[e.Request], h.open[p.Transfer] = p, p
		}
		m, err := b.Release(ctx, e.Handle, p.Sealed)
		h.must(err)
		return m
	case e.Kind == trem.EventQuery:
		if p, open := h.open[e.Transfer]; open {
			m, err := b.Release(ctx, e.Handle, p.Sealed)
			h.must(err)
			return m
		}
		m, err := b.Done(ctx, trem.Done{Handle: e.Handle, Transfer: e.Transfer, Low: h.low(e.Transfer.Dst)})
		h.must(err)
		return m
	case e.Kind == trem.EventReceipt && b == h.issuer:
		delete(h.open, e.Transfer)
		m, err := b.Done(ctx, trem.Done{Handle: e.Handle, Transfer: e.Transfer, Low: h.low(e.Transfer.Dst)})
		h.must(err)
		return m
	}
	return nil
}

// low is the shop's watermark: it has closed all of its transfers up to it.
func (h *house) low(peer ident.Device) uint64 {
	low := h.seq
	for open := range h.open {
		if open.Dst == peer {
			low = min(low, open.Seq-1)
		}
	}
	return low
}

// rental is PLAY twice within 48 hours of the first play.
const rental = "PLAY; PLAY_COUNT=2; INTERVAL=48h; EXPORT=clearkey"

// purchase is PLAY without limits.
const purchase = "PLAY; EXPORT=clearkey"

// sell makes the grant for a content under terms.
func (h *house) sell(terms string, id ident.Content) grant {
	return func(e trem.Event) trem.Terms {
		u, err := permission.ParseText(terms)
		h.must(err)
		u.Actor = &permission.ActorUnit{Content: id, Issuer: h.issuerID}
		code, err := u.Encode()
		h.must(err)
		none := uint64(0)
		t := trem.Terms{Handle: e.Handle, Info: license.Info{
			ID: ident.License{1, byte(len(terms)), byte(len(id))}, Issuer: h.issuerID, IssuedAt: h.now.UnixMilli(), Content: id, Subject: license.DomainSubject(e.Domain, e.Generation),
			Code: code, Version: 1, Policy: license.Policy{Duration: 60_000, MinAnchor: &none},
		}}
		if n := u.UsageFor(permission.Play); len(n) > 0 && n[0].PlayCount > 0 {
			h.seq++
			t.Seq, t.Plays = h.seq, n[0].PlayCount
		}
		return t
	}
}

// buy gets a license for the home server from the shop.
func (h *house) buy(id ident.Content, g grant) []trem.Event {
	h.t.Helper()
	o, err := h.home.Open(context.Background(), trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: id, Issuer: h.issuerID})
	h.must(err)
	return h.carry(h.home, h.issuer, o, g)
}

// get gets a license for a device from its house.
func (h *house) get(b *box, id ident.Content, plays uint64) []trem.Event {
	h.t.Helper()
	o, err := b.Open(context.Background(), trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), Content: id, Plays: plays})
	h.must(err)
	return h.carry(b, h.home, o, nil)
}

func kinds(events []trem.Event) (out []trem.EventKind) {
	for _, e := range events {
		out = append(out, e.Kind)
	}
	return out
}

func (h *house) wantKinds(got []trem.Event, want ...trem.EventKind) {
	h.t.Helper()
	if !slices.Equal(kinds(got), want) {
		h.t.Fatalf("events %v, want kinds %v", got, want)
	}
}

// stuff is the packed film with the keys that only this test knows.
type stuff struct {
	dir  string
	m    *content.Manifest
	keys map[content.Tier]cenc.ContentKey
}

func pack(t *testing.T, scheme cenc.Scheme, id ident.Content, recipient []byte) *stuff {
	t.Helper()
	in := t.TempDir()
	var paths []string
	for _, name := range []string{film.SD, film.HD} {
		data, err := film.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, filepath.Join(in, name))
		if err := os.WriteFile(paths[len(paths)-1], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &stuff{dir: filepath.Join(in, "packed"), keys: map[content.Tier]cenc.ContentKey{}}
	res, err := packager.Pack(context.Background(), packager.Config{
		Inputs: paths, Dir: s.dir, Content: id, Title: film.Title, Scheme: scheme, LicenseURL: "license", FragmentMS: 4000, Recipient: recipient,
		Keys: func(tier content.Tier) (ident.Key, cenc.ContentKey, error) {
			s.keys[tier] = cenc.GenerateKey()
			return ident.NewKey(), s.keys[tier], nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.m = res.Manifest
	return s
}

// stock packs the film for the shop and registers its keys there.
func (h *house) stock(scheme cenc.Scheme, id ident.Content) *stuff {
	h.t.Helper()
	s := pack(h.t, scheme, id, h.delivery())
	blob, err := os.ReadFile(filepath.Join(s.dir, packager.KeysName))
	h.must(err)
	got, err := h.issuer.RegisterKeys(context.Background(), blob)
	h.must(err)
	if got != id {
		h.t.Fatalf("registered %v, want %v", got, id)
	}
	return s
}

// delivery is the issuer's delivery certificate, as its module reports it.
func (h *house) delivery() []byte {
	h.t.Helper()
	s, err := h.issuer.Status(context.Background())
	h.must(err)
	if _, err := x509.ParseCertificate(s.Delivery); err != nil {
		h.t.Fatal(err)
	}
	return s.Delivery
}

// play plays one track to its end, from the segment with number from.
func (b *box) play(s *stuff, tier content.Tier, ask trem.Ask, from int) ([]byte, error) {
	b.t.Helper()
	ctx := context.Background()
	ses, err := b.Begin(ctx, ask)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.m.Tracks, func(t content.TrackFiles) bool { return t.Tier == tier })
	if i < 0 {
		return nil, errors.New("no such track")
	}
	track := &s.m.Tracks[i]
	n, out, err := b.Track(ctx, ses.Handle, s.read(b.t, track.Init))
	if err != nil {
		return nil, errors.Join(err, b.End(ctx, ses.Handle))
	}
	stream := bytes.Clone(out)
	for _, seg := range track.Segments[from:] {
		out, err := b.Decrypt(ctx, ses.Handle, n, s.read(b.t, seg.File))
		if err != nil {
			return stream, errors.Join(err, b.End(ctx, ses.Handle))
		}
		stream = append(stream, out...)
	}
	return stream, b.End(ctx, ses.Handle)
}

func (s *stuff) read(t *testing.T, f content.File) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(f.Name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
