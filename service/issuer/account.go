package issuer

import (
	"bytes"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/caller"
)

// Limits of accounts. Source: local, docs/spec/lrp.md section 10.
const (
	// AccountLife is how long an address is served after it has shown an account.
	AccountLife = time.Hour
	// maxShown is how many addresses are remembered; a further one waits until one lapses.
	maxShown = 4096
)

// shown remembers which addresses have shown an account that is accepted, and who
// has shown wrong ones. It is in memory only: after a restart an account is asked
// for again.
type shown struct {
	accept func(lrp.Account) bool // nil: nobody is asked
	now    func() time.Time

	mu       sync.Mutex
	until    map[lrp.Addr]time.Time // guarded by mu
	networks backoff[netip.Prefix]  // guarded by mu
	names    backoff[[32]byte]      // guarded by mu; whether there is such an account or not
	usual    recent[usual]          // guarded by mu
}

// usual is where an account was accepted from: guesses that others make at its name
// do not keep its owner out there.
type usual struct {
	name [32]byte
	from netip.Prefix
}

// take judges an account that an address shows. It is looked at only where its
// network and its name are not made to wait, so that what is answered meanwhile says
// nothing of it, and in one turn, so that guesses made at once are counted.
func (s *shown) take(by lrp.Arrival, src lrp.Addr, a lrp.Account) error {
	now, from := s.now(), caller.Network(by.From)
	name, named := nameOf(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.networks.wait(from, now)
	if named && !s.usual.has(usual{name, from}) {
		wait = max(wait, s.names.wait(name, now))
	}
	if wait > 0 {
		return lrp.Later{After: wait}
	}
	if !s.accept(a) {
		s.networks.wrong(from, now)
		if named {
			s.names.wrong(name, now)
		}
		return lrp.ErrAccount
	}
	if named {
		s.usual.note(usual{name, from})
	}
	return s.admit(src, now)
}

// nameOf is the public part of a credential NAME:SECRET, of its kind. Source: as the
// user-id of RFC 7617, section 2, it ends at the first colon.
func nameOf(a lrp.Account) (sum [32]byte, ok bool) {
	name, _, ok := bytes.Cut(a.Credential, []byte{':'})
	return sha256.Sum256(append(append([]byte(a.Kind), 0), name...)), ok
}

// admit remembers an address whose account was accepted.
func (s *shown) admit(src lrp.Addr, now time.Time) error { // with mu
	for addr, until := range s.until {
		if !now.Before(until) {
			delete(s.until, addr)
		}
	}
	if _, again := s.until[src]; !again && len(s.until) >= maxShown {
		return lrp.ErrLater
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
