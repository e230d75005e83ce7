package core

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// objectHere is the object by which a member says to its house that it is there
// still. Source: local, docs/spec/objects.md.
const objectHere = wire.Object("here")

// errLapsed is returned for a membership that is over.
var errLapsed = errors.New("membership: has lapsed")

const (
	// renewBefore is how long before its membership ends, in ms, a member asks for
	// the next one. Source: local, docs/spec/membership.md.
	renewBefore = membershipLife / 2
	// seenStep is how much later, in ms, a member must be seen again that the house
	// writes it down. Source: local.
	seenStep = 3_600_000
	// hereSkew is how far, in ms, the time in a member's word may be from the
	// manager's: a word that a courier kept for longer renews nothing. Source: local.
	hereSkew = 86_400_000
)

// here is a member's word that it is there.
type here struct {
	Domain ident.Domain `cbor:"1,keyasint"`
	Device ident.Device `cbor:"2,keyasint"`
	At     int64        `cbor:"3,keyasint"` // Unix ms, by its own clock
}

var hereLimit = wire.Limit{Bytes: 512, Items: 16, Depth: 4}

// seenRecord is the manager's note of when the newest membership ends that it has
// signed for a member: 30 days after the member was seen last.
type seenRecord struct {
	_      struct{} `cbor:",toarray"`
	Device ident.Device
	Until  int64 // Unix ms
}

// sees notes that a member is there: its membership holds for 30 days from now. The
// note goes along with the next write.
func (c *Core) sees(id ident.Device, r Reading) error {
	until := c.clock.judge(r).Est + membershipLife
	if old := c.until[id]; old != 0 && until-old < seenStep {
		return nil
	}
	rec, err := newRecord(kindSeen, seenRecord{Device: id, Until: until})
	if err != nil {
		return err
	}
	c.along(false, rec)
	c.until[id] = until
	return nil
}

// lapsed reports whether a member was not seen for so long that its membership is
// over. One of an earlier build, of which nothing was noted yet, is not.
func (c *Core) lapsed(id ident.Device, r Reading) bool {
	until := c.until[id]
	return until != 0 && c.clock.judge(r).Est >= until
}

// unseen is the error of a module whose own membership is over: what it has plays
// on, and nothing is handed over before the house has seen it.
func (c *Core) unseen(r Reading) error {
	if m := c.membership; m != nil && c.clock.judge(r).Est >= m.NotAfter {
		return stateError("the house has not seen this device since " + dayOf(m.NotAfter-membershipLife) + ": connect it to the house once")
	}
	return nil
}

func dayOf(ms int64) string { return time.UnixMilli(ms).UTC().Format("2 Jan 2006") }

// idlest is the lapsed member that was not seen for the longest time.
func (c *Core) idlest(r Reading) (out memberRecord, ok bool) {
	for _, m := range c.memberList() {
		if !m.Removed && c.lapsed(m.Device, r) && (!ok || c.until[m.Device] < c.until[out.Device]) {
			out, ok = m, true
		}
	}
	return out, ok
}

// full is the error of a house that has no place for one more.
func (c *Core) full(r Reading) error {
	text := fmt.Sprintf("a house has at most %d devices; remove one that is not used any more", maxMembers)
	if idle, ok := c.idlest(r); ok {
		text = fmt.Sprintf("a house has at most %d devices; %v was not seen since %s, and its place can be given to this one if you approve that", maxMembers, idle.Device, dayOf(c.until[idle.Device]-membershipLife))
	}
	return &trem.Error{Code: trem.CodeRejected, Text: text}
}

// hereLetters adds the word that this member is there, when half of its membership
// is over. The answer to it is the next membership.
func (c *Core) hereLetters(out trem.Handed, r Reading) (trem.Handed, error) {
	if c.membership == nil || c.peer.Role() != pki.Device {
		return out, nil
	}
	now := c.clock.judge(r)
	if now.Q == license.Unset || now.Est < c.membership.NotAfter-renewBefore {
		return out, nil
	}
	server, err := c.writer(c.manager, r)
	if err != nil {
		return out, nil //nolint:nilerr // its certificate is renewed with the next thing that it gives
	}
	payload, err := wire.Marshal(here{Domain: c.membership.Domain, Device: c.self, At: now.Est})
	if err != nil {
		return out, err
	}
	object, err := wire.NewSign1(c.signer, c.identity.Chain[0], objectHere, payload)
	if err != nil {
		return out, err
	}
	l, err := c.letter(server.ID(), topic(ident.Transfer{Src: c.self, Dst: server.ID()}, "here"), object)
	out.Letters = append(out.Letters, l)
	return out, err
}

// isHere renews the membership of a member that says that it is there. One that had
// lapsed and whose place nobody has taken is in its place again.
func (c *Core) isHere(sig *wire.Sign1, from *pki.Peer, r Reading) (trem.Handed, error) {
	if err := readHere(sig, from, c.managedHere(), c.clock.judge(r).Est); err != nil {
		return trem.Handed{}, err
	}
	m, ok := c.members[from.ID()]
	if !ok || m.Removed || c.isSuperseded() {
		return trem.Handed{}, rejected(errors.New("here: it is no member of this house"))
	}
	if err := c.sees(m.Device, r); err != nil {
		return trem.Handed{}, err
	}
	signed, err := c.membershipOf(m, r)
	if err != nil {
		return trem.Handed{}, err
	}
	l, err := c.letter(m.Device, topic(ident.Transfer{Src: c.self, Dst: m.Device}, "membership"), signed)
	return trem.Handed{Letters: []trem.Letter{l}}, err
}

// readHere reads a member's word that it is there.
func readHere(sig *wire.Sign1, from *pki.Peer, domain ident.Domain, now int64) error {
	var h here
	if err := sig.Verify(from.Public()); err != nil {
		return rejected(fmt.Errorf("here: %w", err))
	}
	if err := wire.Unmarshal(sig.Payload, &h, hereLimit); err != nil {
		return rejected(fmt.Errorf("here: %w", err))
	}
	if domain == (ident.Domain{}) || h.Domain != domain || h.Device != from.ID() {
		return rejected(errors.New("here: it is no member of this house"))
	}
	if off := now - h.At; off > hereSkew || off < -hereSkew {
		return rejected(errors.New("here: it was said too long ago, or the device's clock is wrong"))
	}
	return nil
}

// renewedByLetter takes the membership that the house's server sends its member.
func (c *Core) renewedByLetter(data []byte, from *pki.Peer, r Reading) error {
	m, err := c.checkMembership(data, from.Chain(), c.self, r)
	if err != nil {
		return rejected(err)
	}
	return rejected(c.renewWith(m, data, from))
}

// roll lists the members: when each was seen, and what is set aside there.
func (c *Core) roll(r Reading) ([]trem.Member, error) {
	if err := c.need(pki.HomeServer); err != nil {
		return nil, err
	}
	out := []trem.Member{}
	for _, m := range c.memberList() {
		if m.Removed {
			continue
		}
		x := trem.Member{Device: m.Device, Index: m.Index, Until: c.until[m.Device], Lapsed: c.lapsed(m.Device, r), Aside: c.asideAt(m.Device)}
		if x.Until != 0 {
			x.Seen = x.Until - membershipLife
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b trem.Member) int { return slices.Compare(a.Device[:], b.Device[:]) })
	return out, nil
}
