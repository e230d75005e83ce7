package core

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

// Kinds of vault records of trusted time. Source: local, docs/spec/time.md.
const (
	kindToken      = 0x20 // the newest time token, to be relayed
	kindIssuerTime = 0x21 // the latest time that an issuer has signed
)

const (
	maxIssuers = 256     // whose time is kept
	issuerStep = 60_000  // ms: a smaller step of an issuer's time is not written down
	tokenStep  = 1 << 21 // ms, 35 minutes: a token that is so much newer takes the place of the one that is kept
)

// tokenRecord is a token that a module asked for itself, and when.
type tokenRecord struct {
	_      struct{} `cbor:",toarray"`
	Token  []byte
	Chain  [][]byte // of the time signer
	Nonce  [16]byte
	At     int64 // what it states, Unix ms
	Boot   int64 // ms since boot when it was At, half the round trip before the token came
	BootID [16]byte
}

type issuerTimeRecord struct {
	_      struct{} `cbor:",toarray"`
	Issuer ident.Issuer
	At     int64 // Unix ms
}

// trusted is what a module keeps of time beside its clock.
type trusted struct {
	token   *tokenRecord
	issuers map[ident.Issuer]int64 // Unix ms: a floor for that issuer's licenses only
	jump    jump
}

// jump is a time further ahead than one signer may lead a module. It waits for
// another signer in this run.
type jump struct {
	signer [32]byte // SHA-256 of its certificate
	at     int64    // Unix ms
}

// learn takes a revocation state, a time token or both, a relayed token, or a
// reset. What is older than the known is passed over.
func (c *Core) learn(in trem.Learned, r Reading) error {
	if c.verifier == nil {
		return stateError("this module is not enrolled yet")
	}
	if err := c.learnRotations(in.Rotations); err != nil {
		return rejected(err)
	}
	if len(in.TimeReset) > 0 {
		return rejected(c.resetTime(in.TimeReset, r))
	}
	if in.Relayed != nil {
		return rejected(c.learnRelayed(in.Relayed, r))
	}
	var early error
	if len(in.Time) > 0 {
		if early = c.learnToken(in, r); early != nil && (len(in.Head) == 0 || !errors.Is(early, errJump)) {
			return rejected(early)
		}
	}
	if len(in.Head) > 0 {
		if err := c.learnHead(in, r); err != nil {
			return rejected(err)
		}
		if early != nil { // the head may have said the same
			if err := c.learnToken(in, r); err != nil {
				return rejected(err)
			}
		}
	}
	if err := c.learnNotices(in.Notices); err != nil {
		return rejected(err)
	}
	return c.reachSunsets()
}

// learnToken checks a token by the time it states: a statement counts only
// inside its signer's own validity.
func (c *Core) learnToken(in trem.Learned, r Reading) error {
	if !c.sent.set || c.sent.id != r.BootID {
		return fmt.Errorf("time token: this module has asked for none")
	}
	at, err := revocation.VerifyTime(in.Time, in.TimeChain, c.verifier, c.sent.value)
	if err != nil {
		return err
	}
	next := c.clock
	if err := c.oneOrTwo(in.TimeChain, at, r, func() error {
		next = c.clock
		return next.learnTime(at, c.sent.boot, r)
	}); err != nil {
		return err
	}
	if next.Hardware, err = c.hardwareClock(); err != nil {
		return err
	}
	round := r.Boot - c.sent.boot
	token := tokenRecord{Token: in.Time, Chain: in.TimeChain, Nonce: c.sent.value, At: at, Boot: r.Boot - round/2, BootID: r.BootID}
	var s log
	s.add(kindClock, next)
	if next.Secure && next.Relayed == 0 {
		if old := c.times.token; old == nil || old.BootID != token.BootID || token.Boot-old.Boot >= tokenStep {
			s.add(kindToken, token)
			c.times.token = &token
		}
	}
	c.sent = nonce{}
	if s.err != nil {
		return s.err
	}
	if err := c.write(true, s.recs...); err != nil {
		return err
	}
	c.clock, c.heard = next, max(c.heard, at)
	return nil
}

// hardwareClock is the keystore's clock, in ms; 0 without one.
func (c *Core) hardwareClock() (uint64, error) {
	k, ok := c.cfg.Keystore.(keystore.Clock)
	if !ok {
		return 0, nil
	}
	now, err := k.Clock()
	if err != nil {
		return 0, fmt.Errorf("read the keystore's clock: %w", err)
	}
	return now.MS, nil
}

// oneOrTwo learns a time of a signer. One further ahead than one signer may lead
// is kept until another signer has said so much, too; then it is learned.
func (c *Core) oneOrTwo(chain [][]byte, at int64, r Reading, learn func() error) error {
	err := learn()
	if !errors.Is(err, errJump) || len(chain) == 0 {
		return err
	}
	signer := sha256.Sum256(chain[0])
	was := c.times.jump
	c.times.jump = jump{signer: signer, at: at}
	if was.at == 0 || was.signer == signer {
		return err
	}
	c.clock.allow(min(was.at, at), r)
	c.times.jump = jump{}
	return learn()
}

