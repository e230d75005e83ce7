package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/interconnect/lrp/unix"
)

// Limits of a relay. Source: local, docs/spec/lrp.md section 16.
const (
	maxCarried = 64   // frames that wait for an answer at a time
	fullMS     = 1000 // when to ask again, of a relay that carries as many as it may
)

// carrier is a relay at work: it decides by lrp.Relay, and carries.
type carrier struct {
	now  func() time.Time
	room chan struct{}
	up   *ways
	mail *relayMail // nil: nothing is kept

	mu     sync.Mutex
	relay  lrp.Relay // guarded by mu
	counts relayCounts
}

// relayCounts are what a relay says of itself: numbers, and nobody's address.
type relayCounts struct {
	frames, answers, requests, lost, full, hops, refused, kept atomic.Uint64
}

// letters counts what the mailbox made of a frame.
func (c *relayCounts) letters(answer []lrp.Frame) {
	e, err := lrp.ParseError(errorIn(answer))
	switch {
	case err == nil && e.Code == lrp.CodeFull:
		c.full.Add(1)
	case err == nil:
		c.refused.Add(1)
	case len(answer) == 1 && answer[0].Type == lrp.TypeAck:
		c.kept.Add(1)
	}
}

// waiting is the way back of a relay with a mailbox; nil: there is none.
func (r *carrier) waiting() func(context.Context, lrp.LinkID, uint64) ([]lrp.Kept, error) {
	if r.mail == nil {
		return nil
	}
	return r.mail.wait
}

// taking is who hears what was taken from the mailbox; nil without one.
func (r *carrier) taking() func(lrp.LinkID, uint64) {
	if r.mail == nil {
		return nil
	}
	return r.mail.taken
}

func (r *carrier) close() error {
	err := r.up.close()
	if r.mail != nil {
		err = errors.Join(err, r.mail.close())
	}
	return err
}

// frames carries one frame and its answers.
func (r *carrier) frames(ctx context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
	select {
	case r.room <- struct{}{}:
		defer func() { <-r.room }()
	default:
		r.counts.full.Add(1)
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeFull, fullMS)}
	}
	if r.mail != nil {
		if answer, its := r.mail.frame(by, f); its {
			r.counts.letters(answer)
			return answer
		}
	}
	r.mu.Lock()
	step := r.relay.Handle(f, r.now())
	r.mu.Unlock()
	if step.Next == "" {
		if r.counts.refused.Add(1); step.Answer == nil { // it is for the relay itself, which serves nothing
			return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeUnsupported, 0)}
		}
		return step.Answer
	}
	out, err := r.up.pass(ctx, step.Next, by.Link, step.Frame)
	if err != nil {
		r.counts.lost.Add(1)
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeInternal, 0)}
	}
	back := lrp.Back(f, out, r.now())
	r.counts.frames.Add(1)
	r.counts.answers.Add(uint64(len(back)))
	return back
}

// metrics are the counts, as Prometheus reads them, to this machine only.
func (r *carrier) metrics(w http.ResponseWriter, q *http.Request) {
	host, _, err := net.SplitHostPort(q.RemoteAddr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		http.NotFound(w, q)
		return
	}
	c := &r.counts
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	for _, m := range []struct {
		name string
		n    *atomic.Uint64
	}{
		{"frames", &c.frames}, {"answers", &c.answers}, {"requests", &c.requests}, {"lost", &c.lost}, {"full", &c.full}, {"hop_limit", &c.hops}, {"refused", &c.refused}, {"kept", &c.kept},
	} {
		fmt.Fprintf(w, "# TYPE lares_relay_%s_total counter\nlares_relay_%s_total %d\n", m.name, m.name, m.n.Load())
	}
	if r.mail != nil {
		held := r.mail.held()
		fmt.Fprintf(w, "# TYPE lares_relay_mail_frames gauge\nlares_relay_mail_frames %d\n# TYPE lares_relay_mail_bytes gauge\nlares_relay_mail_bytes %d\n", held.Frames, held.Bytes)
	}
}

func quietLog() *stdlog.Logger { return stdlog.New(io.Discard, "", 0) }

// unixWay begins a way by a socket of this machine.
const unixWay = "unix:"

// ways are the relay's neighbors. By HTTP a link's name goes with each request; a
// socket's connection is a link, so each link has one of its own there.
type ways struct {
	web   *http.Client
	mu    sync.Mutex
	links map[lrp.LinkID]*unix.Client // guarded by mu
	order []lrp.LinkID                // guarded by mu; oldest first
}

// newWays returns the ways of a relay; tr is nil for http.DefaultTransport.
func newWays(tr http.RoundTripper) *ways {
	web := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &ways{web: web, links: map[lrp.LinkID]*unix.Client{}}
}

func (w *ways) pass(ctx context.Context, to lrp.Next, link lrp.LinkID, f lrp.Frame) ([]lrp.Frame, error) {
	path, socket := strings.CutPrefix(string(to), unixWay)
	if !socket {
		return (&lrphttp.Client{URL: string(to), HTTP: w.web}).Pass(ctx, link, f)
	}
	w.mu.Lock()
	c := w.links[link]
	w.mu.Unlock()
	if c != nil {
		return c.Exchange(ctx, f)
	}
	c = &unix.Client{Path: path}
	out, err := c.Exchange(ctx, f)
	if name, named := linkIn(out); err == nil && named {
		w.keep(name, c)
		return out, nil
	}
	_ = c.Close() // a frame without a link needs no connection that stays
	return out, err
}

// linkIn is the link that the answer to a HELLO names.
func linkIn(answers []lrp.Frame) (lrp.LinkID, bool) {
	for _, a := range answers {
		if h, err := lrp.ParseHello(a.Body); a.Type == lrp.TypeHello && err == nil && h.Link != nil {
			return lrp.LinkID(h.Link), true
		}
	}
	return lrp.LinkID{}, false
}

// maxSockets is how many links by a socket are open; the oldest ends for a new one,
// and its device proves itself again. It is below what the other side takes.
const maxSockets = unix.MaxConns / 2

func (w *ways) keep(link lrp.LinkID, c *unix.Client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.links[link] = c; len(w.order) >= maxSockets {
		old := w.order[0]
		_ = w.links[old].Close()
		delete(w.links, old)
		w.order = w.order[1:]
	}
	w.order = append(w.order, link)
}

func (w *ways) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.links {
		_ = c.Close() // nothing is left to be said
	}
	return nil
}
