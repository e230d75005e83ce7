package authority

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
)

// Store is where the authority lives, shared with the operator's commands.
type Store interface {
	ca.Dir
	Lock() (unlock func(), err error) // against other processes
}

// Config is what a Server needs.
type Config struct {
	Store     Store            // required; a ceremony was held in it
	Now       func() time.Time // required
	Log       *slog.Logger     // nil: no log
	Open      bool             // devices enroll without a voucher
	PerMinute int              // enrollments tried in a minute, all together; as many words of sunset by each issuer, and by each network that proves none; default 120
}

// Server answers for an authority.
type Server struct {
	cfg Config
	log *slog.Logger

	mu       sync.Mutex
	auth     *ca.Authority        // guarded by mu; as last read
	enrolled meter                // guarded by mu; enrollments and renewals that were tried
	sent     meters[ident.Issuer] // guarded by mu; words of sunset by issuers whose modules have signed them
	unproven meters[netip.Prefix] // guarded by mu; those that no module has signed

	door    *lrp.Endpoint // guarded by mu; nil before the first frame
	address lrp.Addr      // guarded by mu; that door has
}

// New reads the authority.
func New(cfg Config) (*Server, error) {
	if cfg.PerMinute == 0 {
		cfg.PerMinute = 120
	}
	s := &Server{cfg: cfg, log: cfg.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	auth, err := ca.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	s.auth = auth
	return s, nil
}

// republishEvery is how often Run looks whether the next epoch is due.
const republishEvery = time.Minute

// Run publishes a new epoch whenever half of the time to the next update has
// passed, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(republishEvery)
	defer tick.Stop()
	for {
		if err := s.republish(); err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "epoch not published", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Server) republish() error {
	auth, err := s.current()
	if err != nil {
		return err
	}
	now, head := s.cfg.Now(), auth.State().Head()
	if now.UnixMilli() < head.IssuedAt+(head.NextUpdate-head.IssuedAt)/2 {
		return nil
	}
	return s.change(func(a *ca.Authority) error { return a.Publish(now) })
}

// current is the authority as it is on disk.
func (s *Server) current() (*ca.Authority, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stale, err := s.auth.Stale()
	if err != nil {
		return nil, err
	}
	if stale {
		auth, err := ca.Open(s.cfg.Store)
		if err != nil {
			return nil, err
		}
		s.auth = auth
	}
	return s.auth, nil
}

// change does what alters the authority, alone among all processes.
func (s *Server) change(do func(*ca.Authority) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, err := s.cfg.Store.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	auth, err := ca.Open(s.cfg.Store)
	if err != nil {
		return err
	}
	if err := do(auth); err != nil {
		return err
	}
	s.auth = auth
	return nil
}

// Handler serves the endpoints.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range s.routes() {
		mux.HandleFunc(pattern, h)
	}
	return mux
}

// routes are the endpoints. Source: docs/spec/authority-api.md.
func (s *Server) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST " + PathEnroll:                s.answer(typeCBOR, s.enroll),
		"POST " + PathSunset:                s.answer(typeCBOR, s.sunset),
		"GET " + PathTrust:                  s.answer(typeCBOR, s.trust),
		"GET " + PathHead:                   s.answer(typePacked, s.head),
		"GET " + PathSnapshot:               s.answer(typePacked, s.snapshot),
		"GET " + PathDelta + "/{from}/{to}": s.answer(typePacked, s.delta),
		"GET " + PathSunsets:                s.answer(typeCBOR, s.notices),
		"GET " + PathTime:                   s.answer(typeCOSE, s.time),
		"GET /healthz": s.answer("text/plain; charset=utf-8", func(*http.Request) ([]byte, error) {
			_, err := s.current()
			return []byte("ok\n"), err
		}),
	}
}

