package cli

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// What a house said bounds a device also while it is away: a title that the house rated
// goes by that, another one by its folder, and one that nobody rated is for no child.
func TestPeople_6_ADeviceGoesByWhatItsHouseSaid(t *testing.T) {
	w, err := parseWhose([]byte(`{"person":{"age":9,"hours":"07:00-19:30"},"rated":[{"content":"metropolis","years":12}]}`))
	if err != nil {
		t.Fatal(err)
	}
	now, six := time.Date(2026, 11, 28, 20, 0, 0, 0, time.UTC), uint8(6)
	from, until := time.Date(2026, 11, 29, 7, 0, 0, 0, time.UTC).UnixMilli(), time.Date(2026, 11, 29, 19, 30, 0, 0, time.UTC).UnixMilli()
	for _, tc := range []struct {
		rated uint8
		got   *license.Person
	}{{12, w.Asked("metropolis", &six, now)}, {6, w.Asked("faust", &six, now)}, {100, w.Asked("faust", nil, now)}} {
		if d := cmp.Diff(&license.Person{Age: 9, Rated: tc.rated, From: from, Until: until}, tc.got); d != "" {
			t.Errorf("rated from %d: %s", tc.rated, d)
		}
	}
	if w, err := parseWhose([]byte(`{"person":null}`)); err != nil || w.Asked("metropolis", nil, now) != nil {
		t.Errorf("everybody's: %v", err)
	}
}

// standIn answers for a device's module, in whose place it stands: with its status, to
// which join adds what joining a house changes, and with an error to all else.
func standIn(t *testing.T, st *trem.Status, join func()) *trem.Client {
	t.Helper()
	ours, its := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			m, err := trem.ReadMessage(its)
			if err != nil {
				return
			}
			var body any = st
			var fail error
			switch cmd, _, err := trem.ParseRequest(m.Header); {
			case err != nil:
				fail = err
			case cmd == trem.CmdJoin:
				join()
				body = trem.None{}
			case cmd != trem.CmdStatus:
				fail = &trem.Error{Code: trem.CodeState, Text: "not here"}
			}
			header, err := trem.NewReply(body, fail)
			if err != nil || trem.WriteMessage(its, trem.Message{Header: header}) != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _, _ = ours.Close(), its.Close(); <-done })
	return trem.NewClient(ours)
}

// standInHouse is a house over a stand-in for its module.
type standInHouse struct {
	*home.Home
	cfg     home.Config
	module  *hometest.Module
	url     string
	handler atomic.Pointer[http.Handler]
	asked   atomic.Int64 // what devices asked about people
}

