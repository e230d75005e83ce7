package core

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/trem"
)

// objectRoll is the list of a domain that an issuer manages, signed by the issuer's
// module for itself. Source: local, docs/spec/membership.md.
const objectRoll = wire.Object("roll")

// maxRollFormer bounds those who were in a domain and are remembered in its roll; the
// first ones are forgotten. Source: local, docs/spec/membership.md.
const maxRollFormer = 64

var rollLimit = wire.Limit{Bytes: 32 << 10, Items: 1024, Depth: 4}

// Roll is a domain that this issuer manages. Its host keeps it, and shows it with each
// command: so an issuer has as many domains as its database has room for.
type Roll struct {
	Domain     ident.Domain `cbor:"1,keyasint"`
	Generation uint64       `cbor:"2,keyasint"`
	Next       uint64       `cbor:"3,keyasint"` // above the indices of all who were members by this roll
	Era        uint64       `cbor:"4,keyasint"` // of the manager's floors
	Devices    uint64       `cbor:"5,keyasint"` // at one time
	NewAYear   uint64       `cbor:"6,keyasint"` // 0: no limit
	Members    []rollEntry  `cbor:"7,keyasint"` // by index
	Former     []rollFormer `cbor:"8,keyasint"` // the last one put out last
}

type rollEntry struct {
	_        struct{} `cbor:",toarray"`
	Device   ident.Device
	Index    uint64
	Hardware []byte // 32 bytes
	Since    int64  // Unix ms: when it, or what its hardware was before, came first
	Until    int64  // Unix ms: the end of its newest membership
}

type rollFormer struct {
	_      struct{} `cbor:",toarray"`
	Device ident.Device
	Since  int64
	Back   bool // it left, or lapsed: it may be admitted again
}

// manage does one operation on a domain that this issuer manages.
func (c *Core) manage(in trem.RollOrder, r Reading) (trem.Rolled, error) {
	if err := c.need(pki.LicenseIssuer); err != nil {
		return trem.Rolled{}, err
	}
	if in.Op == trem.RollCreate {
		return c.createRoll(in, r)
	}
	b, err := c.openRoll(in.Roll)
	if err != nil {
		return trem.Rolled{}, err
	}
	var out trem.Rolled
	switch in.Op {
	case trem.RollAdmit:
		err = c.admitTo(b, in.Who, &out, r)
	case trem.RollRemove:
		out.Device, err = in.Device, b.remove(in.Device)
	case trem.RollLetter:
		err = c.rollLetter(b, in.Letter, &out, r)
	case trem.RollSeen:
		out.Device, err = in.Device, b.sees(in.Device, c.clock.judge(r).Est)
	case trem.RollCard:
		out.Device = in.Device
	default:
		err = malformed(fmt.Errorf("unknown operation %d on a domain", in.Op))
	}
	if err != nil {
		return trem.Rolled{}, err
	}
	return c.closeRoll(b, out, r)
}

// createRoll makes a domain, or one anew of whose roll nobody knows any more who was
// put out since: it keeps its ID, and what is granted to it.
func (c *Core) createRoll(in trem.RollOrder, r Reading) (trem.Rolled, error) {
	b := &rollBook{Roll: Roll{Domain: ident.NewDomain(), Devices: in.Devices, NewAYear: in.NewAYear, Next: 1, Members: []rollEntry{}, Former: []rollFormer{}}}
	b.Era = c.managed.rec.Era
	b.Generation = b.Era<<eraShift + 1
	if len(in.Roll) > 0 {
		old, err := c.parseRoll(in.Roll)
		if err != nil {
			return trem.Rolled{}, rejected(err)
		}
		if err := c.beginAgain(b, old); err != nil {
			return trem.Rolled{}, err
		}
	}
	if b.Devices == 0 || b.Devices > maxMembers || b.NewAYear > maxRollFormer {
		return trem.Rolled{}, rejected(fmt.Errorf("domain: 1 to %d devices, and at most %d new ones a year", maxMembers, maxRollFormer))
	}
	if c.managed.rec.Secret == nil {
		rec := managerRecord{Secret: make([]byte, 32), Given: 1}
		if _, err := rand.Read(rec.Secret); err != nil {
			return trem.Rolled{}, err
		}
		if err := c.commit(kindManager, rec); err != nil {
			return trem.Rolled{}, err
		}
		c.managed.rec = rec
	}
	return c.closeRoll(b, trem.Rolled{}, r)
}

