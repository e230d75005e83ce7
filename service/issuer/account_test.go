package issuer_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/interconnect/lrp/lrptest"
	"github.com/lares-drm/lares/internal/caller"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

// desk is an issuer that asks for accounts, and how often it looked at one.
type desk struct {
	*issuer.Issuer
	t      *testing.T
	self   lrp.Addr
	seal   []byte
	now    time.Time
	looked int
}

// asDevice is the module whose key the proofs are of.
type asDevice struct {
	*fakeTREM
	id ident.Device
}

func (a asDevice) Status(ctx context.Context) (trem.Status, error) {
	st, err := a.fakeTREM.Status(ctx)
	st.Device = a.id
	return st, err
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	s, p := newShop(t), lrptest.NewParty(t)
	d := &desk{t: t, now: start, self: p.Addr}
	var err error
	d.Issuer, err = issuer.New(t.Context(), issuer.Config{
		TREM: asDevice{s.trem, ident.Device(p.Addr)}, Store: issuer.Audited(s.store), Now: func() time.Time { return d.now }, ClaimKey: s.key,
		Prove: func(link lrp.LinkID, relay lrp.Addr, hello [32]byte) (lrp.Proof, error) {
			return p.Sign(t.Context(), link, relay, hello)
		},
		Accepts: func(a lrp.Account) bool {
			d.looked++
			return a.Kind == "card" && (string(a.Credential) == "anna:her secret" || string(a.Credential) == "a voucher of twelve")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	offer, err := lrp.DefaultHello("http").Encode()
	if err != nil {
		t.Fatal(err)
	}
	got := d.Handle(t.Context(), lrp.NewTransaction(d.self, lrp.Addr{9}, d.now, lrp.Life).Next(lrp.TypeHello, offer))
	h, err := lrp.ParseHello(got[0].Body)
	if err != nil || h.Seal == nil {
		t.Fatalf("HELLO names no key: %v", err)
	}
	d.seal = h.Seal
	return d
}

// auth is a frame with an account.
func (d *desk) auth(credential string) lrp.Frame {
	d.t.Helper()
	f := lrp.NewTransaction(d.self, lrp.Addr(lrp.NewTx()), d.now, lrp.Life).Next(lrp.TypeAuth, nil)
	var err error
	if f.Body, err = lrp.SealAccount(d.seal, f, lrp.Account{Kind: "card", Credential: []byte(credential)}); err != nil {
		d.t.Fatal(err)
	}
	return f
}

// show shows an account from somewhere and returns what was said: 0 is ACK.
func (d *desk) show(from, credential string) (lrp.Code, time.Duration) {
	d.t.Helper()
	by := lrp.Arrival{From: netip.MustParseAddr(from)}
	got := d.FrameBy(d.t.Context(), by, d.auth(credential))
	if len(got) != 1 {
		d.t.Fatalf("%d answers", len(got))
	}
	if got[0].Type == lrp.TypeAck {
		return 0, 0
	}
	e, err := lrp.ParseError(got[0].Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return e.Code, time.Duration(e.RetryMS) * time.Millisecond
}

// Five wrong accounts from one network are answered, then it has to wait: 1 s, 2 s, 4
// s, and so on to 15 min. Meanwhile nothing that it shows is looked at, the right one
// neither. Other networks are served. An hour after, all is forgiven.
func TestAuth_Spec10_WrongAccountsOfANetworkWait(t *testing.T) {
	d := newDesk(t)
	guess := func(n int) string { return fmt.Sprintf("a voucher of number %d", n) }
	for n := range 5 {
		if c, _ := d.show("192.0.2.1", guess(n)); c != lrp.CodeUnproven {
			t.Fatalf("wrong account %d: %v, want UNPROVEN", n, c)
		}
	}
	want, n := time.Second, 5
	for range 14 {
		if c, _ := d.show("192.0.2.1", guess(n)); c != lrp.CodeUnproven {
			t.Fatalf("wrong account %d, after the wait: %v, want UNPROVEN", n, c)
		}
		looked := d.looked
		for _, credential := range []string{guess(n), "a voucher of twelve", "anna:her secret", "nobody:x"} {
			if c, wait := d.show("192.0.2.1", credential); c != lrp.CodeFull || wait != want {
				t.Fatalf("%q after %d wrong ones: %v in %v, want FULL in %v", credential, n+1, c, wait, want)
			}
		}
		if d.looked != looked {
			t.Errorf("%d accounts were looked at in the wait", d.looked-looked)
		}
		d.now = d.now.Add(want)
		want, n = min(2*want, 15*time.Minute), n+1
	}
	if want != 15*time.Minute {
		t.Errorf("the longest wait is %v", want)
	}
	d.show("192.0.2.1", guess(n))
	if c, _ := d.show("192.0.2.2", "a voucher of twelve"); c != 0 {
		t.Errorf("another network: %v, want ACK", c)
	}
	if c, _ := d.show("2001:db8::1", guess(n)); c != lrp.CodeUnproven {
		t.Errorf("a third: %v, want UNPROVEN", c)
	}
	d.now = d.now.Add(15*time.Minute + time.Hour)
	for n := range 5 {
		if c, _ := d.show("192.0.2.1", guess(n)); c != lrp.CodeUnproven {
			t.Errorf("an hour later, wrong account %d: %v, want UNPROVEN", n, c)
		}
	}
	if c, _ := d.show("192.0.2.1", "a voucher of twelve"); c != 0 {
		t.Errorf("then the right one: %v, want ACK", c)
	}
}

// Guesses at one name are slowed down wherever they come from, in the same words and
// steps whether there is such a customer or not. Who has shown the right account is
// not kept out where that was.
func TestAuth_Spec10_GuessesAtANameFromManyNetworks(t *testing.T) {
	d := newDesk(t)
	if c, _ := d.show("198.51.100.7", "anna:her secret"); c != 0 {
		t.Fatalf("anna at home: %v, want ACK", c)
	}
	var said [2][]string
	for i, name := range []string{"anna", "nobody"} {
		for n := range 12 {
			c, wait := d.show(fmt.Sprintf("203.0.113.%d", 16*i+n), fmt.Sprintf("%s:guess number %d", name, n))
			said[i] = append(said[i], fmt.Sprint(c, wait))
		}
	}
	if fmt.Sprint(said[0]) != fmt.Sprint(said[1]) {
		t.Errorf("a customer's name: %v\nnobody's: %v", said[0], said[1])
	}
	if got := said[0][11]; got != "FULL 1s" {
		t.Errorf("the twelfth guess: %s, want FULL 1s", got)
	}
	if c, _ := d.show("198.51.100.8", "anna:her secret"); c != lrp.CodeFull {
		t.Errorf("anna elsewhere, in the wait: %v, want FULL", c)
	}
	if c, _ := d.show("198.51.100.7", "anna:her secret"); c != 0 {
		t.Errorf("anna at home, in the wait: %v, want ACK", c)
	}
}

// What is remembered of guesses has an end: a flood from ever new networks leaves
// those who wait longest.
func TestAuth_Spec10_MemoryIsBounded(t *testing.T) {
	const known, guessed = 4096, 50
	var b issuer.Backoff
	for k := range guessed {
		for range 12 {
			b.Wrong(-1-k, start)
		}
	}
	const flood, levels = known + 1024, 12
	before := b.Steps()
	for n := range flood {
		b.Wrong(n, start)
	}
	if most := flood * 4 * levels; b.Steps()-before > most { // to come in, and up, and to take one out: two comparisons a level
		t.Errorf("%d wrong ones took %d comparisons, want at most %d", flood, b.Steps()-before, most)
	}
	if b.Len() != known {
		t.Errorf("%d are remembered, want %d", b.Len(), known)
	}
	for k := range guessed {
		if got := b.Wait(-1-k, start); got != 64*time.Second {
			t.Errorf("who guessed most waits %v, want 64 s", got)
		}
	}
}

// Guesses that are made at once are counted one by one, and HTTP says in its header,
// too, how long to wait.
func TestAuth_Spec10_AtOnceAndInTheHeader(t *testing.T) {
	d := newDesk(t)
	srv := httptest.NewServer(&lrphttp.Server{Frames: d.FrameBy, From: caller.Of})
	defer srv.Close()
	var mu sync.Mutex
	waits := map[string]int{}
	var all sync.WaitGroup
	for n := range 40 {
		body, err := d.auth(fmt.Sprint("a voucher of number ", n)).Encode()
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+lrphttp.Path, bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", lrphttp.TypeFrame)
			req.Header.Set("X-Forwarded-For", "192.0.2.77")
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			waits[res.Header.Get("Retry-After")]++
		})
	}
	all.Wait()
	if waits[""] != 6 || waits[strconv.Itoa(1)] != 34 || d.looked != 6 {
		t.Errorf("waits %v, looked at %d accounts; want 6 that are looked at and 34 that wait 1 s", waits, d.looked)
	}
}

// A member of a domain needs no account, and has to prove that it is one: whoever writes
// its address into a frame is asked for an account as any stranger is.
func TestAuth_Spec10_AMemberProvesItself(t *testing.T) {
	d := newDesk(t)
	ctx, ca := t.Context(), pkitest.New(t, pkitest.Start())
	made, err := d.CreateDomain(ctx, issuer.NewDomain{Devices: 2})
	if err != nil {
		t.Fatal(err)
	}
	code, _, err := d.JoinCode(ctx, made.Domain, false)
	if err != nil {
		t.Fatal(err)
	}
	tablet, phone := (&shop{t: t}).newcomer(ca), (&shop{t: t}).newcomer(ca)
	for name, n := range map[string]newcomer{"tablet": tablet, "phone": phone} {
		if _, err := d.Join(ctx, customer, code, n.asks(t, name, code, ident.Device(d.self))); err != nil {
			t.Fatal(err)
		}
	}
	body, err := lrp.SLTP{Message: []byte("a message")}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	asks := func(link lrp.LinkID) (served bool) {
		f := lrp.NewTransaction(d.self, lrp.Addr(tablet.id), d.now, lrp.Life).Next(lrp.TypeSLTP, body)
		got := d.FrameBy(ctx, lrp.Arrival{Link: link}, f)
		return !lrp.Unproven(f, got)
	}
	if asks(lrp.LinkID{}) {
		t.Error("somebody who writes a member's address is served without an account")
	}
	if asks(phone.proves(t, d.Issuer, d.self, d.now)) {
		t.Error("so is one who has proven to be another member")
	}
	link := tablet.proves(t, d.Issuer, d.self, d.now)
	if !asks(link) {
		t.Error("a member that has proven itself is asked for an account")
	}
	if err := d.RemoveDevice(ctx, made.Domain, tablet.id); err != nil {
		t.Fatal(err)
	}
	if asks(link) {
		t.Error("one that was put out is served still")
	}
}
