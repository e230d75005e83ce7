package upnp

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/av1"
	"github.com/huin/goupnp/soap"
)

// Limits of what a renderer answers. Source: local.
const (
	maxAnswer = 256 << 10 // bytes
	maxHeader = 64 << 10  // bytes
	patience  = 5 * time.Second
	maxName   = 64 // letters
)

// The errors of a renderer.
var (
	// ErrNone is returned for what is no renderer that can be used.
	ErrNone = errors.New("upnp: this is no media renderer")
	// ErrAway is returned when a renderer does not answer.
	ErrAway = errors.New("upnp: the renderer does not answer")
	// ErrRefused is returned when it answers that it will not.
	ErrRefused = errors.New("upnp: the renderer refuses")
)

// transports is how a description begins the name of the service, whose version follows.
// Newer ones do what version 1 says. Source: UPnP Device Architecture 1.1, section 2.
const transports = "urn:schemas-upnp-org:service:AVTransport:"

// Renderer is a machine that shows what it is told to fetch.
type Renderer struct {
	Name    string     `json:"name"` // as it calls itself
	ID      string     `json:"id"`   // its UDN
	URL     string     `json:"url"`  // of its description
	Address netip.Addr `json:"address"`

	transport av1.AVTransport1
}

// Open reads what the machine at a description's address is. Its control has to be at the
// same machine, and that one in this house: on this machine or in a private network.
func Open(ctx context.Context, at string) (*Renderer, error) {
	place, err := url.Parse(at)
	if err != nil || place.Scheme != "http" || place.Hostname() == "" {
		return nil, fmt.Errorf("%w: its address begins with http:// and names a machine", ErrNone)
	}
	addr, err := homeAddress(ctx, place.Hostname())
	if err != nil {
		return nil, err
	}
	client := pinned(addr)
	root, err := describe(ctx, client, place)
	if err != nil {
		return nil, err
	}
	r := &Renderer{URL: place.String(), Address: addr}
	if r.read(root, place, client); r.ID == "" {
		return nil, ErrNone
	}
	return r, nil
}

// read takes name, ID and control of the first device that shows films.
func (r *Renderer) read(root *goupnp.RootDevice, place *url.URL, client *http.Client) {
	root.Device.VisitDevices(func(d *goupnp.Device) {
		for i := range d.Services {
			s := &d.Services[i]
			if r.ID != "" || !strings.HasPrefix(s.ServiceType, transports) || !s.ControlURL.Ok || s.ControlURL.URL.Scheme != "http" || s.ControlURL.URL.Hostname() != place.Hostname() {
				continue
			}
			r.Name, r.ID = printable(d.FriendlyName), printable(d.UDN)
			r.transport.ServiceClient = goupnp.ServiceClient{SOAPClient: s.NewSOAPClient(), RootDevice: root, Location: place, Service: s}
			r.transport.SOAPClient.HTTPClient = *client
		}
	})
}

// describe fetches a device description.
func describe(ctx context.Context, client *http.Client, place *url.URL) (*goupnp.RootDevice, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: status %d", ErrNone, res.StatusCode)
	}
	return parseDescription(res.Body, place)
}

// parseDescription reads a device description that was at a place. Addresses in it begin
// there, whatever base it names.
func parseDescription(r io.Reader, place *url.URL) (*goupnp.RootDevice, error) {
	root := &goupnp.RootDevice{}
	d := xml.NewDecoder(r)
	d.DefaultSpace = goupnp.DeviceXMLNamespace
	if err := d.Decode(root); err != nil {
		return nil, fmt.Errorf("%w: its description cannot be read", ErrNone)
	}
	root.SetURLBase(place)
	return root, nil
}

