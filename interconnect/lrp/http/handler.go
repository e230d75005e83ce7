package http

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// The way back. Source: local, docs/spec/lrp.md section 6.
const (
	// LinkHeader names the link of a request.
	LinkHeader = "Lares-Link"
	// TypeKept is the media type of a CBOR sequence of frames from a mailbox.
	TypeKept = "application/lares-lrp-kept+cbor-seq"
	// typeEvents is that of server-sent events (HTML standard).
	typeEvents = "text/event-stream"
	// PollWait is how long a poll waits for a first frame.
	PollWait = 25 * time.Second
	// Beat is the longest silence of a stream of events.
	Beat = 15 * time.Second
)

// Server is the accepting side of the binding.
type Server struct {
	Frames lrp.Handler // required
	// Wait returns frames that wait for who has proven itself on the link, with
	// numbers above after. It waits for a first one until ctx ends and then returns
	// none. An error is a link that nobody is proven on. Nil: nothing is pushed.
	Wait func(ctx context.Context, link lrp.LinkID, after uint64) ([]lrp.Kept, error)
	// Taken is told up to which number the peer on a link says that it has taken what
	// waited; nil: nobody is. What was only written to it does not count.
	Taken func(link lrp.LinkID, upTo uint64)
	// From is the network address that a request came from, for who counts by it; nil:
	// nobody does.
	From func(*http.Request) netip.Addr
}

// Handler serves frames of peers that need no proof: see Server.
func Handler(serve func(ctx context.Context, f lrp.Frame) []lrp.Frame) http.Handler {
	return &Server{Frames: func(ctx context.Context, _ lrp.Arrival, f lrp.Frame) []lrp.Frame { return serve(ctx, f) }}
}

// ServeHTTP takes POSTed frames at any path it is mounted on and answers with
// frames, ERROR frames included; GET is the way back. Requests that are not a frame
// get an HTTP status and nothing else.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodGet && s.Wait != nil {
		s.back(w, r)
		return
	}
	f, status := read(w, r)
	if status != 0 {
		http.Error(w, http.StatusText(status), status)
		return
	}
	by := lrp.Arrival{}
	by.Link, _ = lrp.ParseLinkID(r.Header.Get(LinkHeader)) // one that is none proves nothing
	if s.From != nil {
		by.From = s.From(r)
	}
	var out []byte
	for _, a := range s.Frames(r.Context(), by, f) {
		advise(h, a)
		b, err := a.Encode()
		if err != nil || len(out)+len(b) > MaxAnswer {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		out = append(out, b...)
	}
	h.Set("Content-Type", TypeFrames)
	w.Write(out) //nolint:errcheck // the peer is gone: it will ask again
}

// advise says in the header, too, after which time an ERROR is worth another try: for
// what stands between the couriers and reads no frames (RFC 9110, 10.2.3).
func advise(h http.Header, a lrp.Frame) {
	if a.Type != lrp.TypeError {
		return
	}
	if e, err := lrp.ParseError(a.Body); err == nil && e.RetryMS > 0 {
		h.Set("Retry-After", strconv.FormatUint((uint64(e.RetryMS)+999)/1000, 10))
	}
}

// back sends what waits: as events for as long as the peer listens, or once.
func (s *Server) back(w http.ResponseWriter, r *http.Request) {
	link, err := lrp.ParseLinkID(r.Header.Get(LinkHeader))
	after, nerr := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		after, nerr = strconv.ParseUint(last, 10, 64)
	}
	if err != nil { // nobody is proven on no link
		http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
		return
	}
	if nerr != nil {
		http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
		return
	}
	if s.Taken != nil {
		s.Taken(link, after)
	}
	http.NewResponseController(w).SetWriteDeadline(time.Time{}) //nolint:errcheck // not every writer has deadlines
	if strings.Contains(r.Header.Get("Accept"), typeEvents) {
		s.stream(w, r, link, after)
		return
	}
	patience := PollWait
	if r.URL.Query().Get("wait") == "0" {
		patience = 0
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	kept, err := s.Wait(ctx, link, after)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
		return
	}
	var out []byte
	for i, k := range kept {
		b, err := k.Encode()
		if err != nil || i == lrp.MaxFrames {
			break // the next poll has the rest
		}
		out = append(out, b...)
	}
	w.Header().Set("Content-Type", TypeKept)
	w.Write(out) //nolint:errcheck // the peer is gone: it will ask again
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request, link lrp.LinkID, after uint64) {
	begun := false
	for {
		ctx, cancel := context.WithTimeout(r.Context(), Beat)
		kept, err := s.Wait(ctx, link, after)
		cancel()
		if err != nil && !begun {
			http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
		}
		if err != nil || r.Context().Err() != nil {
			return
		}
		if !begun {
			w.Header().Set("Content-Type", typeEvents)
			w.WriteHeader(http.StatusOK)
			begun = true
		}
		if len(kept) == 0 {
			_, err = io.WriteString(w, ":\n\n") // a sign of life
		}
		for _, k := range kept {
			var b []byte
			if b, err = k.Encode(); err != nil {
				return
			}
			if _, err = fmt.Fprintf(w, "id: %d\ndata: %s\n\n", k.Number, base64.StdEncoding.EncodeToString(b)); err != nil {
				return
			}
			after = k.Number
		}
		if err = errors.Join(err, http.NewResponseController(w).Flush()); err != nil {
			return
		}
	}
}

func read(w http.ResponseWriter, r *http.Request) (f lrp.Frame, status int) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return f, http.StatusMethodNotAllowed
	}
	// A media type that no HTML form can send also keeps foreign pages out.
	if !isType(r.Header.Get("Content-Type"), TypeFrame) {
		return f, http.StatusUnsupportedMediaType
	}
	deadline := time.Now().Add(Timeout)                     //nolint:forbidigo // a socket deadline, not a decision
	http.NewResponseController(w).SetReadDeadline(deadline) //nolint:errcheck // not every writer has deadlines; the server's own then hold
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, lrp.MaxFrame))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return f, http.StatusRequestEntityTooLarge
	case err != nil:
		return f, http.StatusBadRequest
	}
	if f, err = lrp.Parse(data); err != nil {
		return f, http.StatusBadRequest
	}
	return f, 0
}
