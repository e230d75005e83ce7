package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/caller"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/internal/metrics"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/testissuer"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	// learnEvery is the pause between two visits to the authority.
	learnEvery = time.Minute
	// issuerGC lets the heap of an issuer, some MB, grow fivefold between two
	// collections, which else take a tenth of its time. Source: local, `lares bench issuer`.
	issuerGC = 400
	// pingEvery is how often the issuer looks whether its module is alive.
	pingEvery = 2 * time.Second
)

type issuerFlags struct {
	dir, listen, postgres, url, metrics, accounts, oidc string
	twoPersons, test                                    bool
	speke                                               spekeFlags
	tls                                                 tlsFlags
}

// countedEvents are the log's messages that metrics count.
func countedEvents() []string {
	return []string{
		"license issued", "license granted", "request refused", "grant renewed", "license bound anew", "claim codes given out", "claim code redeemed",
		"exchange failed", "message dropped", "license not made", "request failed", "message not served", "domain made", "device joined", "device put out",
	}
}

func newIssuerServeCmd(env *Env, dir *string) *cobra.Command {
	var f issuerFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve licenses until interrupted; the first line printed is the URL",
		Long: `Serve households (LRP over HTTP) and the operator (JSON, with the token of the
folder) on one address, by default on this machine only.

Grants and what was issued are kept in issuer.db in the folder or, with
--postgres, in a PostgreSQL database. After an error of the disk or of the
trusted module the server ends with status 1: start it again. From a database that
is older than what the module remembers it does not serve, and ends with status 5:
lares issuer db accept-setback.

SIGHUP has it read the owner's token, the packagers' credentials and the
certificate of TLS anew; no request is dropped. SIGTERM lets what was begun end.`,
		Example: `  lares issuer serve
  lares issuer serve --dir ./shop --listen 127.0.0.1:7720 --url https://shop.example
  lares issuer serve --tls-listen :443 --tls-cert fullchain.pem --tls-key key.pem --url https://shop.example
  lares issuer serve --dir ./shop --speke ./packagers               # keys for packagers
  lares issuer serve --dir ./test-issuer --test                     # for people who build players
  lares issuer serve --dir ./shop --listen :7720 --postgres ./dsn   # the file holds host=… dbname=…`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.dir = *dir
			return serveIssuer(cmd.Context(), env, f)
		},
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:7720", "address to serve on")
	cmd.Flags().StringVar(&f.url, "url", "", "where households reach this issuer: what claim codes' URLs begin with; default: the address served on")
	cmd.Flags().StringVar(&f.accounts, "accounts", "", "file (0600) with a line KIND:CREDENTIAL for each customer: households show theirs before they are answered (lares home account), and wrong ones are slowed down; default: nobody is asked")
	cmd.Flags().StringVar(&f.speke.credentials, "speke", "", "file (0600) with user:password of packagers: serve them keys by SPEKE v2; default: off")
	cmd.Flags().BoolVar(&f.speke.clear, "speke-clear", false, "give packagers keys in the clear, where TLS protects them")
	cmd.Flags().StringVar(&f.metrics, "metrics", "", "serve figures for Prometheus on this loopback address, such as 127.0.0.1:9720; default: off")
	cmd.Flags().StringVar(&f.oidc, "oidc", "", "file (0600) that says at which OpenID provider operators sign in, and which group has which role")
	cmd.Flags().BoolVar(&f.test, "test", false, "be a test issuer, with an authority and keys of its own: any policy and any failure from one URL (docs/guide/test-issuer.md)")
	cmd.Flags().BoolVar(&f.twoPersons, "two-persons", false, "the owner's token, too, revokes only together with another operator")
	cmd.Flags().StringVar(&f.postgres, "postgres", "", "file (0600) with the connection string of a PostgreSQL database; default: SQLite in the folder")
	f.tls.add(cmd)
	return cmd
}

