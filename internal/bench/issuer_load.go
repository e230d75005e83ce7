package bench

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// loadSetup is what the process that plays households is told first.
type loadSetup struct {
	Roots [][]byte    `json:"roots"`
	Homes []loadHome  `json:"homes"`
	Shops []*loadShop `json:"shops"`
}

// loadHome is a household: its module's key and certificates.
type loadHome struct {
	Key    []byte       `json:"key"` // PKCS #8
	Chain  [][]byte     `json:"chain"`
	Domain ident.Domain `json:"domain"`
}

// loadShop is an issuer, or what is held against it.
type loadShop struct {
	URL    string       `json:"url"`
	Device ident.Device `json:"device"`
	Token  string       `json:"token"`
	// Grants are those of each household that a renewal is about, and Status where
	// the status document of one of its licenses is, in the order of the homes.
	Grants []string `json:"grants"`
	Status []string `json:"status"`
}

// loadOrder is one turn.
type loadOrder struct {
	Do      string `json:"do"` // a name in household.loads
	Shop    int    `json:"shop"`
	Clients int    `json:"clients"`
	MS      int    `json:"ms"`                // how long, or
	Count   int    `json:"count"`             // how many in all
	Hostile string `json:"hostile,omitempty"` // a name in hostiles: who does that beside them
}

// loadResult is what came of it.
type loadResult struct {
	Done    int     `json:"done"`
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50"` // µs that a client waited
	P99     float64 `json:"p99"`
	CPU     float64 `json:"cpu"`   // s, of the clients
	Bytes   float64 `json:"bytes"` // both ways, with HTTP around them
	Again   int     `json:"again"` // asked again, since the answer was to wait
	Error   string  `json:"error,omitempty"`
}

// load is one household's one turn.
type load func(ctx context.Context, s *loadShop, n int) error

// loads are what a household does, by name.
func (h *household) loads() map[string]load {
	return map[string]load{
		"empty":     h.empty,
		"plain":     h.plain,
		"shared":    h.shared,
		"stateful":  h.issue,
		"receipt":   h.issueAndConfirm,
		"handshake": h.meetAndIssue,
		"stateless": h.repeat,
		"renewal":   h.renew,
		"status":    h.status,
	}
}

// benchGC is as an issuer has it, for the processes beside it: what they are measured
// by should not be their garbage. Source: local.
const benchGC = 400

// IssuerLoad is the process that plays households: it reads a loadSetup and then
// orders from in, one JSON value each, and writes a result for each to out.
func IssuerLoad(ctx context.Context, in io.Reader, out io.Writer) error {
	runtime.GOMAXPROCS(1) // it needs a third of a processor; more threads would only wake each other
	debug.SetGCPercent(benchGC)
	d := json.NewDecoder(bufio.NewReader(in))
	var setup loadSetup
	if err := d.Decode(&setup); err != nil {
		return fmt.Errorf("read the setup: %w", err)
	}
	homes, err := setup.households()
	if err != nil {
		return err
	}
	for {
		var o loadOrder
		if err := d.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read an order: %w", err)
		}
		res, err := o.run(ctx, homes, setup.Shops)
		if err != nil {
			res.Error = err.Error()
		}
		if err := json.NewEncoder(out).Encode(res); err != nil {
			return err
		}
	}
}

func (s *loadSetup) households() ([]*household, error) {
	trust, err := pki.NewTrustStore(s.Roots...)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * len(s.Homes), DisableCompression: true, DialContext: dialCounted}}
	out := make([]*household, len(s.Homes))
	for i, h := range s.Homes {
		key, err := x509.ParsePKCS8PrivateKey(h.Key)
		if err != nil {
			return nil, err
		}
		signer, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return nil, errors.New("a household's key is of another kind")
		}
		if out[i], err = newHousehold(i, signer, h, trust, &http.Client{Transport: &direct{}}); err != nil {
			return nil, err
		}
		out[i].crowd = client
	}
	return out, nil
}

// run lets the first households work side by side, each one thing after another.
func (o *loadOrder) run(ctx context.Context, homes []*household, shops []*loadShop) (loadResult, error) {
	if o.Clients > len(homes) || o.Shop >= len(shops) || homes[0].loads()[o.Do] == nil {
		return loadResult{}, fmt.Errorf("no such order: %+v", *o)
	}
	shop := shops[o.Shop]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := o.besides(ctx, homes[len(homes)-1], shop)
	defer stop()
	var mu sync.Mutex
	var took []float64
	var failed error
	again := 0
	begin := time.Now() //nolint:forbidigo // a client waits by the clock on the wall
	until := begin.Add(time.Duration(o.MS) * time.Millisecond)
	before, err := cpuTime()
	if err != nil {
		return loadResult{}, err
	}
	carried := wireBytes.Load()
	var wg sync.WaitGroup
	for i := range o.Clients {
		wg.Go(func() {
			mine := make([]float64, 0, 1024)
			h := homes[i]
			h.again = 0
			do := h.loads()[o.Do]
			var err error
			for n := 0; err == nil && ctx.Err() == nil && o.more(n, until); n++ {
				from := time.Now() //nolint:forbidigo // as above
				err = do(ctx, shop, n)
				mine = append(mine, float64(time.Since(from).Nanoseconds())/1e3) //nolint:forbidigo // as above
			}
			mu.Lock()
			defer mu.Unlock()
			took, again = append(took, mine...), again+h.again
			if err != nil && failed == nil {
				failed = fmt.Errorf("%s of client %d: %w", o.Do, i, err)
				cancel()
			}
		})
	}
	wg.Wait()
	wall := time.Since(begin) //nolint:forbidigo // as above
	after, err := cpuTime()
	if err := errors.Join(err, failed); err != nil || len(took) == 0 {
		return loadResult{}, errors.Join(err, ctx.Err())
	}
	slices.Sort(took)
	return loadResult{
		Done: len(took), Seconds: wall.Seconds(), P50: took[len(took)/2], P99: took[len(took)*99/100], CPU: (after - before).Seconds(), Again: again,
		Bytes: float64(wireBytes.Load() - carried),
	}, nil
}

// more reports whether a client goes on after n turns.
func (o *loadOrder) more(n int, until time.Time) bool {
	if o.Count > 0 {
		return n < (o.Count+o.Clients-1)/o.Clients
	}
	return n == 0 || time.Now().Before(until) //nolint:forbidigo // as above
}

// wireBytes are those of all connections of this process so far.
var wireBytes atomic.Int64

// counted is a connection whose bytes are counted.
type counted struct{ net.Conn }

func dialCounted(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	return counted{c}, err
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	wireBytes.Add(int64(n))
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	wireBytes.Add(int64(n))
	return n, err
}
