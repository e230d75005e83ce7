package httpd

import (
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/lares-drm/lares/internal/caller"
)

// What one network may try. Source: local, docs/spec/pairing.md and home-api.md.
const (
	pairTries  = 3               // pairings at once; five within the life of one leave room for others
	pairEvery  = 5 * time.Minute // one more
	signTries  = 10              // wrong tokens at once
	signEvery  = 30 * time.Second
	maxNetwork = 1024 // networks that are remembered
)

// throttle bounds how often each network tries something: so often at once, and then
// once more after each while.
type throttle struct {
	most  int           // tries at once
	every time.Duration // after which there is one more

	mu    sync.Mutex
	until map[netip.Prefix]time.Time // guarded by mu; when all that a network tried is forgiven
}

func newThrottle(most int, every time.Duration) *throttle {
	return &throttle{most: most, every: every, until: map[netip.Prefix]time.Time{}}
}

// network is whom an address belongs to, as far as that can be told: an address of
// IPv4, and of IPv6 what one host may choose its addresses from.
func network(r *http.Request) netip.Prefix {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	return caller.Network(peer.Addr())
}

// wait is how long a network has to wait before it may try again; 0: not at all.
func (t *throttle) wait(of netip.Prefix, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, known := t.until[of]
	if !known && len(t.until) >= maxNetwork {
		t.forgive(now)
		if len(t.until) >= maxNetwork {
			return t.every
		}
	}
	if !end.After(now) {
		return 0
	}
	return max(0, end.Sub(now)-time.Duration(t.most-1)*t.every)
}

// tried notes one try.
func (t *throttle) tried(by netip.Prefix, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.until[by]
	if end.Before(now) {
		end = now
	}
	t.until[by] = end.Add(t.every)
}

// forgive forgets networks that have nothing left to be forgiven.
func (t *throttle) forgive(now time.Time) {
	for n, end := range t.until {
		if !end.After(now) {
			delete(t.until, n)
		}
	}
}

// retryAfter says when it is worth trying again.
func retryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int((d+time.Second-1)/time.Second)))
}
