package dnssd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/mdns"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// Names on the wire. Source: local, docs/spec/lrp.md section 14.
const (
	// Service is the type of the service.
	Service = "_lrp._tcp"
	// PrefixLen is how many bytes of its address a house announces.
	PrefixLen = 4

	instance = "lares-"
	version  = "v=1"
	binding  = "b=http"
	domain   = "local."

	maxFound = 64 // answers that are looked at
)

// ErrNowhere is returned when no interface of this machine has multicast.
var ErrNowhere = errors.New("lrp: no network here on which a house can be found")

// Announcement is what a home server says of itself.
type Announcement struct {
	Self lrp.Addr // of which PrefixLen bytes are said
	Port int
}

// Announce answers questions on every interface with multicast until ctx ends.
func Announce(ctx context.Context, a Announcement) error {
	all, err := reachable()
	if err != nil {
		return err
	}
	quiet := log.New(io.Discard, "", 0) // strangers' packets are no news
	var servers []*mdns.Server
	defer func() {
		for _, s := range servers {
			_ = s.Shutdown() // it answers no more
		}
	}()
	for n, on := range all {
		records, err := a.service(n, on)
		if err != nil {
			continue // one interface less
		}
		if s, err := mdns.NewServer(&mdns.Config{Zone: records, Iface: &on.iface, Logger: quiet}); err == nil {
			servers = append(servers, s)
		}
	}
	if len(servers) == 0 {
		return ErrNowhere
	}
	<-ctx.Done()
	return nil
}

// on is an interface and its addresses.
type on struct {
	iface net.Interface
	nets  []netip.Prefix
}

// reachable are the interfaces that others reach this machine by.
func reachable() (out []on, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("lrp: list interfaces: %w", err)
	}
	const want = net.FlagUp | net.FlagMulticast
	for _, i := range all {
		if i.Flags&want != want || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		o := on{iface: i}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				o.nets = append(o.nets, p)
			}
		}
		if len(o.nets) > 0 {
			out = append(out, o)
		}
	}
	if len(out) == 0 {
		return nil, ErrNowhere
	}
	return out, nil
}

// service is the n-th instance: an interface of this machine, by which it is reached
// there. They are apart, because a device is not on every network of the house. The
// host's names are made up: a machine's own may be a person's.
func (a Announcement) service(n int, o on) (*mdns.MDNSService, error) {
	var ips []net.IP
	for _, p := range o.nets {
		if ip := p.Addr(); ip.Is4() || !ip.IsLinkLocalUnicast() { // what means something beyond one interface
			ips = append(ips, ip.AsSlice())
		}
	}
	if len(ips) == 0 {
		return nil, ErrNowhere
	}
	name := fmt.Sprintf("%s%x-%d", instance, a.Self[:PrefixLen], n)
	s, err := mdns.NewMDNSService(name, Service, domain, name+"."+domain, a.Port, ips, []string{version, binding})
	if err != nil {
		return nil, fmt.Errorf("lrp: announce: %w", err)
	}
	return s, nil
}

// Found is a home server that answered.
type Found struct {
	Prefix string `json:"prefix"` // of its address, hexadecimal
	URL    string `json:"url"`
	near   bool   // on a network that this machine is on
}

// Find asks on every interface who is there, waits so long, and returns what
// answered, those on this machine's own networks first. Each is a hint.
func Find(ctx context.Context, wait time.Duration) ([]Found, error) {
	all, err := reachable()
	if err != nil {
		return nil, err
	}
	var out []Found
	var failed error
	for _, o := range all {
		got, err := ask(ctx, o, wait/time.Duration(len(all)))
		failed = errors.Join(failed, err)
		for _, e := range got {
			f, ok := read(e, all)
			if ok && len(out) < maxFound && !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Found) int {
		if a.near != b.near {
			return map[bool]int{true: -1, false: 1}[a.near]
		}
		return cmp.Compare(a.URL, b.URL)
	})
	if len(out) == 0 && failed != nil {
		return nil, fmt.Errorf("%w: %w", ErrNowhere, failed)
	}
	return out, nil
}

// ask asks on one interface.
func ask(ctx context.Context, o on, wait time.Duration) ([]mdns.ServiceEntry, error) {
	entries := make(chan *mdns.ServiceEntry, maxFound)
	done := make(chan error, 1)
	go func() {
		done <- mdns.QueryContext(ctx, &mdns.QueryParam{
			Service: Service, Timeout: wait, Interface: &o.iface, Entries: entries, DisableIPv6: true, Logger: log.New(io.Discard, "", 0),
		})
	}()
	err := <-done
	var out []mdns.ServiceEntry
	for {
		select {
		case e := <-entries:
			out = append(out, *e)
		default:
			return out, err
		}
	}
}

// read checks an answer: it is a stranger's word.
func read(e mdns.ServiceEntry, all []on) (Found, bool) {
	label, ok := strings.CutPrefix(e.Name, instance)
	if !ok || !strings.Contains(e.Name, "."+Service+".") || !slices.Contains(e.InfoFields, version) || !slices.Contains(e.InfoFields, binding) || e.Port <= 0 || e.Port > 65535 {
		return Found{}, false
	}
	prefix, _, ok := strings.Cut(label, "-")
	if !ok || len(prefix) != 2*PrefixLen || strings.Trim(prefix, "0123456789abcdef") != "" {
		return Found{}, false
	}
	ip, ok := netip.AddrFromSlice(e.AddrV4)
	if ip = ip.Unmap(); !ok || !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !ip.IsGlobalUnicast() {
		return Found{}, false
	}
	f := Found{Prefix: prefix, URL: "http://" + net.JoinHostPort(ip.String(), fmt.Sprint(e.Port))}
	for _, o := range all {
		f.near = f.near || slices.ContainsFunc(o.nets, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	return f, true
}
