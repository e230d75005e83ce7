package authority_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/module"
	"github.com/lares-drm/lares/service/authority"
)

// closing is an authority behind TLS, and a shop with a real module that may end.
type closing struct {
	*testing.T
	client *authority.Client
	dir    ca.OSDir
	clock  *clock
	*shop
}

// shop is an issuer: its module and its notice key.
type shop struct {
	id     ident.Issuer
	module *trem.Client
	key    *ecdsa.PrivateKey
	point  []byte
}

func newClosing(t *testing.T, edit func(*authority.Config)) *closing {
	t.Helper()
	dir, err := ca.NewOSDir(t.TempDir())
	must(t, err)
	_, err = ca.Ceremony(dir, ca.Config{Name: "Test"}, start())
	must(t, err)
	c := &closing{T: t, dir: dir, clock: &clock{ms: start().UnixMilli()}}
	cfg := authority.Config{Store: dir, Now: c.clock.now}
	edit(&cfg)
	s, err := authority.New(cfg)
	must(t, err)
	web := httptest.NewTLSServer(s.Handler())
	t.Cleanup(web.Close)
	c.client = &authority.Client{URL: web.URL, HTTP: web.Client()}
	c.shop = c.open("shop.example")
	return c
}

// open is a shop whose module the authority has certified.
func (c *closing) open(id ident.Issuer) *shop {
	c.Helper()
	s := &shop{id: id}
	var err error
	s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(c, err)
	s.point, err = license.NoticeKey(s.key.Public())
	must(c, err)
	host, inside := net.Pipe()
	folder, done := c.TempDir(), make(chan error, 1)
	read := func() (module.Reading, error) {
		return module.Reading{RTC: c.clock.ms, Boot: c.clock.ms - start().UnixMilli() + 60_000, BootID: [16]byte{1}}, nil
	}
	go func() { done <- module.Run(module.Config{Dir: folder, Conn: inside, Clock: read}) }()
	s.module = trem.NewClient(host)
	c.Cleanup(func() {
		s.module.Close()
		must(c, <-done)
	})
	req, err := s.module.SigningRequest(c.Context())
	must(c, err)
	var code string
	operate(c.T, c.dir, func(a *ca.Authority) error {
		code, err = a.NewVoucher(ca.Voucher{Role: pki.LicenseIssuer, Issuer: id, Expires: start().Add(time.Hour)}, start())
		return err
	})
	e, err := c.client.Enroll(c.Context(), authority.Request{Role: pki.LicenseIssuer, Signing: req.Signing, Delivery: req.Delivery, Voucher: code})
	must(c, err)
	must(c, s.module.Enroll(c.Context(), e))
	operate(c.T, c.dir, func(a *ca.Authority) error { return a.Publish(c.clock.now()) })
	if _, err := s.module.SendSunset(c.Context(), trem.SunsetOrder{Statement: s.notice(c, 40), Key: s.point}); codeOf(err) != trem.CodeState {
		c.Errorf("before it knows the time: %v", err)
	}
	l, err := c.client.State(c.Context(), 0)
	must(c, err)
	must(c, s.module.Learn(c.Context(), l))
	nonce, err := s.module.Nonce(c.Context())
	must(c, err)
	l, err = c.client.Time(c.Context(), nonce)
	must(c, err)
	must(c, s.module.Learn(c.Context(), l))
	return s
}

func codeOf(err error) trem.Code {
	if e, ok := errors.AsType[*trem.Error](err); ok {
		return e.Code
	}
	return 0
}

// notice is one that takes effect so many days from now.
func (s *shop) notice(c *closing, days int) []byte {
	c.Helper()
	n, err := license.SignNotice(s.key, license.Notice{Issuer: s.id, Effective: c.clock.now().AddDate(0, 0, days).UnixMilli()})
	must(c, err)
	return n
}

func (s *shop) withdrawal(c *closing, notice []byte) []byte {
	c.Helper()
	w, err := license.SignWithdrawal(s.key, notice)
	must(c, err)
	return w
}

// word is what the shop's module says of a statement now, and a second passes.
func (c *closing) word(statement []byte) ca.Sending {
	c.Helper()
	p, err := c.module.SendSunset(c.Context(), trem.SunsetOrder{Statement: statement, Key: c.point})
	must(c, err)
	c.clock.ms += 1000
	return ca.Sending{Statement: statement, Key: c.point, Chain: p.Chain, Proof: p.Object}
}

func (c *closing) sends(in ca.Sending, want ca.SentState) ca.Taken {
	c.Helper()
	got, err := c.client.SendSunset(c.Context(), in)
	if err != nil || got.State != want {
		c.Fatalf("%+v, %v; want %v", got, err, want)
	}
	return got
}

func (c *closing) isRefused(name string, in ca.Sending, want error) {
	c.Helper()
	if got, err := c.client.SendSunset(c.Context(), in); !errors.Is(err, want) {
		c.Errorf("%s: %+v, %v; want %v", name, got, err, want)
	}
}

