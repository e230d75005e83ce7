package httpd

import (
	"io"
	"net/http"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// maxLogSegment is the largest segment of a log that is taken, in bytes. Source:
// local, docs/spec/home-api.md.
const maxLogSegment = 8 << 20

// The logs of modules are sealed: who fetches one learns how long it is.

// linkOf is the link that a request came on; zero: none.
func linkOf(r *http.Request) lrp.LinkID {
	link, err := lrp.ParseLinkID(r.Header.Get(lrphttp.LinkHeader))
	if err != nil {
		return lrp.LinkID{} // on which nobody is proven
	}
	return link
}

// members serves a request that only a device of the house may make, whichever.
func (s *server) members(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.Home.ProvenMember(r.Context(), linkOf(r)); err != nil {
			s.answer(w, r, err)
			return
		}
		next(w, r)
	}
}

func (s *server) loggedDevices(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"devices": append([]ident.Device{}, s.Home.LoggedDevices()...)})
}

// logOwner reads whose log a request is about.
func (s *server) logOwner(w http.ResponseWriter, r *http.Request) (id ident.Device, ok bool) {
	if err := id.UnmarshalText([]byte(r.PathValue("device"))); err != nil {
		s.answer(w, r, home.ErrUnknown)
		return id, false
	}
	return id, true
}

func (s *server) logsOf(w http.ResponseWriter, r *http.Request) {
	id, ok := s.logOwner(w, r)
	if !ok {
		return
	}
	out, err := s.Home.LogsOf(r.Context(), id)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	out.Copies = append([]home.LogCopy{}, out.Copies...)
	writeJSON(w, http.StatusOK, out)
}

func (s *server) logSegment(w http.ResponseWriter, r *http.Request) {
	id, ok := s.logOwner(w, r)
	if !ok {
		return
	}
	var sum content.Digest
	err := sum.UnmarshalText([]byte(r.PathValue("segment")))
	if err != nil {
		err = home.ErrUnknown
	}
	var data []byte
	if err == nil {
		data, err = s.Home.LogSegment(id, sum)
	}
	if err != nil {
		s.answer(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(data) // the device is gone
}

func (s *server) offerLog(w http.ResponseWriter, r *http.Request) {
	id, ok := s.logOwner(w, r)
	if !ok {
		return
	}
	var in home.LogCopy
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	out, err := s.Home.OfferLog(r.Context(), id, in)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *server) putLogSegment(w http.ResponseWriter, r *http.Request) {
	id, ok := s.logOwner(w, r)
	if !ok {
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLogSegment))
	if err != nil {
		problem(w, http.StatusRequestEntityTooLarge, "too_large", "A segment of a log has at most 8 MiB.")
		return
	}
	if err := s.Home.PutLogSegment(id, data); err != nil {
		s.answer(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
