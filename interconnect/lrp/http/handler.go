package http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// Handler takes POSTed frames at any path it is mounted on and answers with
// what serve returns. Requests that are not a frame get an HTTP status and
// nothing else; everything that is one gets 200 and frames, ERROR frames included.
func Handler(serve func(ctx context.Context, f lrp.Frame) []lrp.Frame) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, status := read(w, r)
		if status != 0 {
			http.Error(w, http.StatusText(status), status)
			return
		}
		var out []byte
		for _, a := range serve(r.Context(), f) {
			b, err := a.Encode()
			if err != nil || len(out)+len(b) > MaxAnswer {
				http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
				return
			}
			out = append(out, b...)
		}
		h := w.Header()
		h.Set("Content-Type", TypeFrames)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		w.Write(out) //nolint:errcheck // the peer is gone: it will ask again
	})
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
