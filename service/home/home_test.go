package home_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// shop is a courier that answers as a test says and notes what was asked.
type shop struct {
	events []trem.Event
	err    error
	asked  []ident.Request
}

func (s *shop) connect(m *hometest.Module) func(*home.Config) {
	m.OnOpen = func(r trem.LicenseRequest) (trem.Opened, error) {
		s.asked = append(s.asked, r.Request)
		return trem.Opened{Handle: 1, Messages: []trem.SLTPMessage{{Bytes: []byte("m1")}}}, nil
	}
	return func(c *home.Config) {
		c.Courier = func(context.Context, string, ident.Device, trem.Opened) ([]trem.Event, error) { return s.events, s.err }
	}
}

var want = home.Wanted{Content: "urn:film", URL: "http://shop", Peer: ident.Device{5}}

func TestFetch_RequestKeepsItsIDUntilItIsAnswered(t *testing.T) {
	dir, c, m := t.TempDir(), newClock(), hometest.New(t, nil)
	s := &shop{err: errors.New("the cable is out")}
	for range 3 { // each time a new process, as after kill -9
		h := open(t, dir, m, c, s.connect(m))
		if _, err := h.Fetch(t.Context(), want); err == nil {
			t.Fatal("fetched without an answer")
		}
		if w := h.Waiting(); len(w) != 1 || w[0] != want {
			t.Errorf("waiting = %v, want the request", w)
		}
	}
	if s.asked[0] != s.asked[1] || s.asked[1] != s.asked[2] {
		t.Errorf("request IDs %v, want one", s.asked)
	}
	s.err, s.events = nil, []trem.Event{{Kind: trem.EventInstalled, License: ident.License{7}}}
	h := open(t, dir, m, c, s.connect(m))
	if id, err := h.Fetch(t.Context(), want); err != nil || id != (ident.License{7}) {
		t.Fatalf("Fetch = %v, %v", id, err)
	}
	if w := h.Waiting(); len(w) != 0 {
		t.Errorf("waiting = %v after the answer", w)
	}
	if _, err := h.Fetch(t.Context(), want); err != nil || s.asked[4] == s.asked[3] {
		t.Errorf("a new wish has the old request ID (%v)", err)
	}
}

func TestFetch_RefusalIsFinalUnlessItSaysWhenToRetry(t *testing.T) {
	for _, tc := range []struct{ retry, waiting int64 }{{0, 0}, {1000, 1}} {
		m := hometest.New(t, nil)
		s := &shop{events: []trem.Event{{Kind: trem.EventRefused, Code: "NO_GRANT", RetryMS: tc.retry}}}
		h := open(t, t.TempDir(), m, newClock(), s.connect(m))
		_, err := h.Fetch(t.Context(), want)
		var no *home.ShopError
		if !errors.As(err, &no) || no.Code != "NO_GRANT" || no.RetryMS != tc.retry {
			t.Errorf("Fetch = %v, want the shop's refusal", err)
		}
		if got := int64(len(h.Waiting())); got != tc.waiting {
			t.Errorf("retry %d: %d requests wait, want %d", tc.retry, got, tc.waiting)
		}
	}
}

func TestFetch_OpenTransferIsClosedLater(t *testing.T) {
	dir, c, m := t.TempDir(), newClock(), hometest.New(t, nil)
	s := &shop{
		events: []trem.Event{{Kind: trem.EventInstalled, License: ident.License{7}, Transfer: ident.Transfer{Seq: 1}}},
		err:    errors.New("lost before the receipt was heard"),
	}
	if _, err := open(t, dir, m, c, s.connect(m)).Fetch(t.Context(), want); err != nil {
		t.Fatalf("an installed license is an error: %v", err)
	}
	var resent []ident.Device
	closed := make(chan struct{})
	var once sync.Once
	m.OnResend = func(d ident.Device) (trem.Opened, error) {
		resent = append(resent, d)
		once.Do(func() { close(closed) })
		return trem.Opened{}, nil // nothing is open any more
	}
	h := open(t, dir, m, c, s.connect(m))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	<-closed
	cancel()
	if err := <-done; err != nil || len(resent) != 1 || resent[0] != want.Peer {
		t.Errorf("Run = %v, resent to %v, want the shop once", err, resent)
	}
	data, err := os.ReadFile(filepath.Join(dir, "requests.json"))
	if err != nil || strings.Contains(string(data), "urn:film") {
		t.Errorf("the closed request is still kept: %s (%v)", data, err)
	}
}

