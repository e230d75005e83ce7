package upnptest

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Renderer is a media renderer on this machine.
type Renderer struct {
	Name, ID string
	Control  string // path or address that the description says
	Base     string // URLBase of the description
	Refuse   int    // UPnP error that Play answers with
	Head     string // header field beside the description
	Mute     bool   // told to play, it does nothing

	server *httptest.Server
	show   func(ctx context.Context, film string)

	mu      sync.Mutex
	film    string             // guarded by mu: the address that it was told
	about   string             // guarded by mu: the metadata of it
	playing context.CancelFunc // guarded by mu
	showing sync.WaitGroup
}

// New starts a renderer that shows a film in its own way, to its end or until ctx ends.
func New(t *testing.T, show func(ctx context.Context, film string)) *Renderer {
	t.Helper()
	r := &Renderer{Name: "Television", ID: "uuid:00112233-4455-6677-8899-aabbccddeeff", Control: "/control", show: show}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /device.xml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Head", r.Head)
		_, _ = io.WriteString(w, r.Description())
	})
	mux.HandleFunc("POST /control", r.control)
	r.server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

// Close switches it off.
func (r *Renderer) Close() {
	r.stop()
	r.server.Close()
	r.showing.Wait()
}

// Vanish switches it off while it shows something, whose end is not waited for.
func (r *Renderer) Vanish() {
	r.server.CloseClientConnections()
	_ = r.server.Listener.Close()
}

// URL is the address of its description.
func (r *Renderer) URL() string { return r.server.URL + "/device.xml" }

// Told is the address that it was told last, and the metadata.
func (r *Renderer) Told() (film, about string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.film, r.about
}

// Description is what it says of itself.
func (r *Renderer) Description() string {
	base := ""
	if r.Base != "" {
		base = "<URLBase>" + r.Base + "</URLBase>"
	}
	return `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>` + base +
		`<device><deviceType>urn:schemas-upnp-org:device:MediaRenderer:1</deviceType><friendlyName>` + r.Name + `</friendlyName><UDN>` + r.ID + `</UDN><serviceList>` +
		`<service><serviceType>urn:schemas-upnp-org:service:ConnectionManager:1</serviceType><controlURL>/other</controlURL></service>` +
		`<service><serviceType>urn:schemas-upnp-org:service:AVTransport:1</serviceType><controlURL>` + r.Control + `</controlURL></service></serviceList></device></root>`
}

// control takes an action of AVTransport:1.
func (r *Renderer) control(w http.ResponseWriter, q *http.Request) {
	_, action, _ := strings.Cut(strings.Trim(q.Header.Get("SOAPACTION"), `"`), "#")
	out := ""
	switch action {
	case "SetAVTransportURI":
		var in struct {
			Film  string `xml:"Body>SetAVTransportURI>CurrentURI"`
			About string `xml:"Body>SetAVTransportURI>CurrentURIMetaData"`
		}
		if err := xml.NewDecoder(q.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		r.film, r.about = in.Film, in.About
		r.mu.Unlock()
	case "Play":
		if r.Refuse != 0 {
			fault(w, r.Refuse)
			return
		}
		r.play()
	case "Stop":
		r.stop()
	case "GetTransportInfo":
		r.mu.Lock()
		state := map[bool]string{true: "PLAYING", false: "STOPPED"}[r.playing != nil]
		r.mu.Unlock()
		out = "<CurrentTransportState>" + state + "</CurrentTransportState><CurrentTransportStatus>OK</CurrentTransportStatus><CurrentSpeed>1</CurrentSpeed>"
	default:
		fault(w, 401)
		return
	}
	fmt.Fprintf(w, envelope, "<u:"+action+`Response xmlns:u="urn:schemas-upnp-org:service:AVTransport:1">`+out+"</u:"+action+"Response>")
}

// envelope is around an answer.
const envelope = `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>%s</s:Body></s:Envelope>`

// fault answers with a UPnP error.
func fault(w http.ResponseWriter, code int) {
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, envelope, fmt.Sprintf(`<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>%d</errorCode><errorDescription>Not here</errorDescription></UPnPError></detail></s:Fault>`, code))
}

func (r *Renderer) play() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.playing != nil || r.Mute {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	r.playing = stop
	film := r.film
	r.showing.Go(func() {
		defer r.stop()
		r.show(ctx, film)
	})
}

func (r *Renderer) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.playing != nil {
		r.playing()
		r.playing = nil
	}
}

// Answers has it answer questions of SSDP, and returns where.
func (r *Renderer) Answers(t *testing.T, with func(location string) string) string {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if with == nil {
		with = Answer
	}
	r.showing.Go(func() {
		packet := make([]byte, 2048)
		for {
			n, by, err := conn.ReadFromUDP(packet)
			if err != nil {
				return
			}
			if strings.HasPrefix(string(packet[:n]), "M-SEARCH * HTTP/1.1\r\n") && strings.Contains(string(packet[:n]), "\r\nMAN: \"ssdp:discover\"\r\n") {
				_, _ = conn.WriteToUDP([]byte(with(r.URL())), by)
			}
		}
	})
	return conn.LocalAddr().String()
}

// Answer is the answer of a renderer whose description is there.
func Answer(location string) string {
	return "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: " + location + "\r\nSERVER: test UPnP/1.1\r\n" +
		"ST: urn:schemas-upnp-org:service:AVTransport:1\r\nUSN: uuid:00112233-4455-6677-8899-aabbccddeeff::urn:schemas-upnp-org:service:AVTransport:1\r\n\r\n"
}
