package issuer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Exchanger is the input TREM's side of SLTP; *trem.Client is one.
type Exchanger interface {
	Receive(ctx context.Context, m trem.SLTPMessage) (trem.Received, error)
	Prepare(ctx context.Context, t trem.Terms) (trem.Prepared, error)
	Release(ctx context.Context, handle uint64, sealed []byte) ([]trem.SLTPMessage, error)
	Refuse(ctx context.Context, handle uint64, code string, retryMS int64) ([]trem.SLTPMessage, error)
	Done(ctx context.Context, d trem.Done) ([]trem.SLTPMessage, error)
}

// Keeper is the input TREM as the holder of content keys; *trem.Client is one.
type Keeper interface {
	Status(ctx context.Context) (trem.Status, error)
	RegisterKeys(ctx context.Context, sealed []byte) (ident.Content, error)
}

// Clerk is the input TREM as the judge of what is shown to its host; *trem.Client
// is one.
type Clerk interface {
	Book(ctx context.Context, b trem.Book) (trem.Booked, error)
	CheckReturn(ctx context.Context, p trem.Proof) (trem.Return, error)
}

// TREM is what an issuer uses of its input TREM.
type TREM interface {
	Exchanger
	Keeper
	Clerk
	Registrar
}

// ErrNotReady is returned while the TREM knows no revocation epoch: a license
// made now could not say from which epoch on it may be accepted.
var ErrNotReady = errors.New("issuer: the TREM has not learned a revocation state yet")

// Config is what an issuer is made of.
type Config struct {
	TREM  TREM             // required
	Store Store            // required
	Now   func() time.Time // required: for records and expiry of grants; licenses are judged by TREMs
	Log   *slog.Logger     // default: none
	// Accepts says whether an account is one of a customer: households show theirs
	// before they are answered. Nil: nobody is asked.
	Accepts func(lrp.Account) bool
	// Prove is the TREM's proof of who answers a HELLO; needed with Accepts, because
	// households seal accounts to a key that the TREM has signed for.
	Prove lrp.Prover
	// ClaimKey derives and hashes claim codes; the zero key: there are none.
	ClaimKey ClaimKey
	// NoticeKey is who may announce the end of this service, as licenses name it
	// (license.NoticeKey); empty: licenses promise no sunset.
	NoticeKey []byte
}

// Issuer answers households for one input TREM. It is safe for concurrent use.
type Issuer struct {
	cfg      Config
	self     ident.Device
	id       ident.Issuer                      // that the TREM's certificate asserts
	in       atomic.Pointer[ident.Incarnation] // of its transfers
	endpoint *lrp.Endpoint
	guesses  guesses
	present  present
	unserved unserved
	once     sync.Once
	failed   chan struct{}
	cause    error // set before failed is closed
}

// New asks the TREM who it is and returns its issuer. It starts nothing: who serves
// calls Book first, and Tick from time to time.
func New(ctx context.Context, cfg Config) (*Issuer, error) {
	if cfg.TREM == nil || cfg.Store == nil || cfg.Now == nil {
		return nil, errors.New("issuer: TREM, Store and Now are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	st, err := cfg.TREM.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the TREM who it is: %w", err)
	}
	if st.Issuer == "" {
		return nil, errors.New("issuer: the TREM has no certificate of a license issuer")
	}
	i := &Issuer{cfg: cfg, self: st.Device, id: st.Issuer, failed: make(chan struct{})}
	door := lrp.EndpointConfig{Self: lrp.Addr(st.Device), Prove: cfg.Prove, Known: i.present.known}
	seen := &shown{accept: cfg.Accepts, now: cfg.Now}
	if cfg.Accepts != nil {
		if cfg.Prove == nil {
			return nil, errors.New("issuer: Accepts needs Prove")
		}
		if door.Auth, err = lrp.NewAuthKey(); err != nil {
			return nil, err
		}
		door.Account = seen.take
		door.Admits = func(src lrp.Addr, proven bool) bool { // who joined has shown a code, and only a member proves itself here
			return proven && i.present.known(src) || seen.admits(src)
		}
	}
	if i.endpoint, err = lrp.NewEndpoint(door); err != nil {
		return nil, err
	}
	i.in.Store(&st.Incarnation)
	return i, nil
}

// Device is the ID of the issuer's TREM: what households address.
func (i *Issuer) Device() ident.Device { return i.self }

// Failed is closed when the TREM broke: the process must stop serving, end with
// an error and be started again. The store says the same of itself.
func (i *Issuer) Failed() <-chan struct{} { return i.failed }

// Err returns what broke the TREM, or nil.
func (i *Issuer) Err() error {
	select {
	case <-i.failed:
		return i.cause
	default:
		return nil
	}
}