// stands reports whether the revocation state says that the shop ends.
func (c *closing) stands() bool {
	c.Helper()
	a, err := ca.Open(c.dir)
	must(c, err)
	leaf, _ := a.State().Issuer(c.id)
	return leaf.Sunset
}

// TestSunset_3_TheWholeWayByTheNetwork: module, TLS, authority, operator, and back.
func TestSunset_3_TheWholeWayByTheNetwork(t *testing.T) {
	c := newClosing(t, func(*authority.Config) {})
	notice := c.notice(c, 40)
	first := c.sends(c.word(notice), ca.SentWaits)
	if again := c.sends(c.word(notice), ca.SentWaits); again != first {
		t.Errorf("again: %+v, was %+v", again, first)
	}
	if c.stands() {
		t.Error("it stands, and no operator said so")
	}
	operate(t, c.dir, func(a *ca.Authority) error { return a.StandSent(c.id, a.Issuers()[0].Waits.Notice, c.clock.now()) })
	c.sends(c.word(notice), ca.SentStands)
	l, err := c.client.State(t.Context(), 0)
	if err != nil || len(l.Notices) != 1 || !c.stands() {
		t.Errorf("%d notices, stands %v, %v", len(l.Notices), c.stands(), err)
	}
	c.sends(c.word(c.withdrawal(c, notice)), ca.SentWithdrawn)
	if c.stands() {
		t.Error("withdrawn, and it stands")
	}
	other := c.notice(c, 50)
	c.sends(c.word(other), ca.SentWaits)
	operate(t, c.dir, func(a *ca.Authority) error { return a.RefuseSent(c.id, a.Issuers()[0].Waits.Notice, c.clock.now()) })
	c.isRefused("refused by the operator", c.word(other), authority.ErrSunset)
}

// TestAttack_SunsetByAStolenNoticeKey: who has copied notice.pem, and may talk to the
// authority from anywhere, announces nothing and takes nothing back.
func TestAttack_SunsetByAStolenNoticeKey(t *testing.T) {
	c := newClosing(t, func(*authority.Config) {})
	other := c.open("other.example")
	c.clock.ms += 1000
	st, err := c.module.Status(t.Context())
	must(t, err)
	notice := c.notice(c, 40)
	c.isRefused("without a proof", ca.Sending{Statement: notice, Key: c.point, Chain: st.Chain}, authority.ErrProof)
	proof, err := license.SignSent(c.key, st.Leaf, license.SentBy(c.id, notice, c.point, c.clock.ms))
	must(t, err)
	c.isRefused("a proof by the notice key itself", ca.Sending{Statement: notice, Key: c.point, Chain: st.Chain, Proof: proof}, authority.ErrProof)
	if _, err := other.module.SendSunset(t.Context(), trem.SunsetOrder{Statement: notice, Key: c.point}); codeOf(err) != trem.CodeRejected {
		t.Errorf("another issuer's module signs for this one: %v", err)
	}
	own, err := other.module.SendSunset(t.Context(), trem.SunsetOrder{Statement: other.notice(c, 40), Key: other.point})
	must(t, err)
	c.isRefused("another issuer's proof", ca.Sending{Statement: notice, Key: c.point, Chain: own.Chain, Proof: own.Object}, authority.ErrProof)
	c.isRefused("another issuer's proof beside the chain of this one", ca.Sending{Statement: notice, Key: c.point, Chain: st.Chain, Proof: own.Object}, authority.ErrProof)
	link, err := c.module.ProveLink(t.Context(), trem.LinkOrder{Link: sha256.Sum256(notice), Hello: sha256.Sum256(c.point)})
	must(t, err)
	c.isRefused("the proof of a link", ca.Sending{Statement: notice, Key: c.point, Chain: st.Chain, Proof: link.Statement}, authority.ErrProof)

	// What the shop itself sent serves nobody else.
	said := c.word(notice)
	c.sends(said, ca.SentWaits)
	back := c.word(c.withdrawal(c, notice))
	swapped := said
	swapped.Statement = c.notice(c, 31)
	c.isRefused("its proof beside another notice", swapped, authority.ErrProof)
	c.sends(back, ca.SentWithdrawn)
	c.isRefused("its notice once more, after the withdrawal", said, authority.ErrOlder)
	c.sends(c.word(notice), ca.SentWaits)
	c.isRefused("its withdrawal once more, after a later notice", back, authority.ErrOlder)
	c.clock.ms += 11 * 60_000
	c.isRefused("eleven minutes later", said, authority.ErrProof)
	operate(t, c.dir, func(a *ca.Authority) error {
		if w := a.Issuers()[0].Waits; w == nil {
			t.Error("the shop's own notice does not wait any more")
		}
		return nil
	})
}

