package httpd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// Limits of the server. Source: local, docs/spec/home-api.md.
const (
	maxBody       = 64 << 10 // bytes of an API request
	maxPairBody   = 48 << 10 // bytes of a pairing request
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 2 * time.Minute // event streams lift it
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10 // bytes
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// Config is what the HTTP side needs.
type Config struct {
	Home   *home.Home   // required
	Frames http.Handler // required: serves /lrp/v1/frames
	Play   fs.FS        // nil: no page "Try to lose a film"; play.wasm and wasm_exec.js
	TLS    *home.TLS    // nil: there is no CA of the house to be had
	Relay  *home.Relay  // nil: devices get no statements of the authority here
	Owner  string       // what programs of the machine's owner show in OwnerHeader; "": there are none
	Hosts  []string     // host names, besides loopback ones, under which the owner's pages answer

	Address func() string                                          // where other devices of the network reach the house, "" when they do not; nil: never
	Claim   func(ctx context.Context, link string) (string, error) // redeems a shop's link and fetches what it gives, whose title it returns; nil: pages cannot
	Return  func(ctx context.Context, id ident.Content) error      // gives a library's loan back; nil: pages cannot
	Examine func(ctx context.Context) ([]Check, error)             // the doctor; nil: the health page knows what this package sees

	Log *slog.Logger // nil: no log
}

type server struct {
	Config
	pages    map[string]*template.Template
	forms    formKey
	pairings *throttle // of who asks to belong to the house
}

// New returns the whole HTTP side as one handler. It starts nothing.
func New(cfg Config) (http.Handler, error) {
	if cfg.Home == nil || cfg.Frames == nil {
		return nil, errors.New("httpd: Config needs Home and Frames")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{Config: cfg, forms: newFormKey(), pairings: newThrottle(pairTries, pairEvery)}
	s.pages = map[string]*template.Template{}
	if err := errors.Join(parsePages("layout.html", pageNames, s.pages), parsePages("plain.html", plainNames, s.pages)); err != nil {
		return nil, err
	}
	owner := http.NewServeMux()
	s.ownerRoutes(owner)
	if err := s.playRoutes(owner); err != nil {
		return nil, err
	}
	all := http.NewServeMux()
	s.deviceRoutes(all)
	all.Handle("/", s.guard(s.asked(owner)))
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(crossOrigin))
	return secure(cross.Handler(all)), nil
}

// crossOrigin refuses what a browser says that another site asked for.
func crossOrigin(w http.ResponseWriter, _ *http.Request) {
	problem(w, http.StatusForbidden, "cross_origin", say("problem.cross-origin"))
}

// NewServer returns an HTTP server with the limits of this package. Requests
// end when ctx does.
func NewServer(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
}

func (s *server) ownerRoutes(m *http.ServeMux) {
	s.pageRoutes(m)
	m.Handle("GET /static/", http.HandlerFunc(serveStatic))
	m.HandleFunc("GET /play/{session}/manifest.mpd", s.manifest)
	m.HandleFunc("GET /play/{session}/{track}/{segment}", s.segment)
	m.HandleFunc("POST /play/{session}/license", s.license)
	s.hlsRoutes(m)
	m.HandleFunc("GET /api/v1/library", s.apiLibrary)
	m.HandleFunc("POST /api/v1/library", s.apiAdd)
	m.HandleFunc("GET /api/v1/check", s.apiChecked)
	m.HandleFunc("POST /api/v1/check", s.apiCheck)
	m.HandleFunc("GET /api/v1/folders", s.apiFolders)
	m.HandleFunc("DELETE /api/v1/folders", s.apiUnwatch)
	m.HandleFunc("GET /api/v1/library/{id}", s.apiTitle)
	m.HandleFunc("POST /api/v1/library/{id}/release", s.apiRelease)
	m.HandleFunc("POST /api/v1/library/{id}/protect", s.apiProtect)
	m.HandleFunc("DELETE /api/v1/library/{id}/protect", s.apiUnprotect)
	m.HandleFunc("GET /api/v1/library/{id}/license", s.apiExportable)
	m.HandleFunc("POST /api/v1/exports", s.apiExport)
	m.HandleFunc("POST /api/v1/library/{id}/return", s.apiReturn)
	m.HandleFunc("POST /api/v1/licenses", s.apiFetch)
	m.HandleFunc("GET /api/v1/sessions", s.apiSessions)
	m.HandleFunc("POST /api/v1/sessions", s.apiPlay)
	m.HandleFunc("GET /api/v1/sessions/{id}", s.apiSession)
	m.HandleFunc("DELETE /api/v1/sessions/{id}", s.apiStop)
	m.HandleFunc("PUT /api/v1/sessions/{id}/position", s.apiPosition)
	m.HandleFunc("GET /api/v1/devices", s.apiDevices)
	m.HandleFunc("DELETE /api/v1/devices/{id}", s.apiRemove)
	m.HandleFunc("GET /api/v1/transfers", s.apiTransfers)
	m.HandleFunc("POST /api/v1/transfers", s.apiHandOver)
	m.HandleFunc("POST /api/v1/receive", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"until": s.Home.Receive()})
	})
	m.HandleFunc("POST /api/v1/transfers/renew", s.apiRenewLoan)
	m.HandleFunc("POST /api/v1/transfers/cancel", s.aboutTransfer(s.Home.CancelTransfer))
	m.HandleFunc("POST /api/v1/transfers/lost", s.aboutTransfer(s.Home.LostTransfer))
	m.HandleFunc("GET /api/v1/pairings", s.apiPairings)
	m.HandleFunc("POST /api/v1/pairings/approve", s.apiApprove)
	m.HandleFunc("POST /api/v1/pairings/{id}/approve", s.apiApprove)
	m.HandleFunc("DELETE /api/v1/pairings/{id}", s.apiRefuse)
	m.HandleFunc("GET /api/v1/status", s.apiStatus)
	m.HandleFunc("POST /api/v1/learn", s.apiLearn)
	m.HandleFunc("GET /api/v1/pairwise", s.apiPairwise)
	m.HandleFunc(eventsPattern, s.events)
	s.backupRoutes(m)
	s.whoRoutes(m)
	s.peopleRoutes(m)
	m.HandleFunc("GET /simulator", s.pageSimulator)
	m.HandleFunc("POST /api/v1/simulate", s.apiSimulate)
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/play/") {
			problem(w, http.StatusNotFound, "not_found", "There is nothing at this address.")
			return
		}
		s.fail(w, r, home.ErrUnknown)
	})
}