func (s *Server) answer(mediaType string, do func(*http.Request) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := do(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problem{Type: "about:blank", Status: http.StatusInternalServerError, Code: "internal"}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			p.Status, p.Code, p.Detail = o.status, o.code, err.Error()
			break
		}
	}
	if p.Status >= http.StatusInternalServerError {
		s.log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	p.Title = http.StatusText(p.Status)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func (s *Server) enroll(r *http.Request) ([]byte, error) {
	if !s.admit(&s.enrolled) {
		return nil, ErrBusy
	}
	var in enrollRequest
	err := read(r, &in, wire.Limit{Bytes: maxEnroll, Items: 8, Depth: 2})
	if err != nil {
		return nil, err
	}
	var out *ca.Certified
	err = s.change(func(a *ca.Authority) error {
		out, err = a.EnrollOnline(ca.Request{
			Role: pki.Role(in.Role), Class: pki.Class(in.Class), Signing: in.Signing, Delivery: in.Delivery, Level: pki.Level(in.Level), Anchor: pki.Anchor(in.Anchor),
		}, in.Voucher, s.cfg.Open, s.cfg.Now())
		return err
	})
	if refusal(err) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return nil, err
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "party certified", slog.String("role", pki.Role(in.Role).String()), slog.Any("member", out.Member))
	return wire.Marshal(enrollAnswer{Chain: out.Chain, Delivery: out.Delivery, Roots: out.Roots})
}

// read reads a request's body of at most lim.Bytes.
func read(r *http.Request, in any, lim wire.Limit) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(lim.Bytes)+1))
	if err != nil || len(body) > lim.Bytes {
		return ErrMalformed
	}
	if err := wire.Unmarshal(body, in, lim); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// meter counts what is tried in a minute.
type meter struct {
	minute int64
	tried  int
}

// admit counts a request against the limit.
func (s *Server) admit(m *meter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.cfg.Now().Unix() / 60; now != m.minute {
		*m = meter{minute: now}
	}
	m.tried++
	return m.tried <= s.cfg.PerMinute
}

func (s *Server) trust(*http.Request) ([]byte, error) {
	auth, err := s.current()
	if err != nil {
		return nil, err
	}
	return wire.Marshal(auth.Trust())
}

func (s *Server) head(*http.Request) ([]byte, error) {
	auth, err := s.current()
	if err != nil {
		return nil, err
	}
	return auth.State().Head().Bytes(), nil
}

// snapshot serves the current state, or with ?epoch=N that of a kept epoch, so
// that a client can have the one that belongs to its head.
func (s *Server) snapshot(r *http.Request) ([]byte, error) {
	auth, err := s.current()
	if err != nil {
		return nil, err
	}
	state, want := auth.State(), r.URL.Query().Get("epoch")
	if want != "" && want != strconv.FormatUint(state.Epoch().Number, 10) {
		n, err := strconv.ParseUint(want, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: epoch", ErrMalformed)
		}
		if state, err = auth.StateAt(n); err != nil {
			return nil, err
		}
	}
	return state.Snapshot(), nil
}

func (s *Server) delta(r *http.Request) ([]byte, error) {
	from, err1 := strconv.ParseUint(r.PathValue("from"), 10, 64)
	to, err2 := strconv.ParseUint(r.PathValue("to"), 10, 64)
	if err1 != nil || err2 != nil || from >= to {
		return nil, fmt.Errorf("%w: epochs", ErrMalformed)
	}
	auth, err := s.current()
	if err != nil {
		return nil, err
	}
	d, err := auth.Delta(from, to)
	if errors.Is(err, revocation.ErrNoDelta) {
		return nil, fmt.Errorf("%w: %w", ErrEpoch, err)
	}
	return d, err
}

// notices are those of sunset that stand, in the words of the state signer.
func (s *Server) notices(*http.Request) ([]byte, error) {
	auth, err := s.current()
	if err != nil {
		return nil, err
	}
	all, err := auth.Notices()
	if err != nil {
		return nil, err
	}
	return wire.Marshal(all)
}

func (s *Server) time(r *http.Request) ([]byte, error) {
	var nonce [revocation.NonceLen]byte
	n, err := hex.DecodeString(r.URL.Query().Get("nonce"))
	if err != nil || len(n) != len(nonce) {
		return nil, fmt.Errorf("%w: nonce of %d hexadecimal digits", ErrMalformed, 2*len(nonce))
	}
	copy(nonce[:], n)
	auth, err := s.current()
	if err != nil {
		return nil, err
	}
	return auth.TimeToken(nonce, s.cfg.Now())
}
