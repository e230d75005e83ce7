package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/interconnect/upnp"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// network is hosts with addresses of their own, each in a network namespace of this
// kernel: a shop, a house and a phone on one net, and a car that has a cable to the
// house and nothing else.
//
//	shop 10.79.0.2 ── net ── 10.79.0.3 house 10.79.1.1 ──── 10.79.1.2 car
//	phone 10.79.0.4 ──┘
type network struct {
	t     *testing.T
	hub   int // process that holds the middle
	hosts map[string]*host
}

// host is one of them.
type host struct {
	*house
	pid  int
	link string // its cable's end in the middle
}

const (
	shopAddr  = "10.79.0.2"
	houseAddr = "10.79.0.3"
	phoneAddr = "10.79.0.4"
	inHouse   = "10.79.1.1" // the house, as the car sees it
	carAddr   = "10.79.1.2"
)

func newNetwork(t *testing.T) *network {
	t.Helper()
	for _, tool := range []string{"ip", "ss", "unshare", "nsenter"} {
		needs.Tool(t, tool)
	}
	lares := program(t)
	n := &network{t: t, hosts: map[string]*host{}}
	var err error
	if n.hub, err = n.hold("unshare", "--user", "--map-root-user", "--net", "sleep", "infinity"); err != nil {
		needs.NotRun(t, fmt.Sprintf("network namespaces are not allowed here: %v", err))
	}
	if out, err := n.in(n.hub, "ip", "link", "add", "mid", "type", "bridge").CombinedOutput(); err != nil {
		needs.NotRun(t, fmt.Sprintf("no bridge in a network namespace here: %s", out))
	}
	n.do(n.hub, "ip", "link", "set", "mid", "up")
	for _, h := range []struct{ name, addr string }{{"shop", shopAddr}, {"home", houseAddr}, {"phone", phoneAddr}, {"car", ""}} {
		n.host(lares, h.name)
		if h.addr == "" {
			continue
		}
		end := "to-" + h.name
		n.hosts[h.name].link = end
		n.do(n.hub, "ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(n.hosts[h.name].pid))
		n.do(n.hub, "ip", "link", "set", end, "master", "mid", "up")
		n.up(h.name, "eth0", h.addr)
	}
	n.do(n.hosts["home"].pid, "ip", "link", "add", "car", "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(n.hosts["car"].pid))
	n.up("home", "car", inHouse)
	n.up("car", "eth0", carAddr)
	return n
}

// hold starts a process that holds namespaces open until the test ends.
func (n *network) hold(args ...string) (int, error) {
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx,gosec // it is killed below
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	n.t.Cleanup(func() { _ = cmd.Process.Kill() })
	for range 500 {
		select {
		case err := <-ended:
			return 0, fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
		case <-time.After(10 * time.Millisecond):
		}
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
		if now, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)); err == nil && now != before && strings.TrimSpace(string(name)) == "sleep" {
			return cmd.Process.Pid, nil
		}
	}
	return 0, errors.New("the namespace does not come")
}

// in is a command in a host's namespaces.
func (n *network) in(pid int, args ...string) *exec.Cmd {
	all := append([]string{"-t", fmt.Sprint(pid), "--user", "--net", "--preserve-credentials", "--"}, args...)
	return exec.CommandContext(n.t.Context(), "nsenter", all...) //nolint:gosec // of this test
}

func (n *network) do(pid int, args ...string) {
	n.t.Helper()
	if out, err := n.in(pid, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%v: %v: %s", args, err, out)
	}
}

// host makes a host with a folder of its own, in which lares runs as on a machine.
func (n *network) host(lares, name string) {
	n.t.Helper()
	pid, err := n.hold("nsenter", "-t", fmt.Sprint(n.hub), "--user", "--preserve-credentials", "--", "unshare", "--net", "sleep", "infinity")
	if err != nil {
		n.t.Fatal(err)
	}
	dir := filepath.Join(n.t.TempDir(), name)
	script := filepath.Join(dir, "lares")
	text := fmt.Sprintf("#!/bin/sh\nexec nsenter -t %d --user --net --preserve-credentials -- %s \"$@\"\n", pid, lares)
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(script, []byte(text), 0o700)); err != nil { //nolint:gosec // it is run
		n.t.Fatal(err)
	}
	h, err := newHouse(dir)
	if err != nil {
		n.t.Fatal(err)
	}
	h.program = script
	n.hosts[name] = &host{house: h, pid: pid}
	n.do(pid, "ip", "link", "set", "lo", "up")
	n.t.Cleanup(func() {
		if n.t.Failed() {
			n.t.Logf("%s:\n%s", name, h.tail(20))
		}
		if err := h.close(); err != nil {
			n.t.Error(err)
		}
	})
}

