package home

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// The parts of the trusted module that the home server uses; *trem.Client has
// them all.
type (
	// Module is the household's trusted module.
	Module interface {
		Status(ctx context.Context) (trem.Status, error)
		Licensing
		Player
		Household
		Learner
		Postman
		Giver
		Exporter
		Mender
		Healer
		Seater
	}
	// Licensing gets licenses and carries SLTP for devices.
	Licensing interface {
		Open(ctx context.Context, r trem.LicenseRequest) (trem.Opened, error)
		Receive(ctx context.Context, m trem.SLTPMessage) (trem.Received, error)
		Resend(ctx context.Context, peer ident.Device) (trem.Opened, error)
		Licenses(ctx context.Context) ([]trem.Held, error)
		Evaluate(ctx context.Context, a trem.Ask) (license.Decision, error)
	}
	// Borrower is a module that gives loans back to issuers before their end.
	Borrower interface {
		HandIn(ctx context.Context, id ident.Content) (trem.HandedIn, error)
	}
	// Player plays link-encrypted.
	Player interface {
		Begin(ctx context.Context, a trem.Ask) (trem.Session, error)
		Track(ctx context.Context, session uint64, segment []byte) (uint64, []byte, error)
		Decrypt(ctx context.Context, session, track uint64, segment []byte) ([]byte, error)
		LinkKeys(ctx context.Context, session uint64) ([]trem.LinkKey, error)
		End(ctx context.Context, session uint64) error
	}
	// Sharer is a Player that has memory in common with its host, once: what it
	// decrypts there goes through no stream. It is optional.
	Sharer interface {
		Buffer(ctx context.Context, size int) ([]byte, error)
		DecryptBuffer(ctx context.Context, session, track uint64, at, n int) error
	}
	// Household manages members.
	Household interface {
		Admit(ctx context.Context, d trem.Candidate) (trem.Admission, error)
		Remove(ctx context.Context, d ident.Device) error
		Members(ctx context.Context) ([]trem.Member, error)
		Pairwise(ctx context.Context, issuer ident.Issuer) (ident.Domain, error)
	}
	// Postman takes and writes letters between modules.
	Postman interface {
		Post(ctx context.Context, letter []byte) (trem.Handed, error)
		Letters(ctx context.Context) (trem.Handed, error)
	}
	// Giver hands licenses over.
	Giver interface {
		Card(ctx context.Context, of trem.Card) (trem.Card, error)
		HandOver(ctx context.Context, h trem.HandOver) (trem.Handed, error)
		RenewLoan(ctx context.Context, r trem.Renewal) (trem.Handed, error)
		Transfers(ctx context.Context) ([]trem.Transfer, error)
	}
	// Mender does something about what is on its way.
	Mender interface {
		Lost(ctx context.Context, id ident.Transfer) (trem.Handed, error)
		Cancel(ctx context.Context, id ident.Transfer) (trem.Handed, error)
	}
	// Learner takes what the authority says.
	Learner interface {
		Nonce(ctx context.Context) ([]byte, error)
		Learn(ctx context.Context, l trem.Learned) error
		RelayTime(ctx context.Context, nonce []byte) (trem.RelayedTime, error)
	}
)

// Authority is the certification authority as the home server sees it.
type Authority interface {
	// State returns the newest revocation state, where it can as the step from the
	// epoch that the module has; 0: it has none, or a step did not do.
	State(ctx context.Context, have uint64) (trem.Learned, error)
	// Time returns a time token that repeats the module's nonce.
	Time(ctx context.Context, nonce []byte) (trem.Learned, error)
}

// Courier drives one SLTP exchange with the peer at url to its end, without
// reading it, and returns what it led to, also when it fails in the middle.
type Courier func(ctx context.Context, url string, peer ident.Device, opened trem.Opened) ([]trem.Event, error)

// Frames carries one frame to the house at a URL and its answers back.
type Frames func(ctx context.Context, url string, f lrp.Frame) ([]lrp.Frame, error)

// Config is what a home server needs. Zero values work where not marked required.
type Config struct {
	Dir        string           // required: state folder, 0700, made where it is not there
	Module     Module           // required
	Courier    Courier          // required to get licenses
	Frames     Frames           // nil: nothing is handed over to other houses
	Authority  Authority        // nil: nothing is learned
	Relay      *Relay           // nil: devices get no safety list from here
	Mirrors    []string         // addresses where titles can be had, too: under each a folder a title, by its ID
	TLS        *TLS             // nil: devices are not told how to recognize the house's TLS
	Prove      lrp.Prover       // the module's proof of who answers a HELLO; nil: none
	Now        func() time.Time // required
	Log        *slog.Logger     // nil: no log
	LearnEvery time.Duration    // between two visits to the authority; default 1 minute
	IdleAfter  time.Duration    // a playback session without a sign of its player ends; default 1 minute
	Settle     time.Duration    // what lies in a watched folder is shown when it has not changed for so long; default 3 seconds
	CheckEvery time.Duration    // after which a film's files are read again, to see whether they are as they should be; default 30 days
	CheckRate  int64            // bytes a second that are read for that; default 16 MiB
	Rescan     time.Duration    // between two looks at watched folders where the system does not tell of changes; default 1 minute
}