// rollBook is a roll that is worked on.
type rollBook struct {
	Roll

	index uint64    // of the next member
	outs  []rollOut // what it puts out
	anew  bool      // it puts out everybody, also whom it does not know
	was   []byte    // the roll as it was shown
}

// openRoll checks a roll that the host shows, and puts out again whom this module has
// put out since.
func (c *Core) openRoll(data []byte) (*rollBook, error) {
	roll, err := c.parseRoll(data)
	if err != nil {
		return nil, rejected(err)
	}
	if roll.Era != c.managed.rec.Era {
		return nil, stateError("this list is of before the issuer's database was put back, and nobody knows who was put out since: make the domain anew, its devices join again")
	}
	b := &rollBook{Roll: *roll, was: data, index: max(roll.Next, c.managed.index())}
	return b, c.catchUp(&b.Roll)
}

func (c *Core) parseRoll(data []byte) (*Roll, error) {
	s, err := wire.ParseSign1(data, objectRoll, rollLimit)
	if err == nil {
		err = s.Verify(c.signer.Public())
	}
	roll := new(Roll)
	if err == nil {
		err = wire.Unmarshal(s.Payload, roll, rollLimit)
	}
	if err != nil {
		return nil, fmt.Errorf("roll: %w", err)
	}
	return roll, nil
}

// closeRoll makes durable what was given and what was put out, and then signs the roll.
func (c *Core) closeRoll(b *rollBook, out trem.Rolled, r Reading) (trem.Rolled, error) {
	if err := c.indexed(b.Next); err != nil {
		return trem.Rolled{}, err
	}
	if err := c.putOut(b); err != nil {
		return trem.Rolled{}, err
	}
	if err := c.signRoll(b, &out); err != nil {
		return trem.Rolled{}, err
	}
	out.Domain, out.Generation = b.Domain, b.Generation
	var err error
	now := c.clock.judge(r).Est
	for _, m := range b.Members {
		out.Members = append(out.Members, trem.RollMember{Device: m.Device, Index: m.Index, Since: m.Since, Until: m.Until, Lapsed: now >= m.Until})
	}
	if m := b.entry(out.Device); m != nil {
		out.Manager = c.identity.Chain
		out.Membership, err = c.rollMembership(&b.Roll, m)
	}
	for i := range out.Letters { // HERE is answered with what is signed now
		l := &out.Letters[i]
		if *l, err = c.letter(l.To, l.Topic, out.Membership); err != nil {
			return trem.Rolled{}, err
		}
	}
	return out, err
}

// signRoll signs a roll; one in which nothing has changed stays as it was shown.
func (c *Core) signRoll(b *rollBook, out *trem.Rolled) error {
	payload, err := wire.Marshal(b.Roll)
	if err != nil {
		return err
	}
	if s, err := wire.ParseSign1(b.was, objectRoll, rollLimit); err == nil && bytes.Equal(s.Payload, payload) {
		out.Roll = b.was
		return nil
	}
	out.Roll, err = wire.NewSign1(c.signer, c.identity.Chain[0], objectRoll, payload)
	return err
}

// rollMembership signs the membership of a device in a roll.
func (c *Core) rollMembership(roll *Roll, m *rollEntry) ([]byte, error) {
	return c.sealMembership(Membership{
		Domain: roll.Domain, Generation: roll.Generation, Device: m.Device, Hardware: m.Hardware, NotAfter: m.Until, Index: m.Index,
		Pairwise: map[ident.Issuer]ident.Domain{c.peer.Issuer(): roll.Domain},
	})
}

