package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
)

// recorder is a relay between the house and its shop that keeps everything it
// carries, as a curious network would.
type recorder struct {
	url string
	srv *http.Server

	mu     sync.Mutex
	bodies [][]byte // guarded by mu
}

func newRecorder(ctx context.Context, target string) (*recorder, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{url: "http://" + listener.Addr().String()}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Body = r.tap(p.In.Body)
		},
		ModifyResponse: func(res *http.Response) error {
			res.Body = r.tap(res.Body)
			return nil
		},
	}
	r.serve(listener, proxy)
	return r, nil
}

func (r *recorder) serve(listener net.Listener, h http.Handler) {
	r.srv = &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = r.srv.Serve(listener) }() // ends with close
}

// newTrap is a relay that passes everything on, introductions too, but the first
// other frame that comes: that one springs it and is lost.
func newTrap(ctx context.Context, target string, spring func()) (*recorder, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{url: "http://" + listener.Addr().String()}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }}
	var once sync.Once
	r.serve(listener, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost && req.URL.Path == lrphttp.Path {
			body, err := io.ReadAll(io.LimitReader(req.Body, lrp.MaxFrame))
			if f, bad := lrp.Parse(body); err != nil || bad != nil || f.Type != lrp.TypeHello {
				once.Do(spring)
				return
			}
			req.Body = io.NopCloser(bytes.NewReader(body))
		}
		proxy.ServeHTTP(w, req)
	}))
	return r, nil
}

func (r *recorder) close() error { return r.srv.Close() }

// tap reads a body whole, keeps it, and gives it back.
func (r *recorder) tap(body io.ReadCloser) io.ReadCloser {
	if body == nil {
		return nil
	}
	data, _ := io.ReadAll(body)
	_ = body.Close()
	r.mu.Lock()
	r.bodies = append(r.bodies, data)
	r.mu.Unlock()
	return io.NopCloser(bytes.NewReader(data))
}

// carried is how many bytes came by, and whether any of them are these.
func (r *recorder) carried(secret []byte) (total int, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bodies {
		total += len(b)
		found = found || len(secret) > 0 && bytes.Contains(b, secret)
	}
	return total, found
}
