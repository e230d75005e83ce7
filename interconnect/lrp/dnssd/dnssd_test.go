package dnssd

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/mdns"
	"github.com/miekg/dns"

	"github.com/lares-drm/lares/interconnect/lrp"
)

var here = []on{
	{nets: []netip.Prefix{netip.MustParsePrefix("192.168.7.20/24"), netip.MustParsePrefix("fe80::1/64")}},
	{nets: []netip.Prefix{netip.MustParsePrefix("10.79.1.1/24")}},
}

// What is announced names nobody and nothing: neither this machine nor its user, nor
// more of the module's address than four bytes.
func TestDNSSD_Spec14_NothingPersonalIsAnnounced(t *testing.T) {
	self := lrp.Addr{0xde, 0xad, 0xbe, 0xef, 0x12, 0x34, 0x56, 0x78, 0x9a}
	var z []*mdns.MDNSService
	for n, o := range here {
		s, err := Announcement{Self: self, Port: 7710}.service(n, o)
		if err != nil {
			t.Fatal(err)
		}
		z = append(z, s)
	}
	var all strings.Builder
	for _, name := range []string{"_lrp._tcp.local.", "_services._dns-sd._udp.local.", "lares-deadbeef-0._lrp._tcp.local.", "lares-deadbeef-1.local."} {
		for _, typ := range []uint16{dns.TypePTR, dns.TypeSRV, dns.TypeTXT, dns.TypeA, dns.TypeANY} {
			for _, s := range z {
				for _, rr := range s.Records(dns.Question{Name: name, Qtype: typ, Qclass: dns.ClassINET}) {
					fmt.Fprintln(&all, rr)
				}
			}
		}
	}
	text := strings.ToLower(all.String())
	for _, want := range []string{"lares-deadbeef-0._lrp._tcp.local.", "7710", "192.168.7.20", "10.79.1.1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not announced:\n%s", want, text)
		}
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{hostname, os.Getenv("USER"), self.String()[:10], "fe80"} {
		if secret != "" && strings.Contains(text, strings.ToLower(secret)) {
			t.Errorf("%q is announced:\n%s", secret, text)
		}
	}
	if _, err := (Announcement{Self: self, Port: 7710}).service(0, on{}); err == nil {
		t.Error("announced without an address")
	}
}

// An answer is a stranger's word: what does not fit is passed over, and what fits
// is no more than a URL of this network.
func TestDNSSD_Spec14_AnswersAreChecked(t *testing.T) {
	good := mdns.ServiceEntry{Name: "lares-deadbeef-0._lrp._tcp.local.", Port: 7710, AddrV4: net.ParseIP("192.168.7.9"), InfoFields: []string{"v=1", "b=http"}}
	f, ok := read(good, here)
	if !ok || f.URL != "http://192.168.7.9:7710" || f.Prefix != "deadbeef" || !f.near {
		t.Errorf("%+v, %v", f, ok)
	}
	far := good
	far.AddrV4 = net.ParseIP("192.168.8.9")
	if f, ok := read(far, here); !ok || f.near {
		t.Errorf("of another network: %+v, %v", f, ok)
	}
	for name, change := range map[string]func(*mdns.ServiceEntry){
		"another service": func(e *mdns.ServiceEntry) { e.Name = "lares-deadbeef-0._http._tcp.local." },
		"another name":    func(e *mdns.ServiceEntry) { e.Name = "printer._lrp._tcp.local." },
		"no prefix":       func(e *mdns.ServiceEntry) { e.Name = "lares-<b>hi</b>-0._lrp._tcp.local." },
		"no port":         func(e *mdns.ServiceEntry) { e.Port = 0 },
		"port 70000":      func(e *mdns.ServiceEntry) { e.Port = 70000 },
		"no address":      func(e *mdns.ServiceEntry) { e.AddrV4 = nil },
		"loopback":        func(e *mdns.ServiceEntry) { e.AddrV4 = net.IPv4(127, 0, 0, 1) },
		"multicast":       func(e *mdns.ServiceEntry) { e.AddrV4 = net.IPv4(224, 0, 0, 1) },
		"version 2":       func(e *mdns.ServiceEntry) { e.InfoFields = []string{"v=2", "b=http"} },
		"no binding":      func(e *mdns.ServiceEntry) { e.InfoFields = []string{"v=1"} },
	} {
		e := good
		change(&e)
		if f, ok := read(e, here); ok {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
