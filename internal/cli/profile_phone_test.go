package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// kemKey is the length in bytes of an ML-KEM-768 encapsulation key, which is in the
// first message of the hybrid suite and in no other. Source: FIPS 203, table 3.
const kemKey = 1184

// way is the network between a device and its house. It knows how many messages of
// SLTP the device has sent, and springs once, between the house's answer to one of them
// and the device.
type way struct {
	*httptest.Server
	away   atomic.Bool // nobody is in reach
	mu     sync.Mutex
	first  int    // bytes of the first message; guarded by mu
	sent   int    // guarded by mu
	at     int    // guarded by mu
	spring func() // guarded by mu
}

func newWay(t *testing.T, to string) *way {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	w := new(way)
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }}
	w.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, req *http.Request) {
		if w.away.Load() {
			panic(http.ErrAbortHandler)
		}
		if req.Method != http.MethodPost || req.URL.Path != lrphttp.Path {
			proxy.ServeHTTP(out, req)
			return
		}
		body, err := io.ReadAll(io.LimitReader(req.Body, lrp.MaxFrame))
		f, bad := lrp.Parse(body)
		if err != nil || bad != nil || f.Type != lrp.TypeSLTP {
			req.Body = io.NopCloser(bytes.NewReader(body))
			proxy.ServeHTTP(out, req)
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		kept := httptest.NewRecorder()
		proxy.ServeHTTP(kept, req)
		if spring := w.passed(f); spring != nil {
			spring()
		}
		maps.Copy(out.Header(), kept.Header())
		out.WriteHeader(kept.Code)
		_, _ = out.Write(kept.Body.Bytes()) // who was killed does not read it
	}))
	t.Cleanup(w.Close)
	return w
}

// passed notes a message, and returns what is to happen before its answer is given.
func (w *way) passed(f lrp.Frame) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent++; w.sent == 1 {
		w.first = len(f.Body)
	}
	if w.sent == w.at {
		return w.spring
	}
	return nil
}

// set has the way spring at a message from now on; 0: at none.
func (w *way) set(at int, spring func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.at, w.spring = 0, at, spring
}

// past reports whether a command sends fewer messages than the one to spring at.
func (w *way) past() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent < w.at
}

// world is a house with two devices, each on a machine of its own.
type world struct {
	*demo
	here, phone, car *machine
	stick            string // the folder by which the car is reached
}

// A house in which time passes: built by the shipped programs, and gone on with by
// those of this test.
func TestProfile_Processes(t *testing.T) {
	d := killHouse(t)
	w := &world{demo: d, here: newMachine(t, d.house, "house"), phone: newMachine(t, d.house, "phone"), car: newMachine(t, d.house, "car")}
	d.program = w.here.program
	w.stick = filepath.Join(t.TempDir(), "stick")
	d.procs["home"].args = append(d.procs["home"].args, "--folder", w.stick)
	d.reboot(t)
	for _, tc := range []struct {
		name string
		run  func(*testing.T, *world)
	}{{"Car", carProfile}, {"Phone", phoneProfile}, {"Sold", soldProfile}} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, w) })
	}
}

// reboot starts all services anew.
func (d *demo) reboot(t *testing.T) {
	t.Helper()
	for _, name := range []string{"ca", "shop", "home"} {
		if err := errors.Join(d.stop(name), d.again(name)); err != nil {
			t.Fatal(err)
		}
	}
}

const day = 24 * time.Hour

