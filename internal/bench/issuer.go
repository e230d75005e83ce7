package bench

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/store/storebench"
	"github.com/lares-drm/lares/security/pki"
)

// The stores that an issuer is measured on.
const (
	sqliteStore   = "sqlite"
	postgresStore = "postgres"
)

// Bars of the issuer, on two cores that it shares with its clients. Source: local
// (docs/performance.md).
const (
	minShare     = 0.70 // of the ceiling, at crowdOf clients
	minStateful  = 2000 // licenses a second, at crowdOf clients
	minStateless = 4000
	maxP99       = 60  // ms, at crowdOf clients
	maxAged      = 1.3 // times the wait of an empty database
	maxGrowth    = 16  // MB, of service and module together
)

// crowdOf is how many clients the bars are about.
const crowdOf = 64

const unitPerSecond = "a second"

func issuerBench() Bench {
	return Bench{
		Name: "issuer", Short: "Issue licenses: rate, wait, CPU, memory and age of a license service", Run: runIssuer,
		Stores: []string{sqliteStore, postgresStore},
	}
}

// issuerScale is how much is measured.
type issuerScale struct {
	clients []int
	rounds  int
	turn    int // ms
	long    int // licenses of the long run
	aged    int // licenses that the old database begins with
	flushes int
}

func scaleOf(cfg Config) issuerScale {
	switch {
	case cfg.Quick:
		return issuerScale{clients: []int{1, 2}, rounds: 1, turn: 60, long: 200, aged: 1000, flushes: 5}
	case cfg.Full:
		return issuerScale{clients: []int{1, 16, crowdOf, 256}, rounds: 9, turn: 2000, long: 1_000_000, aged: 10_000_000, flushes: 1001}
	}
	return issuerScale{clients: []int{1, 16, crowdOf, 256}, rounds: 3, turn: 500, long: 100_000, aged: 1_000_000, flushes: 201}
}

// short is enough for what is computed from it: one number of clients, no old database.
func (s issuerScale) short() issuerScale {
	s.clients, s.aged, s.long = []int{s.crowd()}, 10, min(s.long, 20_000)
	return s
}

// crowd is the number of clients that the bars are about, or the most there are.
func (s issuerScale) crowd() int { return min(crowdOf, s.clients[len(s.clients)-1]) }

// issuerRun is a bench that is under way.
type issuerRun struct {
	cfg     Config
	scale   issuerScale
	dir     string
	domain  *shopDomain
	homes   []*household
	cluster *storebench.Cluster // nil on SQLite
	shops   []*shop             // the new one, and one whose database is old
	ceiling *served
	player  *player
}

// Places among what the player knows: the shops, then the ceiling.
const (
	newShopAt = iota
	oldShopAt
	ceilingAt
)

func runIssuer(ctx context.Context, cfg Config) (rows []Row, err error) {
	return measureIssuer(ctx, cfg, scaleOf(cfg), func(r *issuerRun) []func(context.Context) ([]Row, error) {
		return []func(context.Context) ([]Row, error){r.flush, r.speed, r.hostile, r.age, r.memory}
	})
}

