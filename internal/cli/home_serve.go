package cli

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// firstLearn bounds the visit to the authority before the house serves.
const firstLearn = 5 * time.Second

// homeServer is a house that is being served: the pages of its first run until it is
// founded, and from then on the house itself, at the same address.
type homeServer struct {
	homeFlags
	env      *Env
	log      *slog.Logger
	module   *trem.Client
	listener net.Listener
	secret   *home.TLS
	handler  atomic.Pointer[http.Handler]
	open     chan *home.Home // the house, once it is founded
}

func (s *homeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*s.handler.Load()).ServeHTTP(w, r)
}

func serveHome(ctx context.Context, env *Env, f homeFlags) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, m := range f.mirrors {
		if u, err := url.Parse(m); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(m) > maxMirror {
			return usage("--mirror %q is no address of a server, such as http://nas.local/films", m)
		}
	}
	if f.relay != "" {
		if _, err := parseMailRelay(f.relay); err != nil {
			return err
		}
	}
	s := &homeServer{homeFlags: f, env: env, log: slog.New(slog.NewTextHandler(env.Stderr, nil)), open: make(chan *home.Home, 1)}
	if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", f.listen); err != nil {
		return fmt.Errorf("serve the house: %w", err)
	}
	defer s.listener.Close() //nolint:errcheck // the server has closed it before
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	var stop func() error
	if s.module, stop, err = startTREM(filepath.Join(f.dir, "trem")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	code, err := s.begin(ctx)
	if err != nil {
		return err
	}
	address := "http://" + reachable(s.listener.Addr())
	if err := writeURL(f.dir, address); err != nil {
		return err
	}
	defer os.Remove(filepath.Join(f.dir, urlFile)) //nolint:errcheck // a stale address is only a wrong hint
	return s.serve(ctx, cancel, func() {
		fmt.Fprintln(env.Stdout, address)
		if code != "" {
			fmt.Fprintf(env.Stdout, "Setup code %s: open the address above on this machine and begin your house.\n", code)
		}
	})
}

// begin opens the house, or the pages of its first run, of which it returns the code.
func (s *homeServer) begin(ctx context.Context) (code string, err error) {
	st, err := s.module.Status(ctx)
	if err != nil {
		return "", err
	}
	if s.ca == "" {
		s.ca = foundedAt(s.dir)
	}
	if s.secret, err = home.OpenTLS(s.dir, st.Device, s.env.Now); err != nil {
		return "", err
	}
	if len(st.Leaf) > 0 {
		if st.Domain == (ident.Domain{}) { // it was cut off between its certificate and its founding
			if _, err := s.module.Found(ctx); err != nil {
				return "", fmt.Errorf("found the house: %w", err)
			}
		}
		return "", s.enter(ctx)
	}
	if t, ok := s.listener.Addr().(*net.TCPAddr); ok && !t.IP.IsLoopback() && !t.IP.IsUnspecified() {
		return "", usage("a new house is begun in a browser of this machine, which reaches it by a loopback address only: --listen :%d", t.Port)
	}
	code = home.SetupCode()
	handler, err := httpd.NewSetup(httpd.SetupConfig{Code: code, Authority: s.ca, Found: s.found, Now: s.env.Now, Log: s.log})
	if err != nil {
		return "", err
	}
	s.handler.Store(&handler)
	return code, nil
}

// found founds the house that the pages of the first run asked for. It goes on when
// the browser has gone, because an invitation is good once, and from where it failed.
func (s *homeServer) found(ctx context.Context, ca, voucher string) error {
	ctx = context.WithoutCancel(ctx)
	st, err := s.module.Status(ctx)
	if err == nil && len(st.Leaf) == 0 {
		err = enroll(ctx, s.module, ca, pki.HomeServer, voucher)
	}
	if err != nil {
		return err
	}
	s.ca = ca
	if err := writeDurably(filepath.Join(s.dir, authorityFile), []byte(ca+"\n")); err != nil {
		return err
	}
	if _, err := s.module.Found(ctx); err != nil {
		return fmt.Errorf("found the house: %w", err)
	}
	return s.enter(ctx)
}

// authorityFile has the authority's address of a house that was founded by its pages.
const authorityFile = "authority"

func foundedAt(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, authorityFile))
	if err != nil {
		return "" // it was founded by a command, or is not yet
	}
	return strings.TrimSpace(string(data))
}

// enter opens the founded house.
func (s *homeServer) enter(ctx context.Context) error {
	h, handler, err := s.build(ctx)
	if err != nil {
		return err
	}
	if s.ca != "" { // what was revoked while the house was off is known before it serves
		first, done := context.WithTimeout(ctx, firstLearn)
		_ = h.Learn(first) // an authority that is away is in the log and on the health page
		done()
	}
	s.handler.Store(&handler)
	s.open <- h
	return nil
}

