package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/store/storebench"
	"github.com/lares-drm/lares/internal/store/storetest"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// diskEnv lists system calls that fail in a process of a machine from SIGUSR1 on.
const diskEnv = "LARES_TEST_DISK"

func armDisk(calls string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	go func() {
		<-c
		if err := storetest.FailCalls(calls); err != nil {
			fmt.Fprintln(os.Stderr, "the disk does not fail:", err)
		}
	}()
}

// besieged is a shop that people buy at and fetch from, whatever becomes of it. Who
// gets no answer asks again, as they would.
type besieged struct {
	*shopTest
	*machine
	token string

	mu      sync.Mutex
	orders  map[string]issuer.GrantID // guarded by mu; acknowledged in this siege, by their keys
	bought  int                       // orders of the sieges before
	fetched int                       // guarded by mu; requests that ended with a license
}

const besiegedLicenses = 10_000

// order is an order of the operator's, said until it is acknowledged.
func (b *besieged) order(ctx context.Context, key string, licenses uint64) (id issuer.GrantID, err error) {
	body, err := json.Marshal(map[string]any{"domain": b.domain, "content": testFilm, "kind": "rental", "terms": "PLAY; PLAY_COUNT=2; INTERVAL=48h; MIN_ANCHOR=0", "licenses": licenses})
	if err != nil {
		return id, err
	}
	for {
		ok, err := b.ordered(ctx, key, body, &id)
		if ok || err != nil {
			return id, err
		}
		select {
		case <-ctx.Done():
			return id, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ordered says an order once. An answer that says no is an error; none, or one that
// says to come again, is not.
func (b *besieged) ordered(ctx context.Context, key string, body []byte, id *issuer.GrantID) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/api/v1/grants", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, nil //nolint:nilerr // it is away
	}
	defer res.Body.Close() //nolint:errcheck // read below
	var g struct {
		ID issuer.GrantID `json:"id"`
	}
	if res.StatusCode >= 500 {
		return false, nil
	}
	if err := json.NewDecoder(res.Body).Decode(&g); err != nil {
		return false, nil //nolint:nilerr // it broke off
	}
	if *id = g.ID; res.StatusCode != http.StatusOK {
		err = fmt.Errorf("order %s: HTTP status %d", key, res.StatusCode)
	}
	return err == nil, err
}

// siege buys and fetches while the faults happen, and until everything that was begun
// has ended; then it counts.
func (b *besieged) siege(name string, faults ...func() error) {
	b.shopTest.t.Helper()
	t := b.shopTest.t
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	over := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				key := fmt.Sprintf("%s %d %d", name, worker, i)
				id, err := b.order(ctx, key, 1)
				if err != nil {
					t.Errorf("%s: order: %v", name, err)
					return
				}
				b.mu.Lock()
				b.orders[key] = id
				b.mu.Unlock()
				time.Sleep(5 * time.Millisecond) // there is more to be seen than orders
			}
		})
	}
	wg.Go(func() { b.fetchAll(ctx, over) })
	for i, fault := range faults {
		time.Sleep(150 * time.Millisecond)
		if err := fault(); err != nil {
			t.Errorf("%s: fault %d: %v", name, i, err)
		}
	}
	time.Sleep(150 * time.Millisecond)
	close(over)
	wg.Wait()
	b.conserved(ctx, name)
}

