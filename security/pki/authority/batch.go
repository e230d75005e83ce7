package authority

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

// MaxBatch is how many parties are certified together at most: so many more
// indexes may be lost in a crash. Source: local.
const MaxBatch = 4096

// Batch is parties of one class that get their certificates together, and
// become durable together: for a factory.
type Batch struct {
	a       *Authority
	ca      *pki.Authority
	profile pki.Profile
	verify  pki.Verifier
	now     time.Time
	entries []Entry
}

// NewBatch takes the next n places of a device class, each for one device of
// level, anchor, security version and implementation as in r. The keys come from
// the factory, which has checked that the devices hold them.
func (a *Authority) NewBatch(r Request, n int, now time.Time) (*Batch, error) {
	if r.Role != pki.Device || n < 1 || n > MaxBatch {
		return nil, fmt.Errorf("%w: a batch is of 1 to %d devices", ErrRequest, MaxBatch)
	}
	r.Stated = false
	p, class, err := a.profile(r, now)
	if err != nil {
		return nil, err
	}
	return a.batch(class, p, n, now)
}

// batch takes places, and publishes when they begin a new block of the class.
func (a *Authority) batch(class pki.Class, p pki.Profile, n int, now time.Time) (*Batch, error) {
	last := uint64(p.Member.Index) + uint64(n) //nolint:gosec // not negative
	if last > revocation.MaxIssued {
		return nil, fmt.Errorf("class %v: %w", class, revocation.ErrFull)
	}
	if leaf, _ := a.state.Leaf(class); last > uint64(leaf.Issued) { // a new block
		if err := a.draft.Allot(class, uint32(last)); err != nil {
			return nil, err
		}
		if err := a.Publish(now); err != nil {
			return nil, err
		}
	}
	ca, err := a.ca(class)
	if err != nil {
		return nil, err
	}
	return &Batch{a: a, ca: ca, profile: p, verify: pki.Verifier{Trust: a.trust, Status: a.state}, now: now, entries: make([]Entry, n)}, nil
}

// Len is how many parties the batch is of.
func (b *Batch) Len() int { return len(b.entries) }

// Certify makes the certificates of party i, from 0. It may be called for
// different parties at once. Nothing of it may leave before Commit.
func (b *Batch) Certify(i int, signing, delivery *ecdsa.PublicKey) (*Certified, error) {
	if signing.Equal(delivery) {
		return nil, fmt.Errorf("%w: one key for signing and delivery", ErrRequest)
	}
	p := b.profile
	p.Member.Index += uint32(i) //nolint:gosec // below Len
	if p.Name == "" {
		p.Name = fmt.Sprintf("%s %s", p.Role, p.Member)
	}
	leaf, err := pki.Issue(b.ca, p, signing, b.now)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	p.Kind = pki.KindECDH
	out := &Certified{Member: p.Member, Roots: [][]byte{b.ca.Root}, Chain: append([][]byte{leaf}, b.ca.Chain...)}
	if out.Delivery, err = pki.Issue(b.ca, p, delivery, b.now); err != nil {
		return nil, fmt.Errorf("delivery key: %w", err)
	}
	if i == 0 { // as everybody will; the others differ in keys and index only, and Issue has looked at those
		if _, err := b.verify.Verify(out.Chain, b.now, p.Role); err != nil {
			return nil, fmt.Errorf("own certificate: %w", err)
		}
	}
	spki, err := x509.MarshalPKIXPublicKey(signing)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	out.Device = ident.DeviceOf(spki)
	b.entries[i] = Entry{
		Index: p.Member.Index, Device: out.Device, Role: uint8(p.Role), Level: uint8(p.Levels[0]), IssuedAt: b.now.UnixMilli(), SVN: p.SVN,
	}
	return out, nil
}

// Commit makes the batch durable: its places are taken, and the list of the
// issued has its parties. All of them were certified.
func (b *Batch) Commit() error {
	for _, e := range b.entries {
		if e.Role == 0 {
			return fmt.Errorf("%w: index %d of the batch has no certificate", ErrRequest, e.Index)
		}
	}
	class := b.profile.Member.Class
	if err := b.a.list(class, b.entries); err != nil {
		return err
	}
	b.a.rec.Next[uint32(class)] += uint32(len(b.entries)) //nolint:gosec // at most MaxBatch
	return b.a.save()
}
