package issuerapi

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"sync"

	"github.com/lares-drm/lares/internal/caller"
)

// Limits of what is served at once. Source: local, docs/spec/issuer-api.md section 9.
const (
	maxServed     = 512 // requests in all
	maxServedFrom = 16  // of one network, other than this machine
	laterSeconds  = 2   // after which who was turned away comes again, and up to as many more by chance
)

// gate lets so many requests in at once that those in work are done in time, and
// so many of one network that it leaves room for the others. The zero value is ready.
type gate struct {
	mu   sync.Mutex
	all  int                  // guarded by mu
	from map[netip.Prefix]int // guarded by mu: never more than all entries
}

// enter reports whether a request may go in; then leave must follow.
func (g *gate) enter(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := caller.Network(a)
	if g.all >= maxServed || !a.IsLoopback() && g.from[p] >= maxServedFrom {
		return false
	}
	if g.from == nil {
		g.from = map[netip.Prefix]int{}
	}
	g.all++
	g.from[p]++
	return true
}

func (g *gate) leave(a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := caller.Network(a)
	g.all--
	if g.from[p]--; g.from[p] == 0 {
		delete(g.from, p)
	}
}

// guard turns away who finds the gate closed, before the body is read.
func (g *gate) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := caller.Of(r)
		if !g.enter(a) {
			w.Header().Set("Retry-After", soon())
			writeProblem(w, newProblem(http.StatusServiceUnavailable, "busy", "too many requests at once; come again"))
			return
		}
		defer g.leave(a)
		next.ServeHTTP(w, r)
	})
}

// soon is after how many seconds to come again, not to all the same.
func soon() string {
	return strconv.Itoa(laterSeconds + rand.IntN(laterSeconds+1)) //nolint:gosec // a pause is no secret
}