func (r *Roll) entry(id ident.Device) *rollEntry {
	if i := slices.IndexFunc(r.Members, func(m rollEntry) bool { return m.Device == id }); i >= 0 {
		return &r.Members[i]
	}
	return nil
}

func (r *Roll) former(id ident.Device) *rollFormer {
	if i := slices.IndexFunc(r.Former, func(m rollFormer) bool { return m.Device == id }); i >= 0 {
		return &r.Former[i]
	}
	return nil
}

// out moves a member to those that were. It raises no generation.
func (r *Roll) out(m rollEntry, back bool) {
	r.Members = slices.DeleteFunc(r.Members, func(o rollEntry) bool { return o.Device == m.Device })
	r.Former = append(slices.DeleteFunc(r.Former, func(o rollFormer) bool { return o.Device == m.Device }), rollFormer{Device: m.Device, Since: m.Since, Back: back})
	for len(r.Former) > maxRollFormer { // first those for whom another one counts
		old := r.Former[:len(r.Former)-1]
		i := max(0, slices.IndexFunc(old, func(f rollFormer) bool { return f.Since == 0 }))
		r.Former = slices.Delete(r.Former, i, i+1)
	}
}

// puts ends a membership: the generation rises.
func (b *rollBook) puts(m rollEntry, back bool) {
	b.out(m, back)
	b.Generation++
	b.outs = append(b.outs, rollOut{Generation: b.Generation, Device: m.Device, Index: m.Index, Back: back, Since: m.Since})
}

func (b *rollBook) remove(id ident.Device) error {
	switch m := b.entry(id); {
	case m != nil:
		b.puts(*m, false)
	case b.former(id) == nil:
		return &trem.Error{Code: trem.CodeUnknown, Text: "no such member"}
	case b.former(id).Back: // it left, and does not come back: by an older roll neither
		b.puts(rollEntry{Device: id, Index: b.index - 1, Since: b.former(id).Since}, false)
	}
	return nil
}

// sees renews a member that is there, as the manager of a house does.
func (b *rollBook) sees(id ident.Device, now int64) error {
	m := b.entry(id)
	if m == nil {
		return rejected(fmt.Errorf("membership: %v is not of this domain", id))
	}
	if until := now + membershipLife; until-m.Until >= seenStep {
		m.Until = until
	}
	return nil
}

// admitTo makes a device a member, by the rules of enlist and the limits of the roll.
func (c *Core) admitTo(b *rollBook, in *trem.Candidate, out *trem.Rolled, r Reading) error {
	if in == nil {
		return malformed(errors.New("no device"))
	}
	peer, err := c.verifier.Verify(in.Chain, c.certTime(r), pki.Device)
	if err != nil {
		return rejected(err)
	}
	out.Device = peer.ID()
	now := c.clock.judge(r).Est
	if b.entry(out.Device) != nil {
		return b.sees(out.Device, now)
	}
	m := rollEntry{Device: out.Device, Index: b.index, Hardware: c.managed.hardware(b.Domain, in.Hardware), Since: now}
	if f := b.former(out.Device); f != nil {
		if !f.Back {
			return rejected(errors.New("this device was removed from the house; it joins again after a reset"))
		}
		m.Since = f.Since
	}
	old := b.sameMachine(m.Hardware)
	switch {
	case old != nil && len(in.Hardware) > 0:
		gone := *old
		m.Since, out.Replaced, gone.Since = old.Since, old.Device, 0 // the machine counts once
		b.puts(gone, false)
	case uint64(len(b.Members)) >= b.Devices:
		idle := b.idlest(now)
		if idle == nil || !in.Idle {
			return limit{code: sltp.ErrorDomainFull, have: uint64(len(b.Members)), most: b.Devices}.refusal(ident.License{}, permission.Play)
		}
		out.Replaced = idle.Device
		b.puts(*idle, true)
	}
	if l := b.rate(m, now); l.code != 0 {
		b.outs = nil // nothing of it happens
		return l.refusal(ident.License{}, permission.Play)
	}
	m.Until = now + membershipLife
	b.Former = slices.DeleteFunc(b.Former, func(f rollFormer) bool { return f.Device == m.Device })
	b.Members, b.Next = append(b.Members, m), m.Index+1
	return nil
}