// measureIssuer starts what is measured and takes the rows of parts of it.
func measureIssuer(ctx context.Context, cfg Config, scale issuerScale, parts func(*issuerRun) []func(context.Context) ([]Row, error)) (rows []Row, err error) {
	need := takesOf(scale, cfg.Store)
	if cfg.Say != nil {
		if err := need.say(cfg.Say); err != nil {
			return nil, err
		}
	}
	if err := need.met(freeSpace); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(".", "lares-bench-*") // a disk, where the folder for temporary files may be memory
	if err != nil {
		return nil, fmt.Errorf("folder of the bench: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is named after the bench
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &issuerRun{cfg: cfg, scale: scale, dir: dir}
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	for _, part := range parts(r) {
		more, err := part(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// open starts everything that is measured.
func (r *issuerRun) open(ctx context.Context) (err error) {
	now := time.Now().Add(-time.Hour) //nolint:forbidigo // certificates of this run
	if r.domain, err = newShopDomain(now); err != nil {
		return fmt.Errorf("make trust domain: %w", err)
	}
	setup := loadSetup{Roots: [][]byte{r.domain.root.Root}}
	if setup.Homes, r.homes, err = r.domain.households(slices.Max(r.scale.clients)); err != nil {
		return err
	}
	if r.cfg.Store == postgresStore {
		if r.cluster, err = storebench.StartCluster(ctx); err != nil {
			return err
		}
	}
	for i, name := range []string{"new", "old"} {
		s, err := r.newShop(ctx, name)
		if err != nil {
			return err
		}
		r.shops = append(r.shops, s)
		if err := s.open(ctx); err != nil {
			return err
		}
		if i == oldShopAt {
			if err := r.grow(ctx, s); err != nil {
				return err
			}
		}
		if err := s.stock(ctx, r.homes); err != nil {
			return fmt.Errorf("stock the %s shop: %w", name, err)
		}
		setup.Shops = append(setup.Shops, &s.loadShop)
	}
	args := []string{"bench", "issuer-ceiling", cmp.Or(r.cfg.Store, sqliteStore)}
	for _, name := range []string{"plain", "shared"} {
		where, err := r.database(ctx, name)
		if err != nil {
			return err
		}
		args = append(args, cmp.Or(where, filepath.Join(r.dir, name+".db")))
	}
	if r.ceiling, err = serveProgram(ctx, filepath.Join(r.dir, "ceiling.log"), r.cfg.Program, args...); err != nil {
		return err
	}
	setup.Shops = append(setup.Shops, &loadShop{URL: r.ceiling.url})
	r.player, err = newPlayer(ctx, r.cfg.Program, setup)
	return err
}

func (r *issuerRun) newShop(ctx context.Context, name string) (*shop, error) {
	dir := filepath.Join(r.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	dsn, err := r.database(ctx, name)
	if err != nil {
		return nil, err
	}
	return newShop(ctx, r.cfg, r.domain, dir, dsn)
}

// database makes an empty database on the server and returns its connection
// string; empty without a server.
func (r *issuerRun) database(ctx context.Context, name string) (string, error) {
	if r.cluster == nil {
		return "", nil
	}
	return r.cluster.DSN("shop_" + name), r.cluster.Create(ctx, "shop_"+name)
}

// grow gives a shop that has made its tables many licenses.
func (r *issuerRun) grow(ctx context.Context, s *shop) error {
	if err := s.served.stop(); err != nil {
		return err
	}
	var err error
	if s.postgres != "" {
		err = storebench.FillPostgres(ctx, s.postgres, r.scale.aged)
	} else {
		err = storebench.FillSQLite(ctx, filepath.Join(s.dir, "issuer.db"), r.scale.aged)
	}
	if err != nil {
		return err
	}
	return s.open(ctx)
}

// close ends what was started, in the other order.
func (r *issuerRun) close(ctx context.Context) error {
	var errs []error
	if r.player != nil {
		errs = append(errs, r.player.stop())
	}
	for _, s := range r.shops {
		if s.served != nil {
			errs = append(errs, s.served.stop())
		}
	}
	if r.ceiling != nil {
		errs = append(errs, r.ceiling.stop())
	}
	if r.cluster != nil {
		errs = append(errs, r.cluster.Stop(context.WithoutCancel(ctx)))
	}
	return errors.Join(errs...)
}

// households certifies n home servers, for the player and for the bench itself.
func (d *shopDomain) households(n int) (told []loadHome, own []*household, err error) {
	for i := range n {
		p, err := d.party(pki.HomeServer, nil)
		if err != nil {
			return nil, nil, err
		}
		h := loadHome{Chain: p.chain}
		rand.Read(h.Domain[:]) // never returns an error
		if h.Key, err = x509.MarshalPKCS8PrivateKey(p.key); err != nil {
			return nil, nil, err
		}
		one, err := newHousehold(i, p.key, h, d.trust, http.DefaultClient)
		if err != nil {
			return nil, nil, err
		}
		told, own = append(told, h), append(own, one)
	}
	return told, own, nil
}