// Home is the household's server. It is safe for concurrent use.
type Home struct {
	cfg       Config
	log       *slog.Logger
	library   *library
	folders   *folders
	integrity *integrity
	members   *members
	shop      *shop
	plays     *plays
	desk      desk
	sources   *sources
	browsers  *browsers
	people    *people
	learned   learned
	events    broker
	door      door
	mailbox   *mailbox
	logs      *Logs

	protecting *protecting
}

// New reads the state folder. It starts nothing.
func New(cfg Config) (*Home, error) {
	if cfg.Module == nil || cfg.Now == nil || cfg.Dir == "" {
		return nil, errors.New("home: Config needs Dir, Module and Now")
	}
	dir, err := filepath.Abs(cfg.Dir) // a title of the house's own is told by where it lies
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	cfg.Dir = dir
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	if cfg.LearnEvery <= 0 {
		cfg.LearnEvery = time.Minute
	}
	if cfg.IdleAfter <= 0 {
		cfg.IdleAfter = time.Minute
	}
	cfg.Settle, cfg.Rescan = cmp.Or(cfg.Settle, 3*time.Second), cmp.Or(cfg.Rescan, time.Minute)
	cfg.CheckEvery, cfg.CheckRate = cmp.Or(cfg.CheckEvery, 30*24*time.Hour), cmp.Or(cfg.CheckRate, 16<<20)
	h := &Home{cfg: cfg, log: cfg.Log, protecting: newProtecting()}
	if h.library, err = openLibrary(cfg.Dir); err != nil {
		return nil, err
	}
	unread := func(err error) {
		if err != nil {
			h.log.LogAttrs(context.Background(), slog.LevelWarn, "a state file cannot be read and was put aside: the house begins it anew", slog.Any("error", err))
		}
	}
	h.folders, err = openFolders(cfg.Dir)
	unread(err)
	h.integrity, err = openIntegrity(cfg.Dir)
	unread(err)
	if h.members, err = openMembers(cfg.Dir); err != nil {
		return nil, err
	}
	if h.shop, err = openShop(cfg.Dir); err != nil {
		return nil, err
	}
	if h.sources, err = openSources(cfg.Dir); err != nil {
		return nil, err
	}
	if h.browsers, err = openBrowsers(cfg.Dir); err != nil {
		return nil, err
	}
	if h.people, err = openPeople(cfg.Dir); err != nil {
		return nil, err
	}
	if h.mailbox, err = openMailbox(cfg.Dir, cfg.Now()); err != nil {
		return nil, err
	}
	if h.mailbox.stray > 0 {
		h.log.LogAttrs(context.Background(), slog.LevelWarn, "letters that cannot be read are left where they are", slog.Int("files", h.mailbox.stray))
	}
	if h.logs, err = OpenLogs(filepath.Join(cfg.Dir, "logs")); err != nil {
		return nil, err
	}
	h.plays = newPlays()
	return h, nil
}

// sweepEvery is how often idle sessions and old pairings are looked for. Source: local.
const sweepEvery = 2 * time.Second

// Run does what nobody asks for: it learns from the authority, asks shops again
// whose answers were lost, finishes approvals that a crash interrupted, looks at the
// watched folders, protects own films, and ends idle playback. It owns these goroutines and returns when ctx ends, after all
// playback has been stopped.
func (h *Home) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.lookOnce(gctx) })
	g.Go(func() error { return every(gctx, h.cfg.LearnEvery, h.learnOnce) })
	g.Go(func() error { return every(gctx, h.cfg.LearnEvery, h.settleOnce) })
	g.Go(func() error { return every(gctx, h.cfg.LearnEvery, h.postOnce) })
	g.Go(func() error { return every(gctx, h.cfg.LearnEvery, h.healOnce) })
	g.Go(func() error {
		return every(gctx, sweepEvery, func(ctx context.Context) {
			h.sweepPairings(ctx)
			h.sweepSessions(ctx)
		})
	})
	g.Go(func() error { return h.watchFolders(gctx, fsnotify.NewWatcher) })
	g.Go(func() error { return h.checkFilms(gctx) })
	g.Go(func() error { return h.protectFilms(gctx) })
	g.Go(func() error { return h.watchModule(gctx) })
	err := g.Wait()
	h.stopAll(context.WithoutCancel(ctx), StopShutdown)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// watchModule ends Run when the module's process is gone: the home server