// homeAddress is the address of a machine of this house.
func homeAddress(ctx context.Context, host string) (netip.Addr, error) {
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w: %w", ErrAway, err)
	}
	for _, a := range list {
		if a = a.Unmap(); a.IsLoopback() || a.IsPrivate() || a.Is4() && a.IsLinkLocalUnicast() {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w: %s is not in a network of a house", ErrNone, printable(host))
}

// pinned is a client that reaches one machine only, follows it nowhere else and reads no
// more than maxAnswer of an answer.
func pinned(addr netip.Addr) *http.Client {
	dialer := &net.Dialer{Timeout: patience}
	return &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: bounded{&http.Transport{
			MaxResponseHeaderBytes: maxHeader,
			DisableKeepAlives:      true, // a renderer may be off the next time
			DialContext: func(ctx context.Context, network, at string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(at)
				if err != nil {
					return nil, err
				}
				return dialer.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
			},
		}},
	}
}

// bounded cuts answers off behind maxAnswer.
type bounded struct{ way http.RoundTripper }

// RoundTrip makes a request.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.way.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	return res, nil
}

// printable is what may be shown of a stranger's word.
func printable(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.TrimSpace(s) {
		if n == maxName {
			break
		}
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
			n++
		}
	}
	return b.String()
}

// Film is what a renderer is told to show.
type Film struct {
	URL    string // where it fetches it
	Title  string
	Type   string        // media type
	Bytes  int64         // length
	Length time.Duration // zero: not known
}

// metadata describes a film as renderers want it. Source: UPnP ContentDirectory:1, DIDL-Lite.
func (f *Film) metadata() string {
	esc := func(s string) string {
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(s)) // never fails
		return b.String()
	}
	long := ""
	if f.Length > 0 {
		s := int64(f.Length / time.Second)
		long = fmt.Sprintf(` duration="%d:%02d:%02d"`, s/3600, s/60%60, s%60)
	}
	return `<DIDL-Lite xmlns="urn:schemas-upnp-org:metadata-1-0/DIDL-Lite/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:upnp="urn:schemas-upnp-org:metadata-1-0/upnp/">` +
		`<item id="0" parentID="-1" restricted="1"><dc:title>` + esc(f.Title) + `</dc:title><upnp:class>object.item.videoItem.movie</upnp:class>` +
		fmt.Sprintf(`<res protocolInfo="http-get:*:%s:DLNA.ORG_OP=01" size="%d"%s>`, esc(f.Type), f.Bytes, long) + esc(f.URL) + `</res></item></DIDL-Lite>`
}

// Show has the renderer show a film instead of what it shows now.
func (r *Renderer) Show(ctx context.Context, f Film) error {
	_ = r.Stop(ctx) // one that shows nothing may refuse that
	if err := r.transport.SetAVTransportURICtx(ctx, 0, f.URL, f.metadata()); err != nil {
		return failed(err)
	}
	return failed(r.transport.PlayCtx(ctx, 0, "1"))
}

// Stop ends what is shown.
func (r *Renderer) Stop(ctx context.Context) error { return failed(r.transport.StopCtx(ctx, 0)) }

// State is what a renderer does.
type State int

// The states that matter here.
const (
	Busy    State = iota // it is getting ready, or shows something
	Stopped              // it shows nothing, or came to the end
)

// State asks what the renderer does.
func (r *Renderer) State(ctx context.Context) (State, error) {
	state, _, _, err := r.transport.GetTransportInfoCtx(ctx, 0)
	if err != nil {
		return Stopped, failed(err)
	}
	switch state {
	case "STOPPED", "NO_MEDIA_PRESENT":
		return Stopped, nil
	}
	return Busy, nil
}

// failed says what became of a request: a renderer that answers with a fault refuses.
func failed(err error) error {
	if err == nil {
		return nil
	}
	if fault, ok := errors.AsType[*soap.SOAPFaultError](err); ok {
		e := fault.Detail.UPnPError
		return fmt.Errorf("%w: %d %s", ErrRefused, e.Errorcode, printable(e.ErrorDescription))
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}