func (n *network) up(name, device, addr string) {
	n.t.Helper()
	n.do(n.hosts[name].pid, "ip", "addr", "add", addr+"/24", "dev", device)
	n.do(n.hosts[name].pid, "ip", "link", "set", device, "up")
}

// cable is where a host's cable is pulled out, and which connections that ends.
func (n *network) cable(name string) (pid int, link string) {
	if h := n.hosts[name]; h.link != "" {
		return n.hub, h.link
	}
	return n.hosts["home"].pid, "car"
}

// cut pulls a host's cable out. Connections over it end, as when a router forgets
// them, so that nobody waits for the kernel to send again.
func (n *network) cut(name string) {
	n.t.Helper()
	pid, link := n.cable(name)
	n.do(pid, "ip", "link", "set", link, "down")
	for _, h := range n.hosts {
		_ = n.in(h.pid, "ss", "--kill", "--tcp", "state", "established", "not", "dst", "127.0.0.0/8").Run() // a kernel without it: they end by their timeouts
	}
}

// heal puts it in again.
func (n *network) heal(name string) {
	n.t.Helper()
	pid, link := n.cable(name)
	n.do(pid, "ip", "link", "set", link, "up")
}

// must runs a command on a host; it has to succeed.
func (n *network) must(name string, args ...string) string {
	n.t.Helper()
	out, err := n.hosts[name].must(n.t.Context(), args...)
	if err != nil {
		n.t.Fatalf("on %s: %v", name, err)
	}
	return out
}

func (n *network) query(v any, name string, args ...string) {
	n.t.Helper()
	if err := n.hosts[name].query(n.t.Context(), v, args...); err != nil {
		n.t.Fatalf("on %s: %v", name, err)
	}
}

