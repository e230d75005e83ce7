package issuer

import (
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// Limits of accounts. Source: local, docs/spec/lrp.md section 10.
const (
	// AccountLife is how long an address is served after it has shown an account.
	AccountLife = time.Hour
	// maxShown is how many addresses are remembered; a further one waits until one lapses.
	maxShown = 4096
)

// shown remembers which addresses have shown an account that is accepted. It is in
// memory only: after a restart an account is asked for again.
type shown struct {
	accept func(lrp.Account) bool // nil: nobody is asked
	now    func() time.Time

	mu    sync.Mutex
	until map[lrp.Addr]time.Time // guarded by mu
}

// take judges an account that an address shows.
func (s *shown) take(src lrp.Addr, a lrp.Account) error {
	if !s.accept(a) {
		return lrp.ErrAccount
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for addr, until := range s.until {
		if !now.Before(until) {
			delete(s.until, addr)
		}
	}
	if _, again := s.until[src]; !again && len(s.until) >= maxShown {
		return lrp.ErrAccount
	}
	if s.until == nil {
		s.until = map[lrp.Addr]time.Time{}
	}
	s.until[src] = now.Add(AccountLife)
	return nil
}

// admits reports whether an address may ask.
func (s *shown) admits(src lrp.Addr) bool {
	if s.accept == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().Before(s.until[src])
}