// recovers by being started again, as after its own crash.
func (h *Home) watchModule(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if _, err := h.cfg.Module.Status(ctx); errors.Is(err, trem.ErrStream) {
			return fmt.Errorf("the secure player is gone: %w", err)
		}
	}
}

// every calls f at once and then at each interval, until ctx ends.
func every(ctx context.Context, interval time.Duration, f func(context.Context)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		f(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Status describes the house's trusted module.
func (h *Home) Status(ctx context.Context) (trem.Status, error) { return h.cfg.Module.Status(ctx) }

// Pairwise returns the house's ID towards one shop.
func (h *Home) Pairwise(ctx context.Context, issuer ident.Issuer) (ident.Domain, error) {
	return h.cfg.Module.Pairwise(ctx, issuer)
}

// Now is the host's clock, for pages; it decides no license.
func (h *Home) Now() time.Time { return h.cfg.Now() }

// learned is what Run last heard of the authority.
type learned struct {
	mu        sync.Mutex
	stateAt   time.Time
	timeAt    time.Time
	lastError string
}

// Health says when the house last heard from the authority.
type Health struct {
	StateAt time.Time `json:"state_at,omitzero"` // newest safety list given to the module
	TimeAt  time.Time `json:"time_at,omitzero"`  // newest time given to the module
	Problem string    `json:"problem,omitempty"` // of the last visit
}

// Health reports it.
func (h *Home) Health() Health {
	h.learned.mu.Lock()
	defer h.learned.mu.Unlock()
	return Health{StateAt: h.learned.stateAt, TimeAt: h.learned.timeAt, Problem: h.learned.lastError}
}

// learnOnce is Learn for Run: an authority that is away does not end it.
func (h *Home) learnOnce(ctx context.Context) { _ = h.Learn(ctx) } // noted in Health

// Learn reads what came with the films, and visits the authority now: time, then
// safety list, then the copies for devices. Run does it by itself. When it fails the module knows what it knew,
// and each license says how old that may be.
func (h *Home) Learn(ctx context.Context) error {
	h.LearnCarried(ctx)
	if h.cfg.Authority == nil {
		return fmt.Errorf("%w: none is configured", ErrAway)
	}
	timeErr := h.learnTime(ctx)
	stateErr := h.learnState(ctx)
	var relayErr error
	if h.cfg.Relay != nil {
		relayErr = h.cfg.Relay.Refresh(ctx)
	}
	err := errors.Join(timeErr, stateErr, relayErr)
	if ctx.Err() != nil {
		return err
	}
	now := h.cfg.Now()
	h.learned.mu.Lock()
	defer h.learned.mu.Unlock()
	if (h.learned.lastError == "") != (err == nil) {
		defer h.publish(Event{Kind: EventWaits})
	}
	if stateErr == nil {
		h.learned.stateAt = now
	}
	if timeErr == nil {
		h.learned.timeAt = now
	}
	h.learned.lastError = ""
	if err != nil {
		h.learned.lastError = err.Error()
		h.log.LogAttrs(ctx, slog.LevelWarn, "authority not heard", slog.Any("error", err))
	}
	return err
}

func (h *Home) learnState(ctx context.Context) error {
	if st, err := h.cfg.Module.Status(ctx); err == nil && st.Epoch > 0 {
		if err = h.learnSince(ctx, st.Epoch); err == nil {
			return nil
		}
		if e, ok := errors.AsType[*trem.Error](err); !ok || e.Code != trem.CodeRejected {
			return err
		}
	}
	return h.learnSince(ctx, 0) // also where a step does not lead to what the head says
}

func (h *Home) learnSince(ctx context.Context, epoch uint64) error {
	l, err := h.cfg.Authority.State(ctx, epoch)
	if err != nil {
		return fmt.Errorf("get the revocation state: %w", err)
	}
	if err := h.cfg.Module.Learn(ctx, l); err != nil {
		return fmt.Errorf("learn the revocation state: %w", err)
	}
	return nil
}

func (h *Home) learnTime(ctx context.Context) error {
	nonce, err := h.cfg.Module.Nonce(ctx)
	if err != nil {
		return fmt.Errorf("make a nonce: %w", err)
	}
	l, err := h.cfg.Authority.Time(ctx, nonce)
	if err != nil {
		return fmt.Errorf("get the time: %w", err)
	}
	if err := h.cfg.Module.Learn(ctx, l); err != nil {
		return fmt.Errorf("learn the time: %w", err)
	}
	return nil
}
