package httpd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lares-drm/lares/interconnect/adapt/clearkey"
	"github.com/lares-drm/lares/service/home"
)

// manifest serves the DASH manifest of a session.
func (s *server) manifest(w http.ResponseWriter, r *http.Request) {
	p, err := s.Home.Playing(r.PathValue("session"))
	if err != nil {
		s.answer(w, r, err)
		return
	}
	body, err := p.Manifest()
	if err != nil {
		s.answer(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/dash+xml")
	_, _ = w.Write(body)
}

// segment serves "init" or a media segment, numbered from 0, link-encrypted. A media
// segment leaves part by part: where the license ends in the middle of it, or a file
// does, the connection ends too, and who asks again is told why.
func (s *server) segment(w http.ResponseWriter, r *http.Request) {
	session, track, name := r.PathValue("session"), r.PathValue("track"), r.PathValue("segment")
	if name == "init" {
		body, err := s.Home.Initialization(session, track)
		if err != nil {
			s.answer(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "video/mp4")
		_, _ = w.Write(body)
		return
	}
	n, err := strconv.Atoi(name)
	if err != nil || strconv.Itoa(n) != name {
		s.answer(w, r, home.ErrUnknown)
		return
	}
	seg, err := s.Home.OpenSegment(r.Context(), session, track, n)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	defer seg.Close()
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Content-Length", strconv.FormatInt(seg.Bytes, 10))
	if err := seg.Write(r.Context(), w); err != nil {
		panic(http.ErrAbortHandler) //nolint:forbidigo // net/http has no other way to say that a body is not whole
	}
}

// license answers a Clear Key license request with keys of the session.
func (s *server) license(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, clearkey.MaxRequest))
	if err != nil {
		problem(w, http.StatusRequestEntityTooLarge, "too_large", "The key request is too large.")
		return
	}
	out, err := s.keys(r.PathValue("session"), body)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out)
}

func (s *server) keys(session string, body []byte) ([]byte, error) {
	req, err := clearkey.ParseRequest(body)
	if err != nil {
		return nil, err
	}
	link, err := s.Home.Keys(session)
	if err != nil {
		return nil, err
	}
	keys := make([]clearkey.SessionKey, 0, len(link))
	for _, k := range link {
		key, err := clearkey.NewSessionKey(k.KID, k.Key)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return clearkey.Answer(req, keys)
}

// heartbeat is how often an idle event stream shows that it lives. Source: local.
const heartbeat = 15 * time.Second

// message is an event as pages get it.
type message struct {
	home.Event
	Words string `json:"words,omitempty"`
}

// events streams what happens in the house (server-sent events). With
// ?session= it is the sign that this session's player is alive.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	session := r.URL.Query().Get("session")
	ctl := http.NewResponseController(w)
	if err := errors.Join(ctl.SetWriteDeadline(time.Time{}), ctl.SetReadDeadline(time.Time{})); err != nil {
		s.answer(w, r, fmt.Errorf("open an event stream: %w", err))
		return
	}
	ch, cancel, err := s.Home.Subscribe(session)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(m message) error {
		data, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", m.Kind, data); err != nil {
			return err
		}
		return ctl.Flush()
	}
	if _, err := fmt.Fprint(w, "retry: 1000\n: the house\n\n"); err != nil || ctl.Flush() != nil {
		return
	}
	if session != "" { // it may have ended before the page listened
		var stopped *home.Stopped
		if _, err := s.Home.Playing(session); errors.As(err, &stopped) {
			e := home.Event{Kind: home.EventStopped, Session: session, Reason: stopped.Reason, Stopped: stopped}
			_ = send(message{Event: e, Words: stopWords(stopped)}) // the page is gone
			return
		}
	}
	s.stream(w, r, ctl, ch, send)
}

func (s *server) stream(w io.Writer, r *http.Request, ctl *http.ResponseController, ch <-chan home.Event, send func(message) error) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case e := <-ch:
			if !s.stays(r) { // that a browser is removed, or somebody stands up, is an event
				return
			}
			m := message{Event: e}
			if e.Stopped != nil {
				m.Words = stopWords(e.Stopped)
			}
			err = send(m)
		case <-beat.C:
			if !s.stays(r) { // their time is over
				return
			}
			if _, err = fmt.Fprint(w, ":\n\n"); err == nil {
				err = ctl.Flush()
			}
		}
		if err != nil {
			return
		}
	}
}