// A purchase that the shop has closed is not over while an earlier one is open:
// the home closes that one too, and does not ask for ever when it cannot.
func TestFetch_EarlierOpenTransferIsClosedToo(t *testing.T) {
	closedNow := func(seq uint64) trem.Event {
		return trem.Event{Kind: trem.EventClosed, Transfer: ident.Transfer{Seq: seq}}
	}
	for _, tc := range []struct {
		name   string
		open   int // answers to Resend before nothing is open
		resent int
		kept   bool
	}{
		{"nothing else is open", 0, 1, false},
		{"one is open", 1, 2, false},
		{"one is open and stays so", 100, 2, true},
	} {
		dir, m := t.TempDir(), hometest.New(t, nil)
		installed := trem.Event{Kind: trem.EventInstalled, License: ident.License{7}, Transfer: ident.Transfer{Seq: 2}}
		s := &shop{events: []trem.Event{installed, closedNow(2)}}
		resent := 0
		m.OnResend = func(ident.Device) (trem.Opened, error) {
			if resent++; resent > tc.open {
				return trem.Opened{}, nil
			}
			return trem.Opened{Messages: []trem.SLTPMessage{{}}}, nil
		}
		if id, err := open(t, dir, m, newClock(), s.connect(m)).Fetch(t.Context(), want); err != nil || id != (ident.License{7}) {
			t.Fatalf("%s: Fetch = %v, %v", tc.name, id, err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "requests.json"))
		if kept := strings.Contains(string(data), "urn:film"); err != nil || kept != tc.kept || resent != tc.resent {
			t.Errorf("%s: resent %d times, kept %v (%v), want %d and %v", tc.name, resent, kept, err, tc.resent, tc.kept)
		}
	}
}

func TestLibrary_FoldersStayAfterARestart(t *testing.T) {
	folder, m, keys := hometest.Pack(t, cenc.SchemeCENC)
	dir, c := t.TempDir(), newClock()
	module := hometest.New(t, keys)
	h := open(t, dir, module, c)
	if _, err := h.Add(t.TempDir()); !errors.Is(err, home.ErrFolder) {
		t.Errorf("an empty folder: %v, want ErrFolder", err)
	}
	for range 2 { // the second replaces the first
		if _, err := h.Add(folder); err != nil {
			t.Fatal(err)
		}
	}
	h = open(t, dir, module, c)
	titles := h.Titles()
	if len(titles) != 1 || titles[0].Content != m.Content {
		t.Fatalf("titles = %v, want the film", titles)
	}
	for _, name := range []string{"../" + filepath.Base(folder) + "/content.json", "/etc/passwd", "keys.lkd", "", "."} {
		if f, err := titles[0].Open(name); err == nil {
			f.Close() //nolint:errcheck,gosec // it must not be there
			t.Errorf("Open(%q) gives a file", name)
		}
	}
	f, err := titles[0].Open(content.ManifestName)
	if err != nil {
		t.Fatal(err)
	}
	f.Close() //nolint:errcheck,gosec // read only
}

func playing(t *testing.T) (*home.Home, *hometest.Module, *clock, *home.Playback) {
	t.Helper()
	folder, m, keys := hometest.Pack(t, cenc.SchemeCENC)
	c, module := newClock(), hometest.New(t, keys)
	h := open(t, t.TempDir(), module, c)
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	p, err := h.Play(t.Context(), home.PlayRequest{Content: m.Content})
	if err != nil {
		t.Fatal(err)
	}
	return h, module, c, p
}