func (s *server) deviceRoutes(m *http.ServeMux) {
	m.Handle("/lrp/v1/frames", s.Frames)
	m.HandleFunc("POST "+home.PairPath, s.pairOpen)
	m.HandleFunc("POST "+home.PairPath+"/{id}/nonce", s.pairReveal)
	m.HandleFunc("GET "+home.PairPath+"/{id}", s.pairAnswer)
	if s.TLS != nil {
		m.HandleFunc("GET "+home.PathTLS, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/pkix-cert")
			w.Write(s.TLS.CA()) //nolint:errcheck // the client is gone
		})
	}
	s.trustRoutes(m)
	s.enterRoutes(m)
	s.restoreRoutes(m)
	m.HandleFunc("GET "+home.PathRecipients+"/{name}", s.recipient)
	m.HandleFunc("GET "+home.PathLetters+"/{device}", s.proven(s.letters))
	m.HandleFunc("GET "+home.PathPeople+"/{device}", s.proven(s.whose))
	m.HandleFunc("POST "+home.PathPeople+"/{device}/once", s.proven(s.letOnce))
	m.HandleFunc("GET "+home.PathRelayedTime, s.relayedTime)
	m.HandleFunc("POST "+home.PathPlaces, s.place)
	m.HandleFunc("GET "+home.PathLogs, s.loggedDevices)
	m.HandleFunc("GET "+home.PathLogs+"/{device}", s.logsOf)
	m.HandleFunc("GET "+home.PathLogs+"/{device}/{segment}", s.logSegment)
	m.HandleFunc("POST "+home.PathLogs+"/{device}", s.members(s.offerLog))
	m.HandleFunc("POST "+home.PathLogs+"/{device}/segments", s.members(s.putLogSegment))
	m.HandleFunc("GET /content/{id}/{file...}", s.household(s.file))
	m.HandleFunc("GET "+home.PathFilms, s.ofHouse(s.ownFilms))
	m.HandleFunc("GET "+home.PathFilms+"/{id}", s.ofHouse(s.ownFilm))
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	m.HandleFunc("GET /readyz", s.ready)
	if s.Relay != nil {
		m.HandleFunc("GET "+home.PathHead, s.kept(home.PathHead))
		m.HandleFunc("GET "+home.PathTrust, s.kept(home.PathTrust))
		m.HandleFunc("GET "+home.PathSunsets, s.kept(home.PathSunsets))
		m.HandleFunc("GET "+home.PathSnapshot, s.snapshot)
		m.HandleFunc("GET "+home.PathDelta+"/{from}/{to}", s.delta)
		m.HandleFunc("GET "+home.PathTime, s.time)
	}
}

// guard keeps the owner's side to this machine, and to browsers that the owner let in.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !fromHere(r):
			if s.admit(w, r) {
				next.ServeHTTP(w, r)
			}
		case !s.knownHost(r.Host):
			problem(w, http.StatusForbidden, "unknown_host", say("problem.unknown-host"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hopsHeader stands in what a relay passes on, which may run on this machine. Source:
// docs/spec/lrp.md section 16.
const hopsHeader = "Lares-Hops"

// fromHere says that a connection comes from this machine, and not through a relay.
func fromHere(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback() && r.Header.Get(hopsHeader) == ""
}

// household serves the owner's side, and devices of the house that have proven
// themselves: nobody else.
func (s *server) household(next http.HandlerFunc) http.HandlerFunc {
	proven := s.members(next)
	return func(w http.ResponseWriter, r *http.Request) {
		if fromHere(r) && s.knownHost(r.Host) || s.letIn(r) {
			next(w, r)
			return
		}
		proven(w, r)
	}
}

// knownHost reports whether a host name is a loopback name or one of Hosts: a foreign
// site whose name was made to point here is none (DNS rebinding).
func (s *server) knownHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(s.Hosts, host) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// secure sets the headers that hold for every answer. Styles and scripts are
// files of this package; shaka-player feeds the video element from blob URLs.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "+
			"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// serveStatic serves a file of this package. A browser asks each time whether it has
// changed; where it has not, the browser also keeps what it compiled of it.
func serveStatic(w http.ResponseWriter, r *http.Request) {
	data, err := staticFiles.ReadFile(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil { // no such file, or a folder: no listings
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(data)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	http.ServeContent(w, r, r.URL.Path, time.Time{}, bytes.NewReader(data))
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	st, err := s.Home.Status(r.Context())
	if err != nil || len(st.Leaf) == 0 {
		problem(w, http.StatusServiceUnavailable, "not_ready", say("not-ready"))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
