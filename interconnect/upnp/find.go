package upnp

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Where and how renderers are asked for. Source: UPnP Device Architecture 1.1, section 1.3.
const (
	group  = "239.255.255.250:1900"
	target = "urn:schemas-upnp-org:service:AVTransport:1"

	maxWait   = 5    // seconds that an answer may take (MX)
	maxFound  = 64   // answers that are looked at
	maxPlaces = 4    // of them, places at one address: one machine does not crowd out the others
	maxPacket = 2048 // bytes
	sends     = 2    // of the question: a packet may be lost
)

// ErrNowhere is returned when no interface of this machine has multicast.
var ErrNowhere = errors.New("upnp: no network here on which a renderer can be found")

// Find asks on every network who shows films, waits so long, and returns those that say
// what they are, by their names. An ID is a machine's own word: two that say the same are
// two, at two addresses.
func Find(ctx context.Context, wait time.Duration) ([]*Renderer, error) {
	from, err := addresses()
	if err != nil {
		return nil, err
	}
	return find(ctx, from, group, wait)
}

// addresses are those of this machine's interfaces with multicast. A question that is sent
// from one of them leaves by its interface.
func addresses() (out []netip.Addr, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("upnp: list interfaces: %w", err)
	}
	const want = net.FlagUp | net.FlagMulticast
	for _, i := range all {
		if i.Flags&want != want || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		list, err := i.Addrs()
		if err != nil {
			continue // one interface less
		}
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				out = append(out, p.Addr())
			}
		}
	}
	if len(out) == 0 {
		return nil, ErrNowhere
	}
	return out, nil
}

func find(ctx context.Context, from []netip.Addr, to string, wait time.Duration) ([]*Renderer, error) {
	var mu sync.Mutex
	var places []*url.URL // guarded by mu
	var failed error      // guarded by mu
	var asked sync.WaitGroup
	for _, a := range from {
		asked.Go(func() {
			got, err := ask(ctx, a, to, wait)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			for _, place := range got {
				places = with(places, place)
			}
		})
	}
	asked.Wait()
	slices.SortFunc(places, func(a, b *url.URL) int { return cmp.Compare(a.String(), b.String()) })
	found := make([]*Renderer, min(len(places), maxFound))
	for n := range found {
		asked.Go(func() { found[n], _ = Open(ctx, places[n].String()) }) // one that says nothing sensible is none
	}
	asked.Wait()
	found = slices.DeleteFunc(found, func(r *Renderer) bool { return r == nil })
	found = distinct(found)
	if len(found) == 0 && failed != nil {
		return nil, fmt.Errorf("%w: %w", ErrNowhere, failed)
	}
	return found, nil
}

// distinct orders renderers by their names. One that was found twice counts once: of one
// ID at one address.
func distinct(found []*Renderer) []*Renderer {
	slices.SortStableFunc(found, func(a, b *Renderer) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID), a.Address.Compare(b.Address))
	})
	return slices.CompactFunc(found, func(a, b *Renderer) bool { return a.ID == b.ID && a.Address == b.Address })
}

// with adds a place, unless it is there or maxPlaces of its address are.
func with(list []*url.URL, place *url.URL) []*url.URL {
	n := 0
	for _, p := range list {
		if *p == *place {
			return list
		}
		if p.Hostname() == place.Hostname() {
			n++
		}
	}
	if n >= maxPlaces {
		return list
	}
	return append(list, place)
}

// ask sends the question from one address and reads the answers until the wait is over.
func ask(ctx context.Context, from netip.Addr, to string, wait time.Duration) (out []*url.URL, err error) {
	dest, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		return nil, fmt.Errorf("upnp: %w", err)
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: from.AsSlice()})
	if err != nil {
		return nil, fmt.Errorf("upnp: %w", err)
	}
	defer conn.Close() //nolint:errcheck // nothing is lost
	ctx, over := context.WithTimeout(ctx, wait)
	defer over()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	seconds := min(max(int(wait/time.Second), 1), maxWait)
	question := fmt.Sprintf("M-SEARCH * HTTP/1.1\r\nHOST: %s\r\nMAN: \"ssdp:discover\"\r\nMX: %d\r\nST: %s\r\n\r\n", to, seconds, target)
	for range sends {
		if _, err := conn.WriteToUDP([]byte(question), dest); err != nil {
			return nil, fmt.Errorf("upnp: %w", err)
		}
	}
	packet := make([]byte, maxPacket)
	for len(out) < maxFound {
		n, by, err := conn.ReadFromUDPAddrPort(packet)
		if err != nil {
			break // the wait is over
		}
		if place, ok := location(packet[:n], by.Addr().Unmap()); ok {
			out = with(out, place)
		}
	}
	return out, nil
}

// location reads where an answer says that the description is. It has to be at the machine
// that answers: else anybody could have this one ask any other.
func location(packet []byte, by netip.Addr) (*url.URL, bool) {
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(packet)), nil)
	if err != nil {
		return nil, false
	}
	_ = res.Body.Close() // it is empty
	if res.StatusCode != http.StatusOK || res.Header.Get("ST") != target {
		return nil, false
	}
	place, err := url.Parse(res.Header.Get("Location"))
	if err != nil || place.Scheme != "http" {
		return nil, false
	}
	at, err := netip.ParseAddr(place.Hostname())
	return place, err == nil && at.Unmap() == by
}