func serveIssuer(ctx context.Context, env *Env, f issuerFlags) (err error) {
	var t *trial
	if f.test {
		if t, err = beginTrial(ctx, env, &f); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, t.stop()) }()
	}
	cfg, err := readIssuer(f.dir)
	if err != nil {
		return err
	}
	db, err := openIssuerStore(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	module, stop, err := startTREM(filepath.Join(f.dir, issuerTREM))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("serve the issuer: %w", err)
	}
	defer listener.Close() //nolint:errcheck // the server has closed it before
	debug.SetGCPercent(issuerGC)
	hup, noMore := hangups()
	defer noMore()
	s := &issuerServer{
		env: env, flags: f, cfg: cfg, db: db, module: module, listener: listener, cert: certificate{cert: f.tls.cert, key: f.tls.key}, trial: t,
	}
	if s.metrics, err = metrics.New(env.Now, countedEvents()...); err != nil {
		return err
	}
	s.log = slog.New(s.metrics.Log(slog.NewTextHandler(env.Stderr, nil)))
	url := "http://" + reachable(listener.Addr())
	s.public = cmp.Or(f.url, url)
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if s.figures, err = listenMetrics(ctx, f.metrics); err != nil {
		return err
	}
	s.learn(ctx)
	if err := writeURL(f.dir, url); err != nil {
		return err
	}
	defer os.Remove(filepath.Join(f.dir, urlFile)) //nolint:errcheck // a stale address is only a wrong hint
	fmt.Fprintln(env.Stdout, url)
	return s.run(ctx, hup)
}

func openIssuerStore(ctx context.Context, f issuerFlags) (*store.Store, error) {
	if f.postgres == "" {
		return store.OpenSQLite(ctx, filepath.Join(f.dir, issuerDatabase))
	}
	dsn, err := secretFile(f.postgres)
	if err != nil {
		return nil, fmt.Errorf("read the connection string: %w", err)
	}
	return store.OpenPostgres(ctx, dsn)
}

// issuerServer is a running issuer.
type issuerServer struct {
	env      *Env
	flags    issuerFlags
	cfg      issuerConfig
	db       *store.Store
	module   *trem.Client
	listener net.Listener
	secure   net.Listener // by TLS; nil: none
	cert     certificate
	handler  swapped
	log      *slog.Logger
	issuer   *issuer.Issuer
	desk     *operator.Desk // of watch
	metrics  *metrics.Metrics
	figures  net.Listener // for metrics; nil: none
	trial    *trial       // nil: no test issuer
	public   string       // where households reach it
}

// prepare reads what is needed to serve.
func (s *issuerServer) prepare(ctx context.Context) (err error) {
	if err := s.flags.tls.check(); err != nil {
		return err
	}
	if err := s.cert.load(); err != nil {
		return err
	}
	if s.secure, err = s.flags.tls.listener(ctx); err != nil {
		return err
	}
	if s.secure != nil {
		s.public = cmp.Or(s.flags.url, "https://"+reachable(s.secure.Addr()))
	}
	key, err := claimKey(s.flags.dir)
	if err != nil {
		return err
	}
	notice, err := noticeKey(s.flags.dir)
	if err != nil {
		return err
	}
	accepts, err := acceptedAccounts(s.flags.accounts)
	if err != nil {
		return err
	}
	s.issuer, err = issuer.New(ctx, issuer.Config{
		Accepts: accepts, Prove: prover(context.WithoutCancel(ctx), s.module), TREM: s.module, Store: issuer.Audited(s.db),
		Now: s.env.Now, Log: s.log, ClaimKey: key, NoticeKey: notice.point,
	})
	if err != nil {
		return err
	}
	if err := setBack(s.issuer.Book(ctx)); err != nil {
		return err
	}
	if s.trial != nil {
		if err := s.trial.shelve(ctx, s); err != nil {
			return err
		}
	}
	return s.readKeys()
}

// readKeys has what is served from now on use the keys as they are in the folder.
func (s *issuerServer) readKeys() error {
	desk, err := s.newDesk(s.env, s.flags.dir, s.flags.twoPersons)
	if err != nil {
		return err
	}
	h, err := s.routes(desk)
	if err != nil {
		return err
	}
	s.desk = desk
	s.handler.set(h)
	return nil
}

// routes are what is served.
func (s *issuerServer) routes(desk *operator.Desk) (http.Handler, error) {
	pages, err := httpd.NewClaimPages(httpd.ClaimConfig{Issuer: s.issuer, Name: s.cfg.Name, URL: s.public, Now: s.env.Now, Log: s.log})
	if err != nil {
		return nil, err
	}
	api, err := issuerapi.New(issuerapi.Config{
		Issuer: s.issuer, Store: s.db, Desk: desk, TREM: s.module, Now: s.env.Now, Log: s.log, FramesPath: lrphttp.Path, Frames: &lrphttp.Server{Frames: s.issuer.FrameBy, From: caller.Of},
		About: issuerapi.About{Name: s.cfg.Name, Issuer: s.cfg.Issuer, Device: s.cfg.Device, Authority: s.cfg.CA},
		URL:   s.public, QR: httpd.QR, Pages: pages,
	})
	if err != nil {
		return nil, err
	}
	console, err := s.console(desk, api)
	if err != nil {
		return nil, err
	}
	doors := http.NewServeMux()
	doors.Handle("/console/", console)
	doors.Handle("/", api)
	if s.trial != nil {
		test, err := s.trial.doors(s, api)
		if err != nil {
			return nil, err
		}
		doors.Handle(testissuer.Path, test)
		doors.Handle(testissuer.Path+"/", test)
	}
	all, err := s.flags.speke.withSPEKE(s.flags.dir, doors, s.issuer, s.log)
	if err != nil {
		return nil, err
	}
	return s.metrics.Count(all), nil
}

