package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/interconnect/lrp/unix"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/service/home"
)

type relayFlags struct {
	listen, upstream, unix, upstreamUnix string
	upstreamCA, mail                     string
	boxes                                []string
	cert, key                            string
	routes                               []string
}

func newRelayCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "A relay between a house and devices that do not reach it",
	}
	cmd.AddCommand(newRelayServeCmd(env))
	return cmd
}

func newRelayServeCmd(env *Env) *cobra.Command {
	var f relayFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Carry what devices and their house say to each other; the first line printed is its URL",
		Long: `Stand between a house and devices that do not reach it: in another part of the
network, behind a gateway, in a car's own network. A relay has no secure player and no
key of anybody. It carries frames one hop further, and opens none: what it cannot pass
on is said again by who wanted it. Devices pair, get and play with the relay's address
in the place of the house's. Relays may stand in a row; a frame crosses at most 8 hops.

With --mail it also keeps frames for those who are away, in that folder, for a week at
most: a house (lares home serve --relay) and devices (lares device carry --relay) that
are never awake together leave letters for each other there. Who has a box, --box says:
nobody else leaves or takes anything, and each proves that it is who it says.

With a certificate it serves TLS (HTTP/2 and 1.1) and HTTP on its one address, as a
house does. One of the household's CA (lares home certify) is for devices that know the
house by https: they then know the relay. SIGHUP has the files read anew.

GET /metrics counts what was carried, on this machine only; it names nobody.`,
		Example: `  lares relay serve --listen :7711 --upstream http://192.168.1.10:7710
  lares relay serve --listen 127.0.0.1:7712 --upstream http://127.0.0.1:7711   # a second one in a row
  lares relay serve --listen :7711 --upstream https://192.168.1.10:7710 --upstream-ca ca.pem --tls-cert cert.pem --tls-key key.pem
  lares relay serve --listen :7711 --mail ./mail --box 0b0321d4289d9c3bb97c5e98a9fe1b04 --box bb6b90b851951a943223ff2f8dbc9443
  lares relay serve --unix /run/lares/relay.sock --upstream http://127.0.0.1:7710
  lares relay serve --upstream http://127.0.0.1:7711 --upstream-unix /run/lares/relay.sock`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.serve(cmd.Context(), env) },
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:7711", "address to serve on")
	cmd.Flags().StringVar(&f.upstream, "upstream", "", "URL of the house, or of the next relay before it")
	cmd.Flags().StringVar(&f.unix, "unix", "", "socket in the file system by which programs of this machine hand frames in, too")
	cmd.Flags().StringVar(&f.upstreamUnix, "upstream-unix", "", "socket of a relay on this machine by which frames go on; all else goes to --upstream")
	cmd.Flags().StringArrayVar(&f.routes, "route", nil, "ADDRESS=URL: another way for frames to one address; may be repeated")
	cmd.Flags().StringVar(&f.upstreamCA, "upstream-ca", "", "file with the household's CA (lares home certify): what is reached by https has a certificate of it; default: one that the world knows")
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "PEM file of certificates, leaf first: serve TLS, too")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "PEM file (0600) of their key")
	cmd.Flags().StringVar(&f.mail, "mail", "", "folder for frames that wait for those who are away; the URL printed then ends with the relay's address")
	cmd.Flags().StringArrayVar(&f.boxes, "box", nil, "ADDRESS of a house's or device's secure player that leaves and takes frames there; may be repeated")
	return cmd
}

func (f *relayFlags) serve(ctx context.Context, env *Env) (err error) {
	log := slog.New(slog.NewTextHandler(env.Stderr, nil))
	if (f.cert == "") != (f.key == "") {
		return usage("--tls-cert and --tls-key go together")
	}
	cert := &certificate{cert: f.cert, key: f.key}
	if err := cert.load(); err != nil {
		return err
	}
	hup, noMore := hangups()
	defer noMore()
	r, err := newCarrier(f, env.Now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	handler, err := r.handler(f.upstream)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("serve the relay: %w", err)
	}
	defer listener.Close() //nolint:errcheck // the server has closed it before
	g, gctx := errgroup.WithContext(ctx)
	srv := httpd.NewServer(gctx, handler)
	if f.unix != "" {
		socket, err := listenUnix(ctx, f.unix)
		if err != nil {
			return err
		}
		g.Go(func() error {
			return (&unix.Server{Frames: r.frames, Wait: r.waiting(), Taken: r.taking()}).Serve(gctx, socket)
		})
	}
	var secret *tls.Config
	if f.cert != "" {
		secret = cert.config()
		g.Go(func() error { cert.follow(gctx, hup, log); return nil })
	}
	serveIn(gctx, g, srv, listener, secret, "relay")
	log.LogAttrs(ctx, slog.LevelInfo, "relay serves", slog.Any("address", r.relay.Self))
	name := ""
	if r.mail != nil {
		g.Go(func() error { r.mail.run(gctx); return nil })
		name = "#" + r.relay.Self.String()
		if r.mail.stray > 0 {
			log.LogAttrs(ctx, slog.LevelWarn, "files in the mailbox that are no frames are left where they are", slog.Int("files", r.mail.stray))
		}
	}
	fmt.Fprintln(env.Stdout, "http://"+reachable(listener.Addr())+name)
	return g.Wait()
}

// listenUnix makes a socket for this user alone. One that a relay left behind that
// was killed is taken; another file is not.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, usage("--unix %s: there is a file that is no socket", path)
		}
		if conn, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
			return nil, errors.Join(usage("--unix %s: a program serves there", path), conn.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("serve the relay: %w", err)
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("serve the relay: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("serve the relay: %w", err), l.Close())
	}
	return l, nil
}