// serve serves until ctx ends; ready is called when it does.
func (s *homeServer) serve(ctx context.Context, cancel func(), ready func()) error {
	srv := httpd.NewServer(ctx, s)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case h := <-s.open:
			return s.live(gctx, h)
		case <-gctx.Done():
			return nil
		}
	})
	g.Go(func() error {
		if err := serveBoth(srv, s.listener, s.secret.Config()); err != nil {
			return fmt.Errorf("serve the house: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		cancel() // event streams end
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), stopGrace/2)
		defer done()
		return srv.Shutdown(grace)
	})
	ready()
	return g.Wait()
}

// live does what a house does by itself, until ctx ends.
func (s *homeServer) live(ctx context.Context, h *home.Home) error {
	var v *visits
	if s.relay != "" {
		var err error
		if v, err = newVisits(ctx, s, h); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.Run(gctx) })
	if s.announce {
		g.Go(func() error { announceHome(gctx, s.listener.Addr(), s.module, s.log); return nil })
	}
	if v != nil {
		g.Go(func() error { v.run(gctx); return nil })
	}
	if s.folder != "" {
		g.Go(func() error { sweepFolder(gctx, s.folder, h, s.module, s.env.Now, s.log); return nil })
	}
	if s.ca != "" {
		g.Go(func() error { keepRenewed(gctx, s.module, s.ca, s.env.Now, s.log); return nil })
	}
	return g.Wait()
}

func (s *homeServer) build(ctx context.Context) (*home.Home, http.Handler, error) {
	st, err := s.module.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(st.Leaf)
	if err != nil {
		return nil, nil, fmt.Errorf("read the house's certificate: %w", err)
	}
	long := context.WithoutCancel(ctx)
	cfg := home.Config{
		Mirrors: s.mirrors, TLS: s.secret, Prove: prover(long, s.module), Dir: s.dir, Module: s.module,
		Courier: courier(s.dir, s.module, leaf.RawSubjectPublicKeyInfo, s.env.Now), Now: s.env.Now, Log: s.log,
	}
	cfg.Frames = func(ctx context.Context, url string, f lrp.Frame) ([]lrp.Frame, error) {
		return (&lrphttp.Client{URL: url}).Exchange(ctx, f)
	}
	if s.ca != "" {
		cfg.Authority = authorityOf(s.ca)
		if cfg.Relay, err = home.NewRelay(s.dir, s.ca, nil, s.env.Now); err != nil {
			return nil, nil, err
		}
	}
	h, err := home.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	owner, err := writeOwner(s.dir)
	if err != nil {
		return nil, nil, err
	}
	handler, err := httpd.New(httpd.Config{
		Owner: owner, Home: h, Frames: &lrphttp.Server{Frames: passRenewals(h.FrameBy, s.ca, s.env.Now), Wait: h.Wait}, TLS: s.secret, Relay: cfg.Relay, Play: playFiles(), Hosts: s.hosts, Log: s.log,
		Address: s.address, Claim: s.claim, Return: func(ctx context.Context, id ident.Content) error { return s.giveBack(ctx, h, id) }, Examine: s.examine,
	})
	return h, handler, err
}

// buildHome opens a house that is not served, for a command that needs it alone.
func buildHome(ctx context.Context, env *Env, f homeFlags, module *trem.Client, log *slog.Logger) (*home.Home, error) {
	st, err := module.Status(ctx)
	if err != nil {
		return nil, err
	}
	if len(st.Leaf) == 0 {
		return nil, fmt.Errorf("this house is not founded yet: lares home init --dir %s", f.dir)
	}
	s := &homeServer{homeFlags: f, env: env, module: module, log: log}
	if s.secret, err = home.OpenTLS(f.dir, st.Device, env.Now); err != nil {
		return nil, err
	}
	h, _, err := s.build(ctx)
	return h, err
}

// address is where other devices of the network reach the house; "" when it is served
// on this machine only.
func (s *homeServer) address() string {
	t, ok := s.listener.Addr().(*net.TCPAddr)
	switch {
	case !ok || t.IP.IsLoopback():
		return ""
	case !t.IP.IsUnspecified():
		return "http://" + t.String()
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	six := ""
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsPrivate() {
			continue
		}
		at := "http://" + net.JoinHostPort(n.IP.String(), fmt.Sprint(t.Port))
		if n.IP.To4() != nil {
			return at
		}
		six = cmp.Or(six, at)
	}
	return six
}