// listenMetrics opens the second listener, for this machine only.
func listenMetrics(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(address)
	if ip, bad := netip.ParseAddr(host); err != nil || host != "localhost" && (bad != nil || !ip.IsLoopback()) {
		return nil, usage("--metrics %s: figures are served on this machine only, such as 127.0.0.1:9720", address)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve the figures: %w", err)
	}
	return l, nil
}

// serveFigures serves metrics until ctx ends.
func (s *issuerServer) serveFigures(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	stop := context.AfterFunc(ctx, func() { srv.Close() }) //nolint:errcheck // nobody waits for figures
	defer stop()
	if err := srv.Serve(s.figures); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the figures: %w", err)
	}
	return nil
}

// run serves until ctx ends, or until store or module break, which is an error.
func (s *issuerServer) run(ctx context.Context, hup <-chan os.Signal) error {
	srv := &http.Server{
		Handler: &s.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: lrphttp.Timeout, WriteTimeout: 2 * lrphttp.Timeout,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn), TLSConfig: s.cert.config(),
	}
	g, gctx := errgroup.WithContext(ctx)
	serve := func(how func() error) {
		g.Go(func() error {
			if err := how(); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve the issuer: %w", err)
			}
			return nil
		})
	}
	open := new(httpd.Bound)
	serve(func() error { return srv.Serve(open.Listener(s.listener, true)) })
	if s.secure != nil {
		serve(func() error { return srv.ServeTLS(open.Listener(s.secure, false), "", "") })
	}
	if s.figures != nil {
		s.log.LogAttrs(ctx, slog.LevelInfo, "figures served", slog.String("url", "http://"+s.figures.Addr().String()+"/metrics"))
		g.Go(func() error { return s.serveFigures(gctx) })
	}
	g.Go(func() error { return s.watch(gctx, hup) })
	g.Go(func() error { keepRenewed(gctx, s.module, s.cfg.CA, time.Now, s.log); return nil })
	g.Go(func() error { s.sunsets().run(gctx); return nil })
	g.Go(func() error {
		<-gctx.Done()
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), stopGrace/2)
		defer done()
		return srv.Shutdown(grace)
	})
	return g.Wait()
}

// watch visits the authority and ends when something is broken.
func (s *issuerServer) watch(ctx context.Context, hup <-chan os.Signal) error {
	learn, ping := time.NewTicker(learnEvery), time.NewTicker(pingEvery)
	defer learn.Stop()
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.db.Done():
			return s.db.Err()
		case <-s.issuer.Failed():
			return fmt.Errorf("the trusted module is gone: %w", s.issuer.Err())
		case <-hup:
			s.hungUp(ctx)
		case <-learn.C:
			s.learn(ctx)
			err := s.issuer.Tick(ctx)
			if errors.Is(err, issuer.ErrSetBack) { // while it was served
				return setBack(err)
			}
			if err != nil && ctx.Err() == nil { // a broken store ends service above
				s.log.LogAttrs(ctx, slog.LevelError, "copies not brought to date", slog.Any("error", err))
			}
			if err := s.desk.SealDays(ctx); err != nil && ctx.Err() == nil {
				s.log.LogAttrs(ctx, slog.LevelError, "head of the log not signed", slog.Any("error", err))
			}
		case <-ping.C:
			if _, err := s.module.Status(ctx); errors.Is(err, trem.ErrStream) {
				return fmt.Errorf("the trusted module is gone: %w", err)
			}
		}
	}
}

// learn visits the authority. One that is away is no error: the module knows
// what it knows, and grants wait until it knows something.
func (s *issuerServer) learn(ctx context.Context) {
	if err := learn(ctx, s.module, nil, s.cfg.CA); err != nil && ctx.Err() == nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "authority not heard", slog.Any("error", err))
	}
}