func TestPlay_SegmentsAreReencryptedForTheSession(t *testing.T) {
	h, _, _, p := playing(t)
	mpd, err := p.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/play/" + p.ID + "/license", "e2719d58-a985-b3c9-781a-b030af78d30e", `value="cenc"`, "adaptation-set-switching", `duration="PT60.`} {
		if !strings.Contains(strings.ReplaceAll(string(mpd), "mediaPresentationDuration", "duration"), want) {
			t.Errorf("the manifest lacks %q:\n%s", want, mpd)
		}
	}
	title, err := h.Title(p.Content)
	if err != nil {
		t.Fatal(err)
	}
	for i := range title.Tracks {
		tr := &title.Tracks[i]
		f, err := title.Open(tr.Segments[0].Name)
		if err != nil {
			t.Fatal(err)
		}
		stored := make([]byte, tr.Segments[0].Bytes)
		_, err = f.Read(stored)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := h.Segment(t.Context(), p.ID, tr.Name, 0)
		if err != nil || len(got) != len(stored) || bytes.Equal(got, stored) {
			t.Errorf("%s: %d bytes of %d, the same = %v, %v; want as many, encrypted anew", tr.Name, len(got), len(stored), bytes.Equal(got, stored), err)
		}
		for _, n := range []int{-1, len(tr.Segments)} {
			if _, err := h.Segment(t.Context(), p.ID, tr.Name, n); !errors.Is(err, home.ErrUnknown) {
				t.Errorf("segment %d: %v, want ErrUnknown", n, err)
			}
		}
	}
}

func TestPlay_RefusalInTheMiddleEndsTheSession(t *testing.T) {
	h, module, _, p := playing(t)
	events, cancel, err := h.Subscribe(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	module.Decide = func(trem.Ask) license.Decision {
		return license.Decision{Reasons: []license.Reason{{Code: license.IntervalOver, Closed: true}}}
	}
	title, err := h.Title(p.Content)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Segment(t.Context(), p.ID, title.Tracks[0].Name, 0)
	var stopped *home.Stopped
	if !errors.As(err, &stopped) || stopped.Reason != home.StopRefused || !stopped.Decision.Has(license.IntervalOver) {
		t.Fatalf("Segment = %v, want the end with the decision", err)
	}
	if e := <-events; e.Kind != home.EventStopped || e.Session != p.ID || e.Stopped.Decision == nil {
		t.Errorf("event = %+v, want the end of the session", e)
	}
	if _, err := h.Keys(p.ID); !errors.Is(err, home.ErrStopped) {
		t.Errorf("keys after the end: %v, want ErrStopped", err)
	}
	var refusal *trem.RefusalError
	if _, err := h.Play(t.Context(), home.PlayRequest{Content: p.Content}); !errors.As(err, &refusal) {
		t.Errorf("Play = %v, want the refusal", err)
	}
}

func TestPlay_EndsWithoutASignOfItsPlayer(t *testing.T) {
	h, module, c, p := playing(t)
	listening, cancel, err := h.Subscribe(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	run := func() {
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer stop()
		events, unsubscribe, err := h.Subscribe("")
		if err != nil {
			t.Fatal(err)
		}
		defer unsubscribe()
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		<-done
		for len(events) > 0 {
			if e := <-events; e.Kind == home.EventStopped {
				listeningEnd = e.Reason
			}
		}
	}
	c.now = c.now.Add(2 * time.Minute)
	cancel() // the page was closed just now, which is a sign of life
	_ = listening
	run()
	if listeningEnd != home.StopShutdown {
		t.Errorf("ended as %q, want the session to live until Run ends", listeningEnd)
	}
	p, err = h.Play(t.Context(), home.PlayRequest{Content: p.Content})
	if err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(2 * time.Minute)
	run()
	if listeningEnd != home.StopIdle {
		t.Errorf("ended as %q, want idle", listeningEnd)
	}
	if _, err := h.Playing(p.ID); !errors.Is(err, home.ErrStopped) {
		t.Errorf("Playing = %v, want ErrStopped", err)
	}
	module.Lock()
	defer module.Unlock()
	if len(module.Ended) != 2 {
		t.Errorf("%d sessions ended in the module, want 2", len(module.Ended))
	}
}

var listeningEnd home.StopReason

func TestFrame_CarriesOpaqueMessagesOfDevices(t *testing.T) {
	m, c := hometest.New(t, nil), newClock()
	h := open(t, t.TempDir(), m, c)
	tx := lrp.NewTransaction(lrp.Addr(m.State.Device), lrp.Addr{9}, c.now, time.Minute)
	body, err := lrp.SLTP{Message: []byte("m1")}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f := tx.Next(lrp.TypeSLTP, body)
	got := h.Frame(t.Context(), f)
	if len(got) != 1 || got[0].Type != lrp.TypeSLTP {
		t.Fatalf("answer = %v, want one SLTP frame", got)
	}
	if s, err := lrp.ParseSLTP(got[0].Body); err != nil || string(s.Message) != "echo m1" {
		t.Errorf("message = %q, %v", s.Message, err)
	}
}

// authority serves the authority's paths; away makes it fail.
type authority struct {
	head string
	away bool
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.away {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/x-test")
	fmt.Fprint(w, r.URL.RequestURI(), " ", a.head)
}

func TestRelay_KeepsStatementsWhenTheAuthorityIsAway(t *testing.T) {
	a := &authority{head: "1"}
	srv := httptest.NewServer(a)
	defer srv.Close()
	dir, c := t.TempDir(), newClock()
	relay := func() *home.Relay {
		r, err := home.NewRelay(dir, srv.URL+"/", nil, c.Now)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := relay()
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.head = "2"
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.away = true
	r = relay() // from disk
	for _, path := range []string{home.PathHead, home.PathSnapshot, home.PathTrust} {
		got, err := r.Kept(t.Context(), path)
		if err != nil || string(got.Body) != path+" 2" || got.Type != "application/x-test" {
			t.Errorf("%s = %q %q, %v, want the newest copy", path, got.Type, got.Body, err)
		}
	}
	if _, err := r.Time(t.Context(), "00ff"); !errors.Is(err, home.ErrAway) {
		t.Errorf("time = %v, want ErrAway", err)
	}
	a.away = false
	if got, err := r.Time(t.Context(), "00ff"); err != nil || !strings.HasPrefix(string(got.Body), "/time/v1?nonce=00ff") {
		t.Errorf("time = %q, %v", got.Body, err)
	}
	if _, err := r.Time(t.Context(), "00&x=1"); !errors.Is(err, home.ErrUnknown) {
		t.Errorf("a nonce that is none: %v, want ErrUnknown", err)
	}
}

type oracle struct{ err error }

func (o oracle) State(context.Context, uint64) (trem.Learned, error) {
	return trem.Learned{Head: []byte("head")}, o.err
}

func (o oracle) Time(_ context.Context, nonce []byte) (trem.Learned, error) {
	return trem.Learned{Time: nonce}, o.err
}

func TestRun_LearnsFromTheAuthorityAtOnce(t *testing.T) {
	for _, away := range []error{nil, errors.New("away")} {
		m := hometest.New(t, nil)
		h := open(t, t.TempDir(), m, newClock(), func(c *home.Config) { c.Authority = oracle{away} })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := h.Run(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		m.Lock()
		got, health := len(m.Learned), h.Health()
		m.Unlock()
		if away == nil && (got != 2 || health.StateAt.IsZero() || health.Problem != "") {
			t.Errorf("learned %d statements, health %+v, want state and time", got, health)
		}
		if away != nil && (got != 0 || health.Problem == "") {
			t.Errorf("learned %d statements from nobody, health %+v", got, health)
		}
	}
}

func ExamplePairingFacts_Code() {
	facts := home.PairingFacts{DeviceKey: [32]byte{1}, HomeKey: [32]byte{2}, DeviceNonce: [16]byte{3}, HomeNonce: [16]byte{4}}
	code := facts.Code()
	fmt.Println(len(code), home.NormalCode(strings.ToLower(code)) == code)
	// Output: 9 true
}