// newCarrier makes the relay of the flags.
func newCarrier(f *relayFlags, now func() time.Time) (*carrier, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	tr, err := houseTransport(f.upstreamCA)
	if err != nil {
		return nil, err
	}
	r := &carrier{now: now, room: make(chan struct{}, maxCarried), up: newWays(tr)}
	r.relay.Default = lrp.Next(f.upstream)
	if f.upstreamUnix != "" {
		r.relay.Default = unixWay + lrp.Next(f.upstreamUnix)
	}
	for _, s := range f.routes {
		addr, to, ok := strings.Cut(s, "=")
		var dst lrp.Addr
		if n, err := parseAddr(addr); err == nil {
			dst = n
		} else {
			ok = false
		}
		if _, err := upstreamURL(to); err != nil || !ok {
			return nil, usage("--route %q: want ADDRESS=URL", s)
		}
		if err := r.relay.Route(dst, lrp.Next(to)); err != nil {
			return nil, err
		}
	}
	return r, f.openMail(r)
}

// check reports flags that do not go together.
func (f *relayFlags) check() error {
	switch {
	case f.upstream == "" && f.mail == "":
		return usage("a relay needs --upstream, a house or another relay that it passes things on to, or --mail, a folder where it keeps them")
	case f.upstream == "" && f.upstreamUnix != "":
		return usage("--upstream-unix needs --upstream, for all that are no frames")
	case (f.mail == "") != (len(f.boxes) == 0):
		return usage("--mail and --box go together: the folder, and whose frames it keeps")
	case len(f.boxes) > lrp.MaxBoxes:
		return usage("--box: at most %d", lrp.MaxBoxes)
	case f.upstream == "":
		return nil
	}
	_, err := upstreamURL(f.upstream)
	return err
}

// openMail gives the relay its mailbox, if it is to have one, and its address.
func (f *relayFlags) openMail(r *carrier) (err error) {
	if f.mail == "" {
		r.relay.Self, err = newAddress()
		return err
	}
	var boxes []lrp.Addr
	for _, s := range f.boxes {
		a, err := parseAddr(s)
		if err != nil {
			return usage("--box %q: %v, such as lares trem status prints", s, err)
		}
		boxes = append(boxes, a)
	}
	r.mail, r.relay.Self, err = openRelayMail(f.mail, boxes, r.now)
	return err
}

func parseAddr(s string) (a lrp.Addr, err error) {
	if len(s) != 2*len(a) {
		return a, errors.New("an address has 32 hexadecimal digits")
	}
	for i := range a {
		n, err := strconv.ParseUint(s[2*i:2*i+2], 16, 8)
		if err != nil {
			return a, err
		}
		a[i] = byte(n)
	}
	return a, nil
}

func upstreamURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" {
		return nil, usage("%q is not the URL of a house or a relay, such as http://192.168.1.10:7710", s)
	}
	return u, nil
}

// hopsHeader counts the relays that a request without frames has crossed; frames
// count their own. Source: local, docs/spec/lrp.md section 16.
const hopsHeader = "Lares-Hops"

// passed are the paths that a relay passes on beside frames: those of devices, and
// none of the owner's.
func passed() []string {
	return []string{
		"POST " + home.PairPath, "POST " + home.PairPath + "/{id}/nonce", "GET /pair/v1/", "POST " + home.RestorePath, "GET /house/v1/", "POST /house/v1/", "GET /content/",
		"GET /rsl/v1/", "GET " + home.PathTrust, "GET " + home.PathTime, "GET /healthz", "GET /readyz", "GET " + lrphttp.Path,
	}
}

// handler serves the relay over HTTP.
func (r *carrier) handler(upstream string) (http.Handler, error) {
	mux := http.NewServeMux()
	frames := &lrphttp.Server{Frames: r.frames, Wait: r.waiting(), Taken: r.taking()}
	mux.Handle("POST "+lrphttp.Path, frames)
	mux.HandleFunc("GET /metrics", r.metrics)
	if upstream == "" {
		mux.Handle("GET "+lrphttp.Path, frames)
		mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		return mux, nil
	}
	to, err := upstreamURL(upstream)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { // says nothing of who asks
			p.SetURL(to)
			p.Out.Header.Set(hopsHeader, strconv.Itoa(hopsOf(p.In)+1))
			p.Out.Header.Del("X-Forwarded-For")
		},
		Transport:     r.up.web.Transport,
		FlushInterval: -1,
		ErrorLog:      quietLog(),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			r.counts.lost.Add(1)
			http.Error(w, http.StatusText(http.StatusBadGateway), http.StatusBadGateway)
		},
	}
	for _, path := range passed() {
		mux.HandleFunc(path, func(w http.ResponseWriter, q *http.Request) {
			if link, err := lrp.ParseLinkID(q.Header.Get(lrphttp.LinkHeader)); err == nil && q.URL.Path == lrphttp.Path && r.mail != nil && r.mail.proves(link) {
				frames.ServeHTTP(w, q)
				return
			}
			if hopsOf(q) >= lrp.MaxHops {
				r.counts.hops.Add(1)
				http.Error(w, http.StatusText(http.StatusLoopDetected), http.StatusLoopDetected)
				return
			}
			r.counts.requests.Add(1)
			_ = http.NewResponseController(w).SetWriteDeadline(r.now().Add(time.Hour)) // films are long
			proxy.ServeHTTP(w, q)
		})
	}
	return mux, nil
}

func hopsOf(q *http.Request) int {
	s := q.Header.Get(hopsHeader)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return lrp.MaxHops // it says something else: it goes nowhere
	}
	return int(n)
}
