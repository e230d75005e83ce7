package httpd

import (
	"net/http"

	"github.com/lares-drm/lares/interconnect/adapt/hls"
)

// hlsRoutes serve a session to players without EME, where its license names
// them. Source: docs/spec/hls.md.
func (s *server) hlsRoutes(m *http.ServeMux) {
	files := hls.Handler(hls.Config{Sessions: s.Home, Fail: s.answer})
	serve := func(w http.ResponseWriter, r *http.Request) {
		if err := s.Home.Feeds(r.Context(), r.PathValue("session"), hls.Adapter{}.System().Name); err != nil {
			s.answer(w, r, err)
			return
		}
		files.ServeHTTP(w, r)
	}
	m.HandleFunc(hls.PlaylistPattern, serve)
	m.HandleFunc(hls.FilePattern, serve)
}