// watch notes errors after which the TREM is of no use.
func (i *Issuer) watch(err error) error {
	var e *trem.Error
	if errors.Is(err, trem.ErrStream) || errors.As(err, &e) && e.Code == trem.CodeBroken {
		i.once.Do(func() {
			i.cause = err
			close(i.failed)
		})
	}
	return err
}

// RegisterContent gives content keys, sealed to the TREM, to the TREM and
// notes that the content can be granted. A repetition changes nothing.
func (i *Issuer) RegisterContent(ctx context.Context, sealed []byte) (Content, error) {
	id, err := i.cfg.TREM.RegisterKeys(ctx, sealed)
	if err != nil {
		return Content{}, fmt.Errorf("register keys: %w", i.watch(err))
	}
	c := Content{ID: id, Digest: sha256.Sum256(sealed), At: i.cfg.Now().UnixMilli()}
	err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error { return tx.PutContent(ctx, c) })
	return c, err
}

// Grant records that a household may have licenses. It fills in what g leaves
// open: a random ID, one license, rental, and what a license will say. With an
// ID that is taken it returns the grant that stands, if that is the same, or ErrConflict.
func (i *Issuer) Grant(ctx context.Context, g Grant) (Grant, error) {
	if g.Domain == (ident.Domain{}) {
		return g, fmt.Errorf("%w: no household", ErrTerms)
	}
	if g.ID == (GrantID{}) {
		g.ID = NewGrantID()
	}
	if err := i.ready(ctx, &g); err != nil {
		return g, err
	}
	stands := g
	err := i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		stands = g
		if _, err := tx.Content(ctx, g.Content); err != nil {
			return fmt.Errorf("content %v: %w", g.Content, err)
		}
		fresh, err := tx.PutGrant(ctx, g)
		if err != nil || fresh {
			return err
		}
		stands, err = tx.Grant(ctx, GrantKey{g.Domain, g.ID})
		if err == nil && !stands.repeats(g) {
			err = fmt.Errorf("grant %v: %w", g.ID, ErrConflict)
		}
		return err
	})
	if err == nil {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "license granted", slog.Any("grant", g.ID), slog.Any("domain", g.Domain), slog.String("kind", string(g.Kind)))
	}
	return stands, err
}

// ready gives a grant the epoch that the TREM knows, and completes it.
func (i *Issuer) ready(ctx context.Context, g *Grant) error {
	st, err := i.cfg.TREM.Status(ctx)
	if err != nil {
		return fmt.Errorf("ask the TREM for its epoch: %w", i.watch(err))
	}
	if st.Epoch == 0 {
		return ErrNotReady
	}
	g.MinEpoch = st.Epoch
	return i.complete(g)
}

// repeats reports whether o asks for what g already is, whatever was issued since.
func (g *Grant) repeats(o Grant) bool {
	return g.Content == o.Content && g.Kind == o.Kind && g.Terms == o.Terms && g.Expires == o.Expires && fmt.Sprint(g.Tiers) == fmt.Sprint(o.Tiers)
}

// complete reads the terms and fills in what follows from them.
func (i *Issuer) complete(g *Grant) error {
	t, err := parseTerms(g.Terms)
	if err != nil {
		return err
	}
	said := kindOf(t.units)
	if g.Kind == "" {
		g.Kind = cmp.Or(said, Rental)
	}
	if g.Kind.charge() == 0 {
		return noKind(g.Kind)
	}
	if said != "" && said != g.Kind {
		return fmt.Errorf("%w: they say CHARGE=%s, which is no %s", ErrTerms, said.word(), g.Kind)
	}
	if g.Remaining == 0 {
		g.Remaining = 1
	}
	if g.Tiers == nil {
		g.Tiers = []uint64{}
	}
	now := i.cfg.Now().UnixMilli()
	if g.Expires != 0 && g.Expires <= now {
		return fmt.Errorf("%w: the grant expires before it begins", ErrTerms)
	}
	g.Created, g.Version, g.IssuedAt, g.Terms, g.Code = now, 1, now, t.text, t.code
	sunset, err := t.sunset(g.Kind, i.cfg.NoticeKey)
	if err != nil {
		return err
	}
	if g.Policy, err = encodePolicy(t.policy, sunset); err != nil {
		return err
	}
	info, err := g.info(i.id, ident.License{1}, 1, now)
	if err != nil {
		return err
	}
	return trial(info)
}

// Revoke ends a grant: nothing more is issued for it. What was issued stays.
func (i *Issuer) Revoke(ctx context.Context, key GrantKey) error {
	return i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error { return tx.RevokeGrant(ctx, key) })
}
