package cli

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// listener is a neighbor on the multicast group of DNS-SD (RFC 6762, 3): it asks who
// speaks LRP three times, and counts what the house says to the group within two seconds.
const listener = `
import socket, struct, sys, time
mine, house, group = sys.argv[1], sys.argv[2], "224.0.0.251"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 5353))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(mine))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(mine))
name = b"".join(bytes([len(p)]) + p for p in (b"_lrp", b"_tcp", b"local")) + b"\0"
question = struct.pack("!6H", 0, 0, 1, 0, 0, 0) + name + struct.pack("!2H", 12, 1)
s.settimeout(0.1)
heard, asked, begin = 0, 0, time.time()
while time.time() < begin + 2:
    if asked < 3 and time.time() >= begin + asked / 2:
        s.sendto(question, (group, 5353))
        asked += 1
    try:
        _, (who, _) = s.recvfrom(9000)
        heard += who == house
    except socket.timeout:
        pass
print(heard)
`

// hears is how often a phone in the house's network hears the house.
func (n *network) hears() int {
	n.t.Helper()
	out, err := n.in(n.hosts["phone"].pid, needs.Tool(n.t, "python3"), "-c", listener, phoneAddr, houseAddr).CombinedOutput()
	if err != nil {
		n.t.Fatalf("listen on the multicast group: %v: %s", err, out)
	}
	heard, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		n.t.Fatal(err)
	}
	return heard
}

// TestHome_SilentInTheNetwork: a house that is not to be announced says nothing on the
// multicast group, though it is served to the whole network and is asked for; the same
// house, announced, answers.
func TestHome_SilentInTheNetwork(t *testing.T) {
	needs.Long(t)
	n := newNetwork(t)
	home := n.hosts["home"]
	n.must("home", "ca", "ceremony", "--dir", home.path("ca"))
	ca, err := home.serve("ca", "ca", "serve", "--dir", home.path("ca"), "--listen", "127.0.0.1:7700")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Voucher string `json:"voucher"`
	}
	n.query(&v, "home", "ca", "voucher", "--dir", home.path("ca"), "--role", "home-server")
	n.must("home", "home", "init", "--dir", n.path("home"), "--ca", ca, "--voucher", v.Voucher)
	n.do(n.hosts["phone"].pid, "ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
	serve := func(more ...string) {
		t.Helper()
		args := append([]string{"home", "serve", "--dir", n.path("home"), "--listen", "0.0.0.0:7710", "--ca", ca}, more...)
		if _, err := home.serve("home", args...); err != nil {
			t.Fatal(err)
		}
	}
	serve("--announce=false")
	if heard := n.hears(); heard != 0 {
		t.Errorf("a house that is to be silent was heard %d times", heard)
	}
	n.reaches(fmt.Sprintf("http://%s:7710/healthz", houseAddr)) // silence is not that nobody is there
	if err := home.stop("home"); err != nil {
		t.Fatal(err)
	}
	serve()
	if n.hears() == 0 {
		t.Error("an announced house was not heard: the listener hears nothing")
	}
}

// reaches asks for an address from the phone.
func (n *network) reaches(url string) {
	n.t.Helper()
	read := "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10).read()"
	n.do(n.hosts["phone"].pid, needs.Tool(n.t, "python3"), "-c", read, url)
}
