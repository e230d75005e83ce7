package upnp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/upnp/upnptest"
)

var here = []netip.Addr{netip.MustParseAddr("127.0.0.1")}

// TestUPnP_FoundAndShown: a renderer is found by SSDP, fetches what it is told, and says
// when it is done.
func TestUPnP_FoundAndShown(t *testing.T) {
	fetched := make(chan string, 1)
	tv := upnptest.New(t, func(ctx context.Context, film string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, film, http.NoBody)
		if err != nil {
			return
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return
		}
		defer res.Body.Close()
		data, _ := io.ReadAll(res.Body)
		fetched <- string(data)
	})
	tv.Name = "Living room\u202e"
	film := upnptest.New(t, nil) // any server
	found, err := find(t.Context(), here, tv.Answers(t, nil), 300*time.Millisecond)
	if err != nil || len(found) != 1 || found[0].Name != "Living room" || found[0].ID != tv.ID || found[0].URL != tv.URL() || found[0].Address != here[0] {
		t.Fatalf("%+v, %v", found, err)
	}
	r := found[0]
	if state, err := r.State(t.Context()); err != nil || state != Stopped {
		t.Errorf("state %v, %v", state, err)
	}
	if err := r.Show(t.Context(), Film{URL: film.URL(), Title: "Tom & <Jerry>", Type: "video/mp4", Bytes: 42, Length: 3723 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if got := <-fetched; got != film.Description() {
		t.Errorf("it fetched %q", got)
	}
	_, about := tv.Told()
	for _, want := range []string{"<dc:title>Tom &amp; &lt;Jerry&gt;</dc:title>", `size="42" duration="1:02:03"`, film.URL() + "</res>"} {
		if !strings.Contains(about, want) {
			t.Errorf("no %s in %s", want, about)
		}
	}
	for range 100 {
		if state, err := r.State(t.Context()); err != nil || state == Stopped {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it does not come to an end")
}

// TestUPnP_WhatIsNoRenderer: what answers for another machine, leads to one, says
// nonsense or too much is none, and one that is off is away.
func TestUPnP_WhatIsNoRenderer(t *testing.T) {
	answers := map[string]func(string) string{
		"elsewhere":    func(string) string { return upnptest.Answer("http://127.0.0.2:1/device.xml") },
		"a name":       func(l string) string { return upnptest.Answer(strings.Replace(l, "127.0.0.1", "localhost", 1)) },
		"another kind": func(l string) string { return strings.Replace(upnptest.Answer(l), "AVTransport", "Printer", 2) },
		"an error":     func(l string) string { return strings.Replace(upnptest.Answer(l), "200 OK", "404 No", 1) },
		"nonsense":     func(string) string { return "\x00\x01" },
		"a file":       func(string) string { return upnptest.Answer("file:///etc/passwd") },
	}
	for name, answer := range answers {
		tv := upnptest.New(t, nil)
		if found, err := find(t.Context(), here, tv.Answers(t, answer), 150*time.Millisecond); err != nil || len(found) != 0 {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
	for name, change := range map[string]func(*upnptest.Renderer){
		"control elsewhere":    func(r *upnptest.Renderer) { r.Control = "http://127.0.0.2:9/control" },
		"control by a base":    func(r *upnptest.Renderer) { r.Control = "//127.0.0.2:9/control" },
		"a control that is no": func(r *upnptest.Renderer) { r.Control = "ftp://127.0.0.1/" },
		"too much":             func(r *upnptest.Renderer) { r.Name = strings.Repeat("x", maxAnswer) },
		"without an ID":        func(r *upnptest.Renderer) { r.ID = "" },
	} {
		tv := upnptest.New(t, nil)
		change(tv)
		if r, err := Open(t.Context(), tv.URL()); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for _, at := range []string{"", "nonsense", "ftp://127.0.0.1/x", "http:///x", "https://127.0.0.1/x", "http://192.0.2.7/device.xml"} {
		if r, err := Open(t.Context(), at); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %+v, %v", at, r, err)
		}
	}
	tv := upnptest.New(t, nil)
	tv.Base = "http://127.0.0.2:9/" // it is not heard
	r, err := Open(t.Context(), tv.URL())
	if err != nil {
		t.Fatal(err)
	}
	tv.Refuse = 714
	if err := r.Show(t.Context(), Film{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "714 Not here") {
		t.Errorf("a refusal: %v", err)
	}
	tv.Vanish()
	if _, err := r.State(t.Context()); !errors.Is(err, ErrAway) {
		t.Errorf("one that is off: %v", err)
	}
	if _, err := Open(t.Context(), tv.URL()); !errors.Is(err, ErrAway) {
		t.Errorf("one that is off: %v", err)
	}
}

// TestUPnP_OneMachineIsNotAll: a machine that answers from many places counts as a few, the
// same place counts once, and two machines with one ID are two.
func TestUPnP_OneMachineIsNotAll(t *testing.T) {
	var list []*url.URL
	for n := range 100 {
		for _, host := range []string{"192.168.1.2", "192.168.1.3"} {
			place, err := url.Parse(fmt.Sprintf("http://%s:%d/device.xml", host, 1000+n/2))
			if err != nil {
				t.Fatal(err)
			}
			list = with(list, place)
		}
	}
	if len(list) != 2*maxPlaces {
		t.Errorf("%d places, want %d", len(list), 2*maxPlaces)
	}
	at := func(ip string) *Renderer {
		return &Renderer{Name: "TV", ID: "uuid:1", Address: netip.MustParseAddr(ip)}
	}
	if got := distinct([]*Renderer{at("192.168.1.2"), at("192.168.1.3"), at("192.168.1.2")}); len(got) != 2 {
		t.Errorf("%d renderers with one ID at two addresses", len(got))
	}
}

// TestUPnP_LongHeader: an answer whose head is long is not read.
func TestUPnP_LongHeader(t *testing.T) {
	for long, want := range map[int]error{1 << 10: nil, 2 * maxHeader: ErrAway} {
		tv := upnptest.New(t, nil)
		tv.Head = strings.Repeat("x", long)
		if _, err := Open(t.Context(), tv.URL()); !errors.Is(err, want) {
			t.Errorf("a head of %d bytes: %v, want %v", long, err, want)
		}
	}
}

// FuzzRendererAnswer: an answer is taken only where it leads to the machine that gave it.
func FuzzRendererAnswer(f *testing.F) {
	f.Add([]byte(upnptest.Answer("http://127.0.0.1:80/device.xml")))
	f.Add([]byte(upnptest.Answer("http://[::ffff:127.0.0.1]:80/")))
	f.Add([]byte("NOTIFY * HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if place, ok := location(packet, here[0]); ok {
			if at, err := netip.ParseAddr(place.Hostname()); err != nil || at.Unmap() != here[0] || place.Scheme != "http" {
				t.Errorf("%q leads to %v", packet, place)
			}
		}
	})
}

// FuzzRendererDescription: what is read of a description is short and printable, and control stays
// at its machine.
func FuzzRendererDescription(f *testing.F) {
	f.Add([]byte((&upnptest.Renderer{Name: "TV", ID: "uuid:1", Control: "/control"}).Description()))
	f.Add([]byte((&upnptest.Renderer{Name: "TV", ID: "uuid:1", Control: "http://127.0.0.2/", Base: "http://127.0.0.2/"}).Description()))
	place := &url.URL{Scheme: "http", Host: "127.0.0.1:80", Path: "/device.xml"}
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := parseDescription(strings.NewReader(string(data)), place)
		if err != nil {
			return
		}
		r := &Renderer{}
		r.read(root, place, http.DefaultClient)
		if len([]rune(r.Name)) > maxName || strings.ContainsAny(r.Name, "\x1b\n\x00") {
			t.Errorf("name %q", r.Name)
		}
		if r.ID != "" && r.transport.SOAPClient.EndpointURL.Hostname() != "127.0.0.1" {
			t.Errorf("control at %v", r.transport.SOAPClient.EndpointURL)
		}
	})
}
