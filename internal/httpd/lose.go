package httpd

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// The page "Try to lose a film" and its files. Source: local, docs/play/README.md.
const (
	playPage = "/lose"
	playWasm = "play.wasm"    // cmd/lares-play
	playExec = "wasm_exec.js" // of the Go that built it
)

// playRoutes serves the page when its files are there.
func (s *server) playRoutes(m *http.ServeMux) error {
	if s.Play == nil {
		return nil
	}
	wasm, err := fs.ReadFile(s.Play, playWasm)
	if err != nil {
		return fmt.Errorf("read the page's program: %w", err)
	}
	exec, err := fs.ReadFile(s.Play, playExec)
	if err != nil {
		return fmt.Errorf("read the page's program: %w", err)
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write(wasm) // to memory
	if err := zip.Close(); err != nil {
		return fmt.Errorf("pack the page's program: %w", err)
	}
	m.HandleFunc("GET "+playPage, s.pageLose)
	m.HandleFunc("GET "+playPage+"/"+playExec, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, playExec, time.Time{}, bytes.NewReader(exec))
	})
	m.HandleFunc("GET "+playPage+"/"+playWasm, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/wasm")
		w.Header().Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes()) // the browser is gone
			return
		}
		_, _ = w.Write(wasm) // the browser is gone
	})
	return nil
}

// pageLose may run WebAssembly, which no other page may.
func (s *server) pageLose(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), "script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", 1))
	s.render(w, r, http.StatusOK, "lose", say("lose.title"), nil)
}
