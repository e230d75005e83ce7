package core

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp"
)

// Kinds of vault records of an issuer that manages domains. Source: local,
// docs/spec/membership.md.
const (
	kindManager = 0x32
	kindFloor   = 0x33
)

const (
	// maxFloors is how many domains are remembered that put somebody out: those that
	// did last. Source: local, docs/spec/membership.md.
	maxFloors = 65536
	// maxOuts is how many steps a roll may be behind and is brought up to date.
	// Source: local.
	maxOuts = 8
	// eraShift is above all generations of one era.
	eraShift = 32
	// indexBlock is how many indices of members are taken at a time: one write of the log
	// for as many joins. What a crash leaves of a block is passed over. Source: local.
	indexBlock = 1024
	// oldIndices is what an earlier build can have given at most for one generation: an
	// index for each place, and one for each step of the generation. Source: local.
	oldIndices = 2 * maxMembers
)

// managerRecord is what an issuer's module needs for all of its domains. Earlier builds
// wrote the first three.
type managerRecord struct {
	_        struct{} `cbor:",toarray"`
	Secret   []byte   // 32 bytes; marks of hardware come from it
	Era      uint64   // rises when the database was put back further than the floors reach
	Forgot   bool     // a floor of this era was forgotten
	Given    uint64   // no index from here on was given, in no domain; 0: an earlier build gave them, by the era
	Accepted uint64   // order of the newest floor when the operator accepted last that the database was put back
}

// AppendCBOR appends [secret, era, forgot, given, accepted], or as an earlier build what
// that has written. It never returns an error.
func (m managerRecord) AppendCBOR(b []byte) ([]byte, error) {
	n := 5
	if m.Given == 0 {
		n = 3
	}
	b = wire.AppendBytes(wire.AppendArray(b, n), m.Secret)
	b = wire.AppendBool(wire.AppendUint(b, m.Era), m.Forgot)
	if n > 3 {
		b = wire.AppendUint(wire.AppendUint(b, m.Given), m.Accepted)
	}
	return b, nil
}

// ReadCBOR reads what AppendCBOR appends.
func (m *managerRecord) ReadCBOR(from *wire.Items) {
	r := from.Array(3, 5)
	m.Secret = bytes.Clone(r.Bytes())
	m.Era, m.Forgot = r.Uint(math.MaxUint32), r.Bool()
	if r.Len() > 0 {
		m.Given, m.Accepted = r.Uint(math.MaxUint64), r.Uint(math.MaxUint64)
	}
	from.Done(r)
}

// floorRecord is the newest generation of a domain that put somebody out. No roll
// below it is believed: so a database that was put back brings nobody back.
type floorRecord struct {
	_          struct{} `cbor:",toarray"`
	Domain     ident.Domain
	Generation uint64
	Order      uint64    // the newest is the highest
	Outs       []rollOut // the last steps, in their order; none since it was made anew: no older roll is believed
}

// rollOut is one step that put a device out.
type rollOut struct {
	_          struct{} `cbor:",toarray"`
	Generation uint64   // from then on
	Device     ident.Device
	Index      uint64
	Back       bool  // it may come again
	Since      int64 // as the roll remembers it; 0: another one counts for it
}

// managed is what an issuer's module keeps of domains.
type managed struct {
	rec    managerRecord
	floors map[ident.Domain]floorRecord
	order  uint64
	given  uint64 // as rec's, exactly, of this run; 0: none was given in it
}

// index is that of the next member of whichever domain: no two have one, whatever
// becomes of the database. An earlier build gave none above those of its era.
func (m *managed) index() uint64 {
	switch {
	case m.given > 0:
		return m.given
	case m.rec.Given > 0:
		return m.rec.Given
	}
	return (m.rec.Era + 1) << eraShift * oldIndices
}

// indexed makes durable that the indices below end were given.
func (c *Core) indexed(end uint64) error {
	m := &c.managed
	if end <= m.index() {
		return nil
	}
	if end > m.rec.Given {
		rec := m.rec
		rec.Given = end + indexBlock
		if err := c.commit(kindManager, rec); err != nil {
			return err
		}
		m.rec = rec
	}
	m.given = end
	return nil
}

// catchUp puts out again whom this module has put out since a roll was signed, also
// who joined only after that.
func (c *Core) catchUp(roll *Roll) error {
	f, ok := c.managed.floors[roll.Domain]
	if !ok || roll.Generation >= f.Generation {
		return nil
	}
	if c.managed.longAgo(roll) {
		return stateError("this list is of long ago, and nobody knows any more who was put out since: make the domain anew, its devices join again")
	}
	for _, o := range f.Outs {
		if o.Generation <= roll.Generation {
			continue
		}
		if m := roll.entry(o.Device); m == nil || m.Index <= o.Index {
			roll.out(rollEntry{Device: o.Device, Since: o.Since}, o.Back)
		}
	}
	roll.Generation = f.Generation
	return nil
}