// relayTime passes this module's token on, with what has passed since by its
// boot clock, which nobody can stop.
func (c *Core) relayTime(asker []byte, r Reading) (trem.RelayedTime, error) {
	var out trem.RelayedTime
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return out, err
	}
	t := c.times.token
	if len(asker) != revocation.NonceLen {
		return out, malformed(fmt.Errorf("a nonce has %d bytes", revocation.NonceLen))
	}
	if t == nil || t.BootID != r.BootID || r.Boot-t.Boot > revocation.MaxRelayAge {
		return out, stateError("this module has no time token that is less than a day old and of this boot")
	}
	relay := revocation.TimeRelay{Nonce: [16]byte(asker), Token: t.Token, Asked: t.Nonce, Elapsed: uint64(max(r.Boot-t.Boot, 0))}
	var err error
	if out.Relay, err = revocation.SignTimeRelay(c.signer, c.identity.Chain[0], relay); err != nil {
		return out, err
	}
	out.Member, out.TimeSigner = c.identity.Chain, t.Chain
	if c.membership != nil {
		out.Membership = c.membershipBytes
	}
	return out, nil
}

// learnRelayed takes a token that a member of the house passes on. The signer's
// word moves the floor; the member's, the estimate, and for licenses of no higher
// level than the member's.
func (c *Core) learnRelayed(in *trem.RelayedTime, r Reading) error {
	if !c.sent.set || c.sent.id != r.BootID {
		return fmt.Errorf("time token: this module has asked for none")
	}
	peer, err := c.verifier.Verify(in.Member, c.certTime(r), pki.HomeServer, pki.Device)
	if err != nil {
		return err
	}
	if err := c.isHousehold(peer, in.Membership, r); err != nil {
		return err
	}
	at, elapsed, err := revocation.VerifyTimeRelay(in.Relay, peer, in.TimeSigner, c.verifier, c.sent.value)
	if err != nil {
		return err
	}
	next := c.clock
	err = c.oneOrTwo(in.TimeSigner, at, r, func() error {
		next = c.clock
		return next.learnRelayed(at, elapsed, c.sent.boot, uint8(peer.Level()), r)
	})
	if err != nil {
		return err
	}
	c.sent = nonce{}
	if err := c.commit(kindClock, next); err != nil {
		return err
	}
	c.clock, c.heard = next, max(c.heard, at)
	return nil
}

// isHousehold reports whether a peer is the manager of this module's house, or a
// member of it.
func (c *Core) isHousehold(peer *pki.Peer, membership []byte, r Reading) error {
	if c.membership != nil && len(membership) == 0 {
		pub, err := c.managerKey()
		if err != nil {
			return err
		}
		if !peer.Public().Equal(pub) {
			return fmt.Errorf("time token: %v does not manage this house", peer.ID())
		}
		return nil
	}
	_, err := c.isFellow(peer, membership, r)
	return err
}

// resetTime obeys the root: the only way back from a time that was wrong.
func (c *Core) resetTime(data []byte, r Reading) error {
	trust := c.verifier.Trust.Standing(c.verifier.Status)
	if trust == nil {
		return fmt.Errorf("time reset: no root that stands")
	}
	t, err := revocation.VerifyTimeReset(data, trust)
	if err != nil {
		return err
	}
	if !t.For(c.peer.Class()) || t.Serial <= c.clock.Reset {
		return nil // for others, or known
	}
	next := c.clock
	next.reset(t.MaxLo, t.Serial, r)
	var s log
	s.add(kindClock, next)
	issuers := maps.Clone(c.times.issuers)
	for issuer, at := range issuers {
		issuers[issuer] = min(at, t.MaxLo)
		s.add(kindIssuerTime, issuerTimeRecord{Issuer: issuer, At: min(at, t.MaxLo)})
	}
	if s.err != nil {
		return s.err
	}
	if err := c.write(true, s.recs...); err != nil {
		return err
	}
	c.clock, c.times.issuers, c.heard, c.times.token = next, issuers, 0, nil
	return nil
}

// hearIssuer notes a time that a license issuer has signed: its floor for its own
// licenses. An issuer that is wrong hurts nobody else.
func (c *Core) hearIssuer(issuer ident.Issuer, at int64) error {
	if issuer == "" || at < c.times.issuers[issuer]+issuerStep {
		return nil
	}
	rec := issuerTimeRecord{Issuer: issuer, At: at}
	note, err := newRecord(kindIssuerTime, rec)
	if err != nil {
		return err
	}
	c.along(false, note)
	c.keepIssuerTime(rec)
	return nil
}

func (c *Core) keepIssuerTime(rec issuerTimeRecord) {
	k := &c.times
	if k.issuers == nil {
		k.issuers = map[ident.Issuer]int64{}
	}
	k.issuers[rec.Issuer] = rec.At
	if len(k.issuers) > maxIssuers {
		delete(k.issuers, slices.MinFunc(slices.Collect(maps.Keys(k.issuers)), func(a, b ident.Issuer) int {
			return cmp.Or(cmp.Compare(k.issuers[a], k.issuers[b]), cmp.Compare(a, b))
		}))
	}
}

// issuerTime is the floor for the licenses of an instance's issuer: what it has
// said, and when it says that it issued this one.
func (c *Core) issuerTime(inst *instance) int64 {
	root := inst.chain[len(inst.chain)-1].Info()
	return max(c.times.issuers[root.Issuer], root.IssuedAt)
}

func (c *Core) snapshotTimes(s *log) {
	if c.times.token != nil {
		s.add(kindToken, *c.times.token)
	}
	for _, issuer := range slices.Sorted(maps.Keys(c.times.issuers)) {
		s.add(kindIssuerTime, issuerTimeRecord{Issuer: issuer, At: c.times.issuers[issuer]})
	}
}

func (c *Core) replayTimes(kind uint8, body []byte) error {
	if kind == kindToken {
		return replayed(body, func(rec tokenRecord) { c.times.token = &rec })
	}
	return replayed(body, c.keepIssuerTime)
}

// certTime is the time that certificates are judged at: the best estimate,
// which is never before the proven floor.
func (c *Core) certTime(r Reading) time.Time { return time.UnixMilli(c.clock.judge(r).Est) }
