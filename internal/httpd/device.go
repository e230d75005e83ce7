package httpd

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

func (s *server) pairOpen(w http.ResponseWriter, r *http.Request) {
	var in home.PairingOffer
	if !readJSON(w, r, maxPairBody, &in) {
		return
	}
	if by, now := network(r), s.Home.Now(); !fromHere(r) { // who sits at this machine needs no bound
		if d := s.pairings.wait(by, now); d > 0 {
			retryAfter(w, d)
			writeProblem(w, Problem{Status: http.StatusTooManyRequests, Code: "too_many", Detail: "Too many devices of this address have asked. Try again in a few minutes.", RetryMS: d.Milliseconds()})
			return
		}
		s.pairings.tried(by, now)
	}
	out, err := s.Home.OpenPairing(r.Context(), in)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, out)
}

func (s *server) pairReveal(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Nonce []byte `json:"nonce"`
	}
	if !readJSON(w, r, maxPairBody, &in) {
		return
	}
	if err := s.Home.RevealPairing(r.Context(), r.PathValue("id"), in.Nonce); err != nil {
		s.answer(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) pairAnswer(w http.ResponseWriter, r *http.Request) {
	p, err := s.Home.PairingOf(r.PathValue("id"))
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, home.PairingAnswer{State: p.State, Admission: p.Admission})
}

// mediaTypes of the files that packed content has. Source: their registrations
// at IANA; .m4s as players expect it.
var mediaTypes = map[string]string{
	".json": "application/json", ".mpd": "application/dash+xml", ".m3u8": "application/vnd.apple.mpegurl",
	".mp4": "video/mp4", ".m4s": "video/mp4", ".m4v": "video/mp4", ".m4a": "audio/mp4",
	".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".vtt": "text/vtt",
}

// file serves a file that the title's content.json lists, with ranges. It is
// protected content: whoever has it needs a license to use it. It is for the household
// all the same, since content.json has the title's name.
func (s *server) file(w http.ResponseWriter, r *http.Request) {
	t, err := s.title(r)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	name := r.PathValue("file")
	f, err := t.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = home.ErrUnknown
	}
	if err != nil {
		s.answer(w, r, err)
		return
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		s.answer(w, r, err)
		return
	}
	kind, ok := mediaTypes[path.Ext(name)]
	if !ok {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "private, max-age=3600")
	if d, ok := t.File(name); ok {
		w.Header().Set("ETag", `"`+d.SHA256.String()+`"`)
	}
	// A large file takes longer than one answer may; each range may.
	_ = http.NewResponseController(w).SetWriteDeadline(s.Home.Now().Add(time.Hour)) // recorders in tests have none
	http.ServeContent(w, r, name, info.ModTime(), f)
}

// kept serves a statement of the authority, from memory when it is away.
func (s *server) kept(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := s.Relay.Kept(r.Context(), path)
		s.relayed(w, r, c, err)
	}
}

func (s *server) snapshot(w http.ResponseWriter, r *http.Request) {
	c, err := s.Relay.Snapshot(r.Context(), r.URL.Query().Get("epoch"))
	s.relayed(w, r, c, err)
}

func (s *server) delta(w http.ResponseWriter, r *http.Request) {
	c, err := s.Relay.Delta(r.Context(), r.PathValue("from"), r.PathValue("to"))
	s.relayed(w, r, c, err)
}

func (s *server) time(w http.ResponseWriter, r *http.Request) {
	c, err := s.Relay.Time(r.Context(), r.URL.Query().Get("nonce"))
	s.relayed(w, r, c, err)
}

// relayedTime passes the time on that the house's own module knows.
func (s *server) relayedTime(w http.ResponseWriter, r *http.Request) {
	nonce, err := hex.DecodeString(r.URL.Query().Get("nonce"))
	if err != nil {
		problem(w, http.StatusBadRequest, "malformed", "The nonce is not hexadecimal.")
		return
	}
	got, err := s.Home.RelayedTime(r.Context(), nonce)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, got)
}

// place answers a device that asks for a place of a license, which the module judges.
func (s *server) place(w http.ResponseWriter, r *http.Request) {
	var in trem.PlaceAsk
	if !readJSON(w, r, maxPairBody, &in) {
		return
	}
	got, err := s.Home.KeepPlace(r.Context(), in)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, got)
}

func (s *server) relayed(w http.ResponseWriter, r *http.Request, c home.Copy, err error) {
	if err != nil {
		s.answer(w, r, err)
		return
	}
	w.Header().Set("Content-Type", c.Type)
	_, _ = w.Write(c.Body) // the device is gone
}
