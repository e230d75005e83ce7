package issuer

import "time"

// Now is the issuer's clock.
func (i *Issuer) Now() func() time.Time { return i.cfg.Now }

// CodeOf is the code of a place in a batch.
func CodeOf(k ClaimKey, batch BatchID, index uint64) ClaimCode { return k.code(batch, index) }

// HashOf is what the store knows a code by, and GrantOf what it becomes.
func HashOf(k ClaimKey, c ClaimCode) CodeHash { return k.hash(c) }

// GrantOf is the ID of the grant that a code becomes.
func GrantOf(h CodeHash) GrantID { return h.grantID() }

// Guessers is how many sources of wrong codes are remembered.
func Guessers(i *Issuer) int { return len(i.guesses.free.by) }

// Backoff is backoff by numbers.
type Backoff struct{ b backoff[int] }

func (b *Backoff) Wrong(k int, now time.Time)              { b.b.wrong(k, now) }
func (b *Backoff) Wait(k int, now time.Time) time.Duration { return b.b.wait(k, now) }
func (b *Backoff) Len() int                                { return len(b.b.waiters.by) }

// Steps is how many comparisons it has made.
func (b *Backoff) Steps() int { return b.b.waiters.first.steps }