// fetchAll gets license after license, each under one request until it is closed.
func (b *besieged) fetchAll(ctx context.Context, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		default:
		}
		for req := ident.NewRequest(); ; {
			got, _ := b.fetch(req, &lrphttp.Client{URL: b.url})
			if strings.Contains(kinds(got), "closed") {
				b.mu.Lock()
				b.fetched++
				b.mu.Unlock()
				break
			}
			select {
			case <-ctx.Done():
				b.shopTest.t.Errorf("a license was not to be had: %s", kinds(got))
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// conserved wants that what was acknowledged is there, once, and that said again it is
// answered as before.
func (b *besieged) conserved(ctx context.Context, name string) {
	t := b.shopTest.t
	t.Helper()
	if len(b.orders) < 4 || b.fetched == 0 {
		t.Errorf("%s: %d orders and %d licenses only", name, len(b.orders), b.fetched)
	}
	seen := map[issuer.GrantID]bool{}
	for key, id := range b.orders {
		again, err := b.order(ctx, key, 1)
		if err != nil || again != id {
			t.Errorf("%s: order %s was %v, and is %v, %v", name, key, id, again, err)
		}
		seen[id] = true
	}
	if len(seen) != len(b.orders) {
		t.Errorf("%s: %d grants for %d orders", name, len(seen), len(b.orders))
	}
	b.bought += len(b.orders)
	all, left := b.grants(ctx)
	if all != b.bought+1 {
		t.Errorf("%s: %d grants are there for %d orders and the house's", name, all, b.bought)
	}
	rows := b.licenses()
	for _, l := range rows {
		if l.State != issuer.Delivered {
			t.Errorf("%s: license %v is %s", name, l.ID, l.State)
		}
	}
	if bought := besiegedLicenses + b.bought; len(rows) != b.fetched || left+len(rows) != bought {
		t.Errorf("%s: %d licenses for %d requests, %d of %d are left", name, len(rows), b.fetched, left, bought)
	}
	t.Logf("%s: %d orders, %d licenses in all", name, len(b.orders), b.fetched)
	clear(b.orders)
}

// grants is how many grants the shop has, and how many licenses are left in them.
func (b *besieged) grants(ctx context.Context) (n, left int) {
	b.shopTest.t.Helper()
	var list struct {
		Grants []struct {
			Remaining int `json:"remaining"`
		} `json:"grants"`
	}
	b.ok(b.shopTest.query(ctx, &list, "issuer", "grants", "--dir", b.shopTest.path("shop")))
	for _, g := range list.Grants {
		left += g.Remaining
	}
	return len(list.Grants), left
}

// killed ends the shop with kill -9 and starts it again.
func (b *besieged) killed() error {
	return errors.Join(b.machine.kill("shop"), b.machine.again("shop"))
}

// diskFails has the shop's system calls fail, and wants that it ends by itself, with an
// error, and goes on when its supervisor starts it again.
func (b *besieged) diskFails() error {
	b.machine.mu.Lock()
	p := b.machine.procs["shop"]
	b.machine.mu.Unlock()
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(startGrace):
		return errors.New("its disk fails, and it goes on")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != statusError {
		return fmt.Errorf("its disk failed, and it ended with status %d", code)
	}
	return b.machine.again("shop")
}

// with serves the shop from now on with a disk that can fail so.
func (b *besieged) with(calls ...uint32) func() error {
	return func() error {
		b.shopTest.t.Setenv(diskEnv, strings.Trim(fmt.Sprint(calls), "[]"))
		return b.killed()
	}
}

// jump sets the clock of the shop's machine.
func (b *besieged) jump(d time.Duration) func() error {
	return func() error {
		b.set(atOffset, d.Milliseconds())
		return nil
	}
}

// serve has the shop's machine serve it, with more of its flags, and the house buy
// many licenses.
func (b *besieged) serveShop(name string, more ...string) {
	b.shopTest.t.Helper()
	args := append([]string{"issuer", "serve", "--dir", b.shopTest.path("shop"), "--listen", strings.TrimPrefix(b.url, "http://")}, more...)
	_, err := b.machine.serve("shop", args...)
	b.ok(err)
	b.shopTest.do("issuer", "content", "add", "--dir", b.shopTest.path("shop"), "--keys", b.shopTest.path("keys.lkd"))
	b.orders, b.bought, b.fetched = map[string]issuer.GrantID{}, 0, 0
	_, err = b.order(b.shopTest.t.Context(), "the house's, "+name, besiegedLicenses)
	b.ok(err)
}

// A whole issuer, killed, its clock set, its disk failing, its database killed, frozen
// and cut off between COMMIT and its answer, while people buy and fetch: what was
// acknowledged is stored, once; counts are conserved; answers are the same again.
func TestFault_AShopUnderSiege(t *testing.T) {
	s := newShopTest(t)
	s.ok(s.stop("shop"))
	b := &besieged{shopTest: s, machine: newMachine(t, s.house, "shop"), token: s.secret(issuerToken)}
	t.Cleanup(func() {
		if err := b.machine.stop("shop"); err != nil {
			t.Error(err)
		}
	})
	b.serveShop("sqlite")
	b.siege("sqlite, killed", b.killed, b.killed, b.killed)
	b.siege("sqlite, clock set", b.jump(90*time.Minute), b.jump(-90*time.Minute), b.jump(0))
	b.siege("sqlite, fsync EIO", b.with(unix.SYS_FSYNC, unix.SYS_FDATASYNC), b.diskFails)
	b.siege("sqlite, disk full", b.with(unix.SYS_PWRITE64), b.diskFails)
	b.whole()
	s.ok(b.machine.stop("shop"))

	c, err := storebench.StartCluster(t.Context())
	if errors.Is(err, storebench.ErrNoPostgres) {
		needs.NotRun(t, err.Error())
	}
	s.ok(err)
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s.ok(c.Create(t.Context(), "shop"))
	n := storetest.NewNetwork(t, c.Dir)
	dsn := s.path("dsn")
	s.ok(os.WriteFile(dsn, []byte("host="+n.Dir+" user=lares dbname=shop"), 0o600))
	s.do("issuer", "db", "accept-setback", "--lose", "--dir", s.path("shop"), "--postgres", dsn) // the module has served another database
	b.serveShop("postgres", "--postgres", dsn)
	cut := func() error { n.Cut(4); return nil }
	b.siege("postgres, killed", b.killed, b.killed)
	b.siege("postgres, server killed", func() error { return serverKilled(t.Context(), c) })
	b.siege("postgres, cut at COMMIT", cut, cut, cut)
	b.siege("postgres, frozen", func() error { n.Freeze(true); return nil }, func() error { time.Sleep(time.Second); n.Freeze(false); return nil })
	b.whole("--postgres", dsn)
}

// serverKilled ends every process of a PostgreSQL server with kill -9, and starts it.
func serverKilled(ctx context.Context, c *storebench.Cluster) error {
	pid, err := c.PID()
	if err != nil {
		return err
	}
	if err := killTree(pid); err != nil {
		return err
	}
	for try := 0; ; try++ { // what was killed may still be on its way out
		if err = c.Start(ctx); err == nil || try == 20 {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// whole wants that the database is whole.
func (b *besieged) whole(more ...string) {
	b.shopTest.t.Helper()
	if out := b.shopTest.do(append([]string{"issuer", "db", "check", "--dir", b.shopTest.path("shop")}, more...)...); !strings.HasPrefix(out, "The database is whole") {
		b.shopTest.t.Error(out)
	}
}