func (r *Roll) sameMachine(hardware []byte) *rollEntry {
	if i := slices.IndexFunc(r.Members, func(m rollEntry) bool { return bytes.Equal(m.Hardware, hardware) }); i >= 0 {
		return &r.Members[i]
	}
	return nil
}

// idlest is the lapsed member that was not seen for the longest time.
func (r *Roll) idlest(now int64) (out *rollEntry) {
	for i := range r.Members {
		if m := &r.Members[i]; now >= m.Until && (out == nil || m.Until < out.Until) {
			out = m
		}
	}
	return out
}

// rate looks whether one more new device is within the year's limit. Who came for the
// first time more than a year ago is none, nor is a machine that was installed anew.
func (r *Roll) rate(m rollEntry, now int64) limit {
	if r.NewAYear == 0 || m.Since != now {
		return limit{}
	}
	recent, first := uint64(0), now
	count := func(since int64) {
		if now-since < year {
			recent, first = recent+1, min(first, since)
		}
	}
	for _, o := range r.Members {
		count(o.Since)
	}
	for _, o := range r.Former {
		count(o.Since)
	}
	if recent < r.NewAYear {
		return limit{}
	}
	return limit{code: sltp.ErrorDomainRate, have: recent, most: r.NewAYear, after: first + year}
}

// rollLetter takes a member's LEFT or HERE.
func (c *Core) rollLetter(b *rollBook, data []byte, out *trem.Rolled, r Reading) error {
	s, peer, err := c.openSheet(data, r)
	if err != nil {
		return rejected(err)
	}
	out.Device = peer.ID()
	m := b.entry(out.Device)
	if sig, err := wire.ParseSign1(s.Object, objectLeft, leftLimit); err == nil {
		l, err := readLeft(sig, peer, b.Domain)
		switch {
		case err == nil && m != nil && m.Index == l.Index: // else it was heard before
			b.puts(*m, !l.Wiped) // one that is wiped is as one that was removed
		case err == nil && m == nil && l.Wiped && b.former(out.Device) != nil: // its place was given away before
			return b.remove(out.Device)
		}
		return err
	}
	sig, err := wire.ParseSign1(s.Object, objectHere, hereLimit)
	if err != nil {
		return rejected(errLetter)
	}
	now := c.clock.judge(r).Est
	if err := readHere(sig, peer, b.Domain, now); err != nil {
		return err
	}
	out.Letters = []trem.Letter{{To: out.Device, Topic: topic(ident.Transfer{Src: c.self, Dst: out.Device}, "membership")}}
	return b.sees(out.Device, now)
}

// rollFor is the roll that stands behind an answer to a device: it is a member, and
// nobody was put out since.
func (c *Core) rollFor(data []byte, subject license.Subject, to ident.Device) (*Roll, *rollEntry, error) {
	b, err := c.openRoll(data)
	if err != nil {
		return nil, nil, err
	}
	m := b.entry(to)
	if m == nil {
		return nil, nil, rejected(fmt.Errorf("terms: %v is not of this domain", to))
	}
	if subject != license.DomainSubject(b.Domain, b.Generation) {
		return nil, nil, rejected(errors.New("terms: the license is of another domain or generation than the roll"))
	}
	return &b.Roll, m, nil
}

// hardware is the mark of a machine in one domain.
func (m *managed) hardware(domain ident.Domain, mark []byte) []byte {
	h := hmac.New(sha256.New, m.rec.Secret)
	h.Write(domain[:])
	return (&domainRecord{Secret: h.Sum(nil)}).hardware(mark)
}