// TestSunset_3_ModuleSignsForItsOwnIssuer: what an issuer's module does not say.
func TestSunset_3_ModuleSignsForItsOwnIssuer(t *testing.T) {
	c := newClosing(t, func(*authority.Config) {})
	foreign, err := license.SignNotice(c.key, license.Notice{Issuer: "other.example", Effective: c.clock.now().AddDate(0, 0, 40).UnixMilli()})
	must(t, err)
	point := bytes.Clone(c.point)
	point[64] ^= 1
	for name, o := range map[string]trem.SunsetOrder{
		"of another issuer":             {Statement: foreign, Key: c.point},
		"signed with another key":       {Statement: c.notice(c, 40), Key: point},
		"neither notice nor withdrawal": {Statement: []byte("closing down"), Key: c.point},
	} {
		if p, err := c.module.SendSunset(t.Context(), o); codeOf(err) != trem.CodeRejected {
			t.Errorf("%s: %d bytes, %v", name, len(p.Object), err)
		}
	}
}

// TestSunset_3_BodiesAndRates: what is no request, and too many.
func TestSunset_3_BodiesAndRates(t *testing.T) {
	c := newClosing(t, func(cfg *authority.Config) { cfg.PerMinute = 5 })
	// A proxy on this machine says from where a request comes.
	post := func(from string, body []byte) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.client.URL+authority.PathSunset, bytes.NewReader(body))
		must(t, err)
		req.Header.Set("X-Forwarded-For", from)
		res, err := c.client.HTTP.Do(req)
		must(t, err)
		defer res.Body.Close() //nolint:errcheck // read only
		said, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, string(said)
	}
	c.clock.ms += 60_000 // the enrollments are of another minute
	for name, body := range map[string][]byte{"nothing": {}, "half": {0xa4, 1, 0x40}, "too long": make([]byte, 16<<10+1)} {
		if code, said := post("192.0.2.1", body); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, code, said)
		}
	}
	in := c.word(c.notice(c, 40))
	for range 5 {
		c.sends(in, ca.SentWaits)
	}
	c.isRefused("the sixth in a minute", in, authority.ErrBusy)
	if _, err := c.client.Enroll(t.Context(), request(t, pki.Device, "")); !errors.Is(err, authority.ErrVoucher) {
		t.Errorf("enrollments are counted apart: %v", err)
	}
	c.clock.ms += 60_000
	c.sends(in, ca.SentWaits)
	for range 3 {
		for _, from := range []string{"2001:db8::1", "2001:db8::2", "192.0.2.1"} {
			post(from, []byte{0xa0})
		}
	}
	for from, want := range map[string]int{"2001:db8::3": http.StatusTooManyRequests, "192.0.2.1": http.StatusBadRequest, "2001:db8:0:1::1": http.StatusBadRequest} {
		if code, said := post(from, []byte{0xa0}); code != want {
			t.Errorf("%s: %d %s, want %d", from, code, said, want)
		}
	}
}

// TestAttack_JunkHoldsNoWithdrawalUp: whoever is in reach of the authority sends as
// much as he likes, and a shop takes its notice back.
func TestAttack_JunkHoldsNoWithdrawalUp(t *testing.T) {
	c := newClosing(t, func(cfg *authority.Config) { cfg.PerMinute = 5 })
	notice := c.notice(c, 40)
	c.sends(c.word(notice), ca.SentWaits)
	back := c.word(c.withdrawal(c, notice))
	other := c.open("other.example")
	own, err := other.module.SendSunset(t.Context(), trem.SunsetOrder{Statement: other.notice(c, 40), Key: other.point})
	must(t, err)
	junk := map[string]ca.Sending{"no proof": {Statement: back.Statement, Key: back.Key, Chain: back.Chain}, "another's": {Statement: back.Statement, Key: back.Key, Chain: own.Chain, Proof: own.Object}}
	stranger := *c.client
	stranger.HTTP = &http.Client{Transport: from{c.client.HTTP.Transport, "192.0.2.1"}}
	for name, in := range junk {
		for i := range 100 {
			if _, err := stranger.SendSunset(t.Context(), in); !errors.Is(err, authority.ErrProof) && !errors.Is(err, authority.ErrBusy) {
				t.Fatalf("%s %d: %v", name, i, err)
			}
		}
	}
	if _, err := stranger.SendSunset(t.Context(), junk["no proof"]); !errors.Is(err, authority.ErrBusy) {
		t.Errorf("the stranger: %v", err)
	}
	for range 10 { // nor does another issuer hold it up
		_, _ = c.client.SendSunset(t.Context(), ca.Sending{Statement: other.notice(c, 40), Key: other.point, Chain: own.Chain, Proof: own.Object})
	}
	c.sends(back, ca.SentWithdrawn)
}

// from sends as a proxy that has a request from an address.
type from struct {
	http.RoundTripper
	address string
}

func (f from) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", f.address)
	return f.RoundTripper.RoundTrip(r)
}
