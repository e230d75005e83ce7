package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lares-drm/lares/content"
)

// filmView is picture and sound of a play as one file, which is read at any place.
type filmView struct {
	head  []byte
	parts []filmPart
	ends  []int64 // where each part ends in the file
}

// filmPart is a segment of a track.
type filmPart struct {
	view *clearView
	n    int
}

// newFilmView joins the tracks of a play, in the order of their times.
func newFilmView(views []*clearView) (*filmView, error) {
	f := &filmView{}
	var inits [][]byte
	for _, v := range views {
		inits = append(inits, v.head[:v.init])
		for n := range v.files.Segments {
			f.parts = append(f.parts, filmPart{v, n})
		}
	}
	slices.SortStableFunc(f.parts, func(a, b filmPart) int {
		return int(a.view.files.Segments[a.n].StartMS - b.view.files.Segments[b.n].StartMS)
	})
	var head bytes.Buffer
	j, err := content.NewJoined(&head, inits)
	if err != nil {
		return nil, err
	}
	f.head = head.Bytes()
	at := int64(len(f.head))
	first := map[filmPart]uint32{}
	for i, p := range f.parts {
		at += p.view.files.Segments[p.n].Bytes
		f.ends, first[p] = append(f.ends, at), uint32(i)*maxFragments+1 // a manifest has fewer segments
	}
	for i, v := range views {
		v.finish = func(n int, data []byte) error { return j.InPlace(i, data, first[filmPart{v, n}]) }
	}
	return f, nil
}

// maxFragments is how many fragments of a segment have numbers of their own. Source: local.
const maxFragments = 64

// Size is the length of the file, in bytes.
func (f *filmView) Size() int64 { return f.ends[len(f.ends)-1] }

// ReadAt reads the film.
func (f *filmView) ReadAt(p []byte, off int64) (int, error) {
	return readSegments(p, off, f.head, f.ends, func(i int) ([]byte, error) { return f.parts[i].view.segment(f.parts[i].n) })
}

// renderServer serves one film to one machine of the network: to its address alone, under
// a name that nobody can guess, until the play ends.
type renderServer struct {
	film     *filmView
	renderer netip.Addr
	since    time.Time
	asked    atomic.Bool // it has fetched something

	ln         net.Listener
	host, path string
}

// listen opens a port at the address by which the renderer reaches this machine.
func (p *renderServer) listen(ctx context.Context) (string, error) {
	way, err := (&net.Dialer{}).DialContext(ctx, "udp", netip.AddrPortFrom(p.renderer, 9).String()) // it sends nothing
	if err != nil {
		return "", fmt.Errorf("reach the renderer: %w", err)
	}
	here, _, err := net.SplitHostPort(way.LocalAddr().String())
	if _ = way.Close(); err != nil {
		return "", fmt.Errorf("reach the renderer: %w", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(here, "0"))
	if err != nil {
		return "", fmt.Errorf("serve the renderer: %w", err)
	}
	var secret [16]byte
	rand.Read(secret[:])
	p.ln, p.host, p.path = onlyFrom{ln, p.renderer}, ln.Addr().String(), "/"+hex.EncodeToString(secret[:])+".mp4"
	return "http://" + p.host + p.path, nil
}

// run serves until the function that it returns is called.
func (p *renderServer) run() (end func()) {
	srv := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(p.ln) // it ends with Close
	}()
	return func() {
		_ = srv.Close() // the play is over
		<-done
	}
}

// onlyFrom is a listener that one machine can speak to. Others are hung up on.
type onlyFrom struct {
	net.Listener
	addr netip.Addr
}

// Accept waits for that machine.
func (l onlyFrom) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if peer, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil && peer.Addr().Unmap() == l.addr {
			return c, nil
		}
		_ = c.Close() // it is nobody's business
	}
}

// ServeHTTP gives the film to who knows its name, by the address that the renderer was told.
func (p *renderServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	named := subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(p.path)) == 1
	if !named || r.Host != p.host || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodGet { // who only looks whether it is there shows nothing
		p.asked.Store(true)
	}
	h := w.Header()
	h.Set("Content-Type", "video/mp4")
	h.Set("Cache-Control", "no-store")
	h.Set("transferMode.dlna.org", "Streaming")
	h.Set("contentFeatures.dlna.org", "DLNA.ORG_OP=01") // it can be sought by bytes
	http.ServeContent(w, r, "", p.since, io.NewSectionReader(p.film, 0, p.film.Size()))
}