// phoneProfile: a phone asks in the hybrid suite, is killed and put to sleep between
// any two messages, and is away for more than thirty days.
func phoneProfile(t *testing.T, d *world) {
	const plays = 30
	here, phone := d.here, d.phone
	phone.set(atOffset, clockAt(here.clocks, atOffset))
	dir := []string{"--dir", d.path("phone")}
	in := func(args ...string) []string { return append(append([]string{"device"}, args...), dir...) }
	net := newWay(t, d.homeURL)
	rehouse(t, d.path("phone", "device.json"), d.homeURL, net.URL)
	defer rehouse(t, d.path("phone", "device.json"), net.URL, d.homeURL)
	house := d.houseName(t)
	end := here.now().Add(20 * day).UTC().Truncate(time.Second).Format(time.RFC3339)
	for _, args := range [][]string{
		d.grant(house, bought, "PLAY; CHARGE=PURCHASE; EXPORT=clearkey"),
		d.grant(house, boughtCBCS, "PLAY; CHARGE=SUBSCRIPTION; END_TIME="+here.now().Add(90*day).UTC().Format(time.RFC3339)),
		d.grant(house, rented, fmt.Sprintf("PLAY; PLAY_COUNT=%d; CHARGE=RENTAL; END_TIME=%s; MIN_ANCHOR=0", plays, end)),
	} {
		here.do(args...)
		here.do("home", "fetch", args[7], "--dir", d.path("home"), "--issuer", d.shopURL)
	}
	net.set(0, nil)
	phone.do(in("get", string(bought))...)
	if net.first <= kemKey {
		t.Errorf("the first message has %d bytes: it is not of the hybrid suite", net.first)
	}
	phone.do(in("get", string(boughtCBCS))...)
	all := func() {
		t.Helper()
		if home, away := sum(d.heldAtHome(t, rented)), sum(d.on(phone).heldBy(t, "phone")); home+away != plays || away < 6 {
			t.Fatalf("%d plays at home and %d on the phone, want %d in all", home, away, plays)
		}
	}
	ask := in("get", string(rented), "--plays", "1")
	killed := phone.disturbed(net, func(cmd *exec.Cmd) { _ = killTree(cmd.Process.Pid) }, ask)
	slept := phone.disturbed(net, func(cmd *exec.Cmd) { phone.sleep(cmd, 6*time.Hour); here.pass(6 * time.Hour) }, ask)
	if all(); killed < 3 || slept < 3 {
		t.Errorf("disturbed at %d and %d messages of an exchange that has 3", killed, slept)
	}
	here.do(d.grant(house, shared, sharing)...)
	here.do("home", "fetch", string(shared), "--dir", d.path("home"), "--issuer", d.shopURL)
	here.do("home", "move", string(shared), "--to", "phone", "--dir", d.path("home")) // a letter waits
	phone.do(in("download", string(bought))...)
	net.away.Store(true)
	phoneAway(t, phone, in)
	net.away.Store(false)

	here.pass(31 * day)
	d.reboot(t)
	phone.do(in("get", string(boughtCBCS))...)
	var st trem.Status
	if err := phone.query(t.Context(), &st, "trem", "status", "--dir", d.path("phone", "trem")); err != nil {
		t.Fatal(err)
	}
	if now := here.now().UnixMilli(); st.Clock.Quality != "SECURE" || st.Clock.Lo < now-time.Minute.Milliseconds() || st.Epoch != d.published(t) {
		t.Errorf("after one contact: %+v, epoch %d of %d; it is %d", st.Clock, st.Epoch, d.published(t), now)
	}
	for _, id := range []ident.Content{bought, boughtCBCS, shared} {
		phone.do(in("why", string(id))...)
	}
	phone.refuses(statusRefused, "EXPIRED", in("why", string(rented))...)
	type seen struct {
		Name   string    `json:"name"`
		Seen   time.Time `json:"seen"`
		Lapsed bool      `json:"lapsed"`
	}
	var devices []seen
	if err := d.query(t.Context(), &devices, "home", "devices", "--dir", d.path("home")); err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(devices, func(v seen) bool { return v.Name == "phone" }); i < 0 || devices[i].Lapsed || devices[i].Seen.Before(here.now().Add(-time.Hour)) {
		t.Errorf("the house has not seen it: %+v", devices)
	}
	all()
}

// phoneAway: the phone is away from everybody. It sleeps for days, is switched off
// once, and is asked what plays.
func phoneAway(t *testing.T, phone *machine, in func(...string) []string) {
	t.Helper()
	for range 3 {
		phone.pass(5 * day)
		for _, id := range []ident.Content{bought, boughtCBCS, rented} {
			phone.do(in("why", string(id))...)
		}
	}
	phone.off(day) // it has a clock that runs without power
	phone.pass(15 * day)
	phone.refuses(statusLater, "", in("get", string(rented), "--plays", "1")...)
	phone.do(in("play", string(bought), "--out", filepath.Join(t.TempDir(), "far.mp4"))...)
	phone.refuses(statusRefused, "This device has not been with the house for too long", in("why", string(boughtCBCS))...)
	phone.refuses(statusRefused, "I do not know the time: connect to the house once", in("why", string(boughtCBCS))...)
	phone.refuses(statusRefused, "The time for watching it is over", in("why", string(rented))...)
}

// on is the same house as seen by the programs of a machine.
func (d *demo) on(m *machine) *demo {
	c := *d
	c.house = m.house
	return &c
}

// disturbed runs a command once for each message that it sends, and does something to it
// between the house's answer and the phone; each time it is said again until it is done. It
// returns how many messages there were.
func (m *machine) disturbed(net *way, do func(*exec.Cmd), args []string) int {
	m.t.Helper()
	for at := 1; ; at++ {
		cmd := m.command(m.t.Context(), args)
		net.set(at, func() { do(cmd) })
		if err := cmd.Start(); err != nil {
			m.t.Fatal(err)
		}
		_ = cmd.Wait() // killed, or done, or it asks to be said again
		if net.past() {
			return at - 1
		}
		net.set(0, nil)
		for again := 0; ; again++ {
			a, err := m.run(m.t.Context(), args...)
			if err == nil && a.code == statusDone {
				break
			}
			if err != nil || again == 5 {
				m.t.Fatalf("after message %d: %v %+v", at, err, a)
			}
		}
	}
}

// sleep stops a command and its module, as a phone in a pocket does, for so long.
func (m *machine) sleep(cmd *exec.Cmd, d time.Duration) {
	pids := []int{cmd.Process.Pid}
	if list, err := childrenOf(pids[0]); err == nil {
		pids = append(pids, list...)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	m.pass(d)
	go func() {
		time.Sleep(100 * time.Millisecond) // the answer is there when it wakes up
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}()
}