// slow makes what these hosts send take its time, so that a cut comes into the
// middle of it. A kernel that cannot has fewer cuts that hit.
func (n *network) slow(names ...string) (slowed bool) {
	n.t.Helper()
	for _, name := range names {
		out, err := n.in(n.hosts[name].pid, needs.Tool(n.t, "tc"), "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "96kbit", "burst", "1600", "latency", "3s").CombinedOutput()
		if err != nil {
			n.t.Logf("the cables stay fast: %s", out)
			return false
		}
	}
	return true
}

// torn runs a command on a host while a cable is pulled out in its middle, after a
// while that dice choose, and put in again later; then it is run until it is done.
// It reports whether the cut came before the command's end.
func (n *network) torn(dice *rand.Rand, cable, name string, args ...string) (hit bool) {
	n.t.Helper()
	done := make(chan answer, 1)
	go func() {
		a, err := n.hosts[name].run(n.t.Context(), args...)
		if err != nil {
			a.code, a.stderr = -1, err.Error()
		}
		done <- a
	}()
	time.Sleep(time.Duration(dice.IntN(450)) * time.Millisecond)
	n.cut(cable)
	var first answer
	select {
	case first = <-done:
	case <-time.After(time.Duration(200+dice.IntN(1200)) * time.Millisecond):
		hit = true
	}
	n.heal(cable)
	if hit {
		first = <-done
	}
	for try := 0; first.code != 0; try++ {
		if first.code != statusLater && first.code != statusError || try == 20 {
			n.t.Fatalf("%v on %s: status %d: %s", args, name, first.code, first.stderr)
		}
		time.Sleep(300 * time.Millisecond)
		hit = true
		var err error
		if first, err = n.hosts[name].run(n.t.Context(), args...); err != nil {
			n.t.Fatal(err)
		}
	}
	return hit
}

// pair pairs a device, whose owner stands at the house.
func (n *network) pair(name, url string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), startGrace)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := n.hosts[name].must(ctx, "device", "pair", "--dir", n.path(name), "--home", url, "--name", name)
		done <- err
	}()
	for {
		var waiting struct {
			Pairings []struct{ Name, Code string } `json:"pairings"`
		}
		n.query(&waiting, "home", "home", "pair", "--dir", n.path("home"))
		for _, p := range waiting.Pairings {
			if p.Name == name && p.Code != "" {
				n.must("home", "home", "pair", p.Code, "--dir", n.path("home"))
				if err := <-done; err != nil {
					n.t.Fatal(err)
				}
				return
			}
		}
		select {
		case err := <-done:
			n.t.Fatalf("%s was not paired: %v", name, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// path is the state folder of a host.
func (n *network) path(name string) string { return n.hosts[name].path("state") }

// voucher is a one-time right to be enrolled.
func (n *network) voucher(args ...string) string {
	n.t.Helper()
	var v struct {
		Voucher string `json:"voucher"`
	}
	n.query(&v, "shop", append([]string{"ca", "voucher", "--dir", n.hosts["shop"].path("ca")}, args...)...)
	return v.Voucher
}

// found builds the authority and the shop, the house and the devices, each on its
// host, and packs a film.
func (n *network) found() (shopURL string) {
	n.t.Helper()
	shop, home := n.hosts["shop"], n.hosts["home"]
	n.must("shop", "ca", "ceremony", "--dir", shop.path("ca"))
	caURL, err := shop.serve("ca", "ca", "serve", "--dir", shop.path("ca"), "--listen", shopAddr+":7700")
	if err != nil {
		n.t.Fatal(err)
	}
	n.must("shop", "issuer", "init", "--dir", n.path("shop"), "--ca", caURL, "--voucher", n.voucher("--role", "license-issuer", "--issuer", "far-shop"), "--name", "Far shop")
	if shopURL, err = shop.serve("shop", "issuer", "serve", "--dir", n.path("shop"), "--listen", shopAddr+":7701"); err != nil {
		n.t.Fatal(err)
	}
	data, err := film.Files.ReadFile(film.SD)
	in := shop.path("film.mp4")
	if err = errors.Join(err, os.WriteFile(in, data, 0o600)); err != nil {
		n.t.Fatal(err)
	}
	packed := home.path("packed") // it was brought on a disk
	n.must("shop", "pack", in, "--title", film.Title, "--content", string(bought), "--to", shop.path("state", "delivery.der"), "--authority", caURL, "--out", packed)
	n.must("shop", "issuer", "content", "add", "--dir", n.path("shop"), "--keys", filepath.Join(packed, "keys.lkd"))
	n.must("home", "home", "init", "--dir", n.path("home"), "--ca", caURL, "--voucher", n.voucher("--role", "home-server"))
	if _, err := home.serve("home", "home", "serve", "--dir", n.path("home"), "--listen", "0.0.0.0:7710", "--ca", caURL); err != nil {
		n.t.Fatal(err)
	}
	n.must("home", "home", "add", packed, "--dir", n.path("home"))
	for _, name := range []string{"phone", "car"} { // in their factory, which is where the authority is
		n.must("shop", "device", "init", "--dir", n.path(name), "--ca", caURL, "--voucher", n.voucher("--role", "device"))
	}
	for name, at := range map[string]string{"phone": houseAddr, "car": inHouse} {
		n.do(n.hosts[name].pid, "ip", "route", "add", "224.0.0.0/4", "dev", "eth0") // as a route to a router would do
		var found []dnssd.Found
		n.query(&found, name, "device", "find")
		if want := "http://" + at + ":7710"; len(found) == 0 || found[0].URL != want {
			n.t.Errorf("%s found %+v, want %s first", name, found, want)
		}
		n.pair(name, "http://"+at+":7710")
	}
	return shopURL
}

// television is found by a device of the same network, by SSDP.
func (n *network) television() {
	n.t.Helper()
	tv := n.in(n.hosts["home"].pid, needs.Tool(n.t, "python3"), filepath.Join("testdata", "television.py"), houseAddr)
	out, err := tv.StdoutPipe()
	if err = errors.Join(err, tv.Start()); err != nil {
		n.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		n.t.Fatalf("the television says %q, %v", line, err)
	}
	var found []upnp.Renderer
	n.query(&found, "phone", "device", "renderers")
	if len(found) != 1 || found[0].ID != "uuid:tv" || found[0].Address.String() != houseAddr {
		n.t.Errorf("the phone found %+v", found)
	}
	if err := tv.Wait(); err != nil {
		n.t.Errorf("the television: %v", err)
	}
}

// atHome are the plays of a title that the house has.
func (n *network) atHome(id ident.Content) (out uint64) {
	n.t.Helper()
	read := "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:7710/api/v1/library').read().decode())"
	data, err := n.in(n.hosts["home"].pid, needs.Tool(n.t, "python3"), "-c", read).Output()
	var lib struct {
		Titles []titleSeen `json:"titles"`
	}
	if err = errors.Join(err, json.Unmarshal(data, &lib)); err != nil {
		n.t.Fatalf("read the library: %v", err)
	}
	for _, t := range lib.Titles {
		if t.Content == string(id) {
			for _, h := range t.Held {
				out += plays(h.Counters)
			}
		}
	}
	return out
}

// on are the plays that a device has, and how many licenses they are in.
func (n *network) on(name string) (out uint64, licenses int) {
	n.t.Helper()
	var held []struct {
		Counters license.Counters `json:"counters"`
	}
	n.query(&held, name, "device", "list", "--dir", n.path(name))
	for _, h := range held {
		out += plays(h.Counters)
	}
	return out, len(held)
}

// TestLRP_RealHosts: a shop, a house, a phone and a car on addresses of their own,
// the car behind the house only. Cables are pulled out in the middle of what they do
// and put in again: each transaction comes to its end, and no play is lost or doubled.
func TestLRP_RealHosts(t *testing.T) {
	t.Parallel() // it waits for networks
	needs.Long(t)
	n := newNetwork(t)
	shopURL := n.found()
	n.television()
	var about struct {
		Issuer ident.Issuer `json:"issuer"`
	}
	n.query(&about, "shop", "issuer", "show", "--dir", n.path("shop"))
	var house struct {
		ID string `json:"pairwise"`
	}
	n.query(&house, "home", "home", "show", "--dir", n.path("home"), "--issuer", string(about.Issuer))
	if out, err := n.in(n.hosts["car"].pid, "ip", "route", "get", shopAddr).CombinedOutput(); err == nil {
		t.Fatalf("the car reaches the shop by itself: %s", out)
	}
	for _, name := range []string{"phone", "car"} { // in the house's network they speak TLS
		if data, err := os.ReadFile(filepath.Join(n.path(name), "device.json")); err != nil || !strings.Contains(string(data), `"https://`) {
			t.Errorf("%s has not pinned its house (%v)", name, err)
		}
	}
	n.ownFilm()
	const grants, each = 4, 6
	for range grants {
		n.must("shop", "issuer", "grant", "--dir", n.path("shop"), "--domain", house.ID, "--content", string(bought),
			"--terms", fmt.Sprintf("PLAY; PLAY_COUNT=%d; EXPORT=clearkey; MIN_ANCHOR=0", each))
	}
	dice := rand.New(rand.NewPCG(79, 1)) //nolint:gosec // the same each time
	slowed := n.slow("shop", "phone", "car")
	hits := 0
	count := func(hit bool) {
		if hit {
			hits++
		}
	}
	for range grants { // the house and the shop, whose cable is pulled out
		count(n.torn(dice, []string{"shop", "home"}[dice.IntN(2)], "home", "home", "fetch", string(bought), "--dir", n.path("home"), "--issuer", shopURL))
	}
	if got := n.atHome(bought); got != grants*each {
		t.Errorf("%d plays came, want the %d that were granted", got, grants*each)
	}
	if a, err := n.hosts["home"].run(t.Context(), "home", "fetch", string(bought), "--dir", n.path("home"), "--issuer", shopURL); err != nil || a.code != statusRefused {
		t.Errorf("a grant more than there were: status %d, %v", a.code, err)
	}
	for round := range 5 { // each device and the house
		name := []string{"phone", "car"}[round%2]
		count(n.torn(dice, name, name, "device", "get", string(bought), "--plays", "2", "--dir", n.path(name)))
	}
	phone, _ := n.on("phone")
	car, _ := n.on("car")
	if home := n.atHome(bought); phone != 6 || car != 4 || home != grants*each-10 {
		t.Errorf("phone %d, car %d, house %d: want 6, 4 and %d", phone, car, home, grants*each-10)
	}
	for range 4 { // play, and tell the house, while a cable is out
		n.must("car", "device", "play", string(bought), "--dir", n.path("car"), "--tier", "SD", "--out", n.hosts["car"].path("out.mp4"))
		count(n.torn(dice, "car", "car", "device", "transfers", "--dir", n.path("car")))
	}
	car, _ = n.on("car")
	if phone2, _ := n.on("phone"); car != 0 || phone2 != phone || n.atHome(bought) != grants*each-10 {
		t.Errorf("after four plays in the car: phone %d, car %d, house %d", phone2, car, n.atHome(bought))
	}
	count(n.torn(dice, "phone", "phone", "device", "leave", "--dir", n.path("phone"))) // what was set aside comes back, whenever the cable is pulled out
	if _, licenses := n.on("phone"); licenses != 0 || n.atHome(bought) != grants*each-4 {
		t.Errorf("the phone has left: %d licenses on it, %d plays in the house, want none and %d", licenses, n.atHome(bought), grants*each-4)
	}
	var devices []struct{ Name string }
	n.query(&devices, "home", "home", "devices", "--dir", n.path("home"))
	if len(devices) != 1 || devices[0].Name != "car" {
		t.Errorf("of the house are %+v, want the car", devices)
	}
	n.must("home", "home", "remove", "car", "--dir", n.path("home"))
	if a, err := n.hosts["car"].run(t.Context(), "device", "get", string(bought), "--dir", n.path("car")); err != nil || a.code != statusRefused {
		t.Errorf("removed, it asks: status %d (%v): %s", a.code, err, a.stderr)
	}
	if a, err := n.hosts["car"].run(t.Context(), "device", "download", string(bought), "--dir", n.path("car")); err != nil || a.code != statusRefused || !strings.Contains(a.stderr, "pair it again") {
		t.Errorf("removed, it fetches a film: status %d (%v): %s", a.code, err, a.stderr)
	}
	if slowed && hits < 6 {
		t.Errorf("only %d of 13 transactions were cut in their middle", hits)
	}
	t.Logf("%d transactions were cut in their middle", hits)
}