func serveHouse(t *testing.T) *standInHouse {
	t.Helper()
	h := &standInHouse{module: hometest.New(t, nil)}
	h.cfg = home.Config{Dir: t.TempDir(), Module: h.module, Now: time.Now}
	h.start(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, home.PathPeople) {
			h.asked.Add(1)
		}
		(*h.handler.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// start starts the house, again too: it does not know then who has proven itself.
func (h *standInHouse) start(t *testing.T) {
	t.Helper()
	var err error
	if h.Home, err = home.New(h.cfg); err != nil {
		t.Fatal(err)
	}
	handler, err := httpd.New(httpd.Config{Home: h.Home, Frames: &lrphttp.Server{Frames: h.FrameBy, Wait: h.Wait}})
	if err != nil {
		t.Fatal(err)
	}
	h.handler.Store(&handler)
}

// withPerson is a served house with Ada, whose PIN is 1111, and a device of it that is
// Ben's, a child of nine.
func withPerson(t *testing.T) (*standInHouse, *device) {
	t.Helper()
	h := serveHouse(t)
	leaf, key := hometest.Keyed(t, "tablet")
	self, err := deviceOf([][]byte{leaf})
	if err != nil {
		t.Fatal(err)
	}
	nonce := [home.NonceSize]byte{1}
	commit := home.Commit(nonce)
	got, err := h.OpenPairing(t.Context(), home.PairingOffer{Chain: [][]byte{leaf}, Delivery: []byte("delivery"), Commit: commit[:], Name: "tablet"})
	if err == nil {
		err = h.RevealPairing(t.Context(), got.ID, nonce[:])
	}
	if err == nil {
		_, err = h.Approve(t.Context(), got.ID, h.Pending()[0].Code)
	}
	for _, p := range []struct {
		name, pin string
		kind      home.PersonKind
		age       uint8
	}{{"Ada", "1111", home.Adult, 0}, {"Ben", "", home.Child, 9}} {
		if err == nil {
			_, err = h.AddPerson(home.PersonChange{Name: &p.name, Kind: &p.kind, Age: &p.age, PIN: &p.pin})
		}
	}
	if err == nil {
		err = h.BindDevice(self, "Ben")
	}
	if err != nil {
		t.Fatal(err)
	}
	return h, &device{
		dir: t.TempDir(), now: time.Now, cfg: deviceConfig{Home: h.url, Server: h.module.State.Device}, trem: standIn(t, &trem.Status{Device: self}, nil),
		link: &lrphttp.Client{URL: h.url, Who: hometest.Who(leaf, key, self, h.module.State.Device), Now: time.Now},
	}
}

// typed is an environment in which somebody types a line.
func typed(line string) *Env {
	return &Env{Stdin: strings.NewReader(line + "\n"), Stdout: io.Discard, Stderr: io.Discard, Now: time.Now}
}

// A wrong PIN is sent once, and counts once; a proof that has lapsed is made anew.
func TestPeople_6_AWrongPINCountsOnce(t *testing.T) {
	h, d := withPerson(t)
	err := d.once(t.Context(), typed("0000"), "Ada")
	if e, ok := errors.AsType[*exitError](err); !ok || e.code != statusRefused || h.asked.Load() != 1 || h.People()[0].Wrong != 1 {
		t.Errorf("%v; sent %d times, counted %d times", err, h.asked.Load(), h.People()[0].Wrong)
	}
	h.start(t)
	if err := d.once(t.Context(), typed("1111"), "Ada"); err != nil || h.asked.Load() != 3 || h.People()[0].Wrong != 0 {
		t.Errorf("the right PIN on a link that has lapsed: %v; %d requests, %d wrong", err, h.asked.Load(), h.People()[0].Wrong)
	}
}

// A PIN does not leave a device that was paired without TLS, but for a house on the same
// machine; it is not even asked for.
func TestPeople_6_APINGoesByTLS(t *testing.T) {
	h, d := withPerson(t)
	d.cfg.Home = strings.Replace(h.url, "127.0.0.1", "0.0.0.0", 1) // this machine, by an address that is not a loopback one
	env := typed("1111")
	err := d.once(t.Context(), env, "Ada")
	if e, ok := errors.AsType[*exitError](err); !ok || e.code != statusRefused || !strings.Contains(err.Error(), "lares device pair") {
		t.Errorf("without TLS: %v", err)
	}
	if left, _ := io.ReadAll(env.Stdin); h.asked.Load() != 0 || len(left) == 0 {
		t.Errorf("the house was asked %d times, %d bytes of the PIN were not read", h.asked.Load(), len(left))
	}
}

// Whose a device was in one house it is in no other: it forgets that when it leaves, and a
// file that was left there by an earlier build bounds nobody.
func TestPeople_6_ADeviceWithoutThatHouseIsEverybodys(t *testing.T) {
	h, d := withPerson(t)
	if w, err := d.whose(t.Context()); err != nil || w.Person == nil || w.Person.Age != 9 {
		t.Fatalf("in the house: %+v, %v", w.Person, err)
	}
	file := filepath.Join(d.dir, personFile)
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.unhoused(); err != nil || d.cfg.Server != (ident.Device{}) {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after it left: %v", err)
	}
	for name, cfg := range map[string]deviceConfig{"no house": {}, "a house without a server": {Home: h.url, Server: h.module.State.Device, Authority: h.url}} {
		if d.cfg = cfg; os.WriteFile(file, kept, 0o600) != nil {
			t.Fatal("it cannot be written")
		}
		if w, err := d.whose(t.Context()); err != nil || w.Person != nil {
			t.Errorf("%s: %+v, %v", name, w.Person, err)
		}
	}
}

// FuzzWhose: what a device takes of its house it reads again as the same.
func FuzzWhose(f *testing.F) {
	f.Add([]byte(`{"person":null}`))
	f.Add([]byte(`{"person":{"age":9,"hours":"07:00-19:30"},"rated":[{"content":"metropolis","years":12}]}`))
	f.Add([]byte(`{"person":{"age":200}}`))
	f.Add([]byte(`{"people":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := parseWhose(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseWhose(text)
		if err != nil || w.Person != nil && cmp.Diff(w.Person, again.Person) != "" || len(w.Rated) != len(again.Rated) {
			t.Errorf("%s is read as %s (%v)", data, text, err)
		}
	})
}
