package pki

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// Cache remembers chains whose signatures held, so that a party that is met
// again costs no signature check and no parsing: two thirds of an exchange. A
// chain is found by the SHA-256 of its certificates; all are forgotten when the
// revocation epoch changes. Validity and revocation are judged at every Verify,
// as without a Cache. Verifiers with the same Trust and Status may share one.
type Cache struct {
	mu    sync.Mutex
	max   int
	trust *TrustStore
	epoch Epoch
	paths map[pathKey]*held
	clock uint64
}

type pathKey [sha256.Size]byte

type held struct {
	peer *Peer // nobody changes it
	used uint64
}

// defaultCache is how many chains a Cache remembers when not told. Source: local.
const defaultCache = 1024

// NewCache makes an empty Cache for at most limit chains; 0 means 1,024.
func NewCache(limit int) *Cache {
	if limit <= 0 {
		limit = defaultCache
	}
	return &Cache{max: limit, paths: map[pathKey]*held{}}
}

// keyOf hashes the certificates with their lengths and the kind of key asked for.
func keyOf(chain [][]byte, kind KeyKind) pathKey {
	h := sha256.New()
	buf := make([]byte, 1, sha256.Size)
	buf[0] = byte(kind)
	h.Write(buf)
	for _, der := range chain {
		h.Write(binary.BigEndian.AppendUint32(buf[:0], uint32(len(der)))) //nolint:gosec // at most MaxCert is ever found
		h.Write(der)
	}
	return pathKey(h.Sum(buf[:0]))
}

// at forgets everything when trust or epoch are not those of what is held.
func (c *Cache) at(v *Verifier) {
	if epoch := v.epoch(); c.trust != v.Trust || c.epoch != epoch {
		clear(c.paths)
		c.trust, c.epoch = v.Trust, epoch
	}
}

// find returns a party whose chain's signatures held, or nil.
func (c *Cache) find(v *Verifier, key pathKey) *Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at(v)
	h := c.paths[key]
	if h == nil {
		return nil
	}
	c.clock++
	h.used = c.clock
	return h.peer
}

// add remembers a party in the place of the one not used for longest.
func (c *Cache) add(v *Verifier, key pathKey, peer *Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at(v)
	for len(c.paths) >= c.max {
		var oldest pathKey
		var least *held
		for k, h := range c.paths {
			if least == nil || h.used < least.used {
				oldest, least = k, h
			}
		}
		delete(c.paths, oldest)
	}
	c.clock++
	c.paths[key] = &held{peer: peer, used: c.clock}
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
	return len(c.paths)
}