// longAgo reports whether a roll is further behind than the steps that are remembered.
func (m *managed) longAgo(roll *Roll) bool {
	f, ok := m.floors[roll.Domain]
	return ok && roll.Generation < f.Generation && (len(f.Outs) == 0 || roll.Generation+1 < f.Outs[0].Generation)
}

// beginAgain has an empty roll take the place of an old one, above all that was signed
// before. Said again, nothing changes as long as nobody was put out since; then the
// operator must have accepted another time that the database was put back.
func (c *Core) beginAgain(b *rollBook, old *Roll) error {
	if old.Era >= c.managed.rec.Era && !c.managed.longAgo(old) {
		return stateError("this domain is there: nothing of it was lost")
	}
	b.Domain, b.Next = old.Domain, old.Next
	f, ok := c.managed.floors[old.Domain]
	switch {
	case !ok: // of an era that the operator has accepted
	case len(f.Outs) == 0:
		b.Generation = f.Generation
	case f.Order > c.managed.rec.Accepted:
		return stateError("this list is older than what was put out since, and nobody has accepted that the database was put back")
	default:
		b.Generation, b.anew = f.Generation+1, true
	}
	return nil
}

// putOut makes durable whom an operation puts out. Of too many domains the one that
// did so first is forgotten.
func (c *Core) putOut(b *rollBook) error {
	if len(b.outs) == 0 && !b.anew {
		return nil
	}
	outs := b.outs
	if !b.anew {
		outs = slices.Concat(c.managed.floors[b.Domain].Outs, b.outs)
	}
	next := floorRecord{Domain: b.Domain, Generation: b.Generation, Order: c.managed.order + 1, Outs: outs[max(0, len(outs)-maxOuts):]}
	floor, err := newRecord(kindFloor, next)
	if err != nil {
		return err
	}
	rec := c.managed.rec
	if _, known := c.managed.floors[b.Domain]; !known && len(c.managed.floors) >= maxFloors && !rec.Forgot {
		rec.Forgot = true
		forgot, err := newRecord(kindManager, rec)
		if err != nil {
			return err
		}
		c.along(true, forgot)
	}
	if err := c.write(true, floor); err != nil {
		return err
	}
	c.managed.rec = rec
	c.managed.keep(next)
	return nil
}

func (m *managed) keep(f floorRecord) {
	if m.floors == nil {
		m.floors = map[ident.Domain]floorRecord{}
	}
	m.floors[f.Domain], m.order = f, max(m.order, f.Order)
	if len(m.floors) > maxFloors {
		first := slices.MinFunc(slices.Collect(maps.Values(m.floors)), func(a, b floorRecord) int { return cmp.Compare(a.Order, b.Order) })
		delete(m.floors, first.Domain)
	}
}

// manages takes the record of all domains; an era's floors end with it. What is put out
// after it was accepted that the database was put back has a higher order than before.
func (m *managed) manages(rec managerRecord) {
	if rec.Era > m.rec.Era {
		clear(m.floors)
	}
	m.rec, m.order = rec, max(m.order, rec.Accepted)
}

// rollsPutBack is told that the operator accepts an older database. Domains whose lists
// are too old may be made anew, each once; and an era begins when a floor was forgotten:
// nobody knows then who was put out since. The record goes along.
func (c *Core) rollsPutBack() error {
	rec := c.managed.rec
	if rec.Secret == nil { // there are no domains
		return nil
	}
	rec.Accepted, rec.Given = c.managed.order, max(rec.Given, c.managed.index())
	if rec.Forgot {
		rec.Era, rec.Forgot = rec.Era+1, false
	}
	data, err := newRecord(kindManager, rec)
	if err != nil {
		return err
	}
	c.along(true, data)
	c.managed.manages(rec)
	return nil
}

// isMember checks that who asks is a device of a domain that this issuer manages, and
// was not put out as far as this module remembers. What is newer, the roll says.
func (c *Core) isMember(req sltp.LicenseRequest, device ident.Device) error {
	m, err := parseMembership(req.Membership, c.signer.Public())
	if err != nil {
		return err
	}
	if m.Device != device || m.Domain != ident.Domain(req.Subject.ID) || !m.remote() {
		return errors.New("membership: of another device or domain")
	}
	for _, o := range c.managed.floors[m.Domain].Outs {
		if o.Device == device && m.Index <= o.Index {
			return errors.New("membership: it was put out")
		}
	}
	return nil
}

func (c *Core) snapshotManaged(s *log) {
	if c.managed.rec.Secret == nil {
		return
	}
	s.add(kindManager, c.managed.rec)
	for _, f := range slices.SortedFunc(maps.Values(c.managed.floors), func(a, b floorRecord) int { return cmp.Compare(a.Order, b.Order) }) {
		s.add(kindFloor, f)
	}
}
