package pki

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

// Cache remembers whose signatures held. A party that is met again costs no
// signature check and no parsing: two thirds of an exchange. A party that is new,
// under CAs that were met before, costs the one check of its own certificate.
//
// A chain is found by the SHA-256 of its certificates, the CAs of a chain by the
// SHA-256 of theirs, under the trust store that they were checked under. Only what
// cannot change is remembered: validity and revocation of every certificate are
// judged at every Verify, as without a Cache. Chains are forgotten when the
// revocation epoch changes, because a Peer says at which epoch it stood.
//
// Only chains that were accepted come in, and CAs have room of their own: many
// devices cannot crowd out the few CAs above them. Verifiers with the same Trust
// and Status may share one.
type Cache struct {
	mu    sync.Mutex
	trust *TrustStore
	epoch Epoch
	paths recent[*Peer]
	cas   recent[[]*cert] // what stands above a leaf, root last
	last  lastCAs
}

// lastCAs spares to hash the same CAs again, when one device of a class comes after
// another.
type lastCAs struct {
	chain [][]byte // nobody writes to it
	sum   digest
}

// digest is SHA-256 over the SHA-256 of certificates.
type digest [sha256.Size]byte

// defaultCache is how many chains a Cache remembers when not told. Source: local.
const defaultCache = 1024

// maxCachedCAs is of how many CAs a Cache remembers the way to the root: about
// 10 kB each. Source: local.
const maxCachedCAs = 128

// NewCache makes an empty Cache for at most limit chains; 0 means 1,024.
func NewCache(limit int) *Cache {
	if limit <= 0 {
		limit = defaultCache
	}
	return &Cache{paths: newRecent[*Peer](limit), cas: newRecent[[]*cert](maxCachedCAs)}
}

// digests hashes a chain: what stands above the leaf, and all of it with the kind
// of key asked for. Each is the hash of the hashes of the certificates.
func (c *Cache) digests(chain [][]byte, kind KeyKind) (cas, all digest) {
	var buf [1 + MaxChain*sha256.Size]byte
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	if cas = last.sum; !slices.EqualFunc(chain[1:], last.chain, bytes.Equal) || last.chain == nil {
		b := buf[:0]
		for _, der := range chain[1:] {
			sum := sha256.Sum256(der)
			b = append(b, sum[:]...)
		}
		cas = sha256.Sum256(b)
	}
	leaf := sha256.Sum256(chain[0])
	return cas, sha256.Sum256(append(append(append(buf[:0], byte(kind)), leaf[:]...), cas[:]...))
}

// at forgets what is not of this trust store and epoch.
func (c *Cache) at(v *Verifier) {
	if c.trust != v.Trust {
		c.cas.clear()
	}
	if epoch := v.epoch(); c.trust != v.Trust || c.epoch != epoch {
		c.paths.clear()
		c.trust, c.epoch = v.Trust, epoch
	}
}

// find returns a party whose chain's signatures held, or nil.
func (c *Cache) find(v *Verifier, key digest) *Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at(v)
	return c.paths.find(key)
}

// issuers returns CAs whose signatures held, root last, or nil.
func (c *Cache) issuers(v *Verifier, key digest) []*cert {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at(v)
	return c.cas.find(key)
}

// add remembers a party that was accepted, and the CAs above it. CAs that
// constrain names are not remembered: those names are for crypto/x509 to judge, which
// sees whole chains only. Nor is a root alone: which root it is, the leaf says.
func (c *Cache) add(v *Verifier, chain, cas digest, peer *Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at(v)
	c.paths.add(chain, peer)
	c.last = lastCAs{peer.chain[1:], cas}
	if above := peer.path[1:]; len(above) > 1 && !slices.ContainsFunc(above, (*cert).constrainsNames) {
		c.cas.add(cas, above)
	}
}

// again judges a remembered path at another time and against the revocation
// state of now: what can have changed since its signatures held.
func (v *Verifier) again(path []*cert, now time.Time) error {
	for _, c := range path {
		if err := c.checkTime(now); err != nil {
			return err
		}
	}
	return v.checkStatus(path)
}

// Len is how many chains are held.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.paths.held)
}

// CAs is of how many CAs the way to the root is held.
func (c *Cache) CAs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.cas.held)
}

// recent holds a limited number of things, those used last.
type recent[T any] struct {
	held  map[digest]*used[T]
	max   int
	clock uint64
}

type used[T any] struct {
	what T // nobody changes it
	when uint64
}

func newRecent[T any](limit int) recent[T] { return recent[T]{held: map[digest]*used[T]{}, max: limit} }

func (r *recent[T]) clear() { clear(r.held) }

// find is what is held under a digest, or the zero T.
func (r *recent[T]) find(key digest) (what T) {
	if u := r.held[key]; u != nil {
		r.clock++
		u.when = r.clock
		what = u.what
	}
	return what
}

// add holds something in the place of what was not used for longest.
func (r *recent[T]) add(key digest, what T) {
	r.clock++
	if u := r.held[key]; u != nil {
		u.when = r.clock
		return
	}
	for len(r.held) >= r.max {
		var oldest digest
		var least *used[T]
		for k, u := range r.held {
			if least == nil || u.when < least.when {
				oldest, least = k, u
			}
		}
		delete(r.held, oldest)
	}
	r.held[key] = &used[T]{what, r.clock}
}
