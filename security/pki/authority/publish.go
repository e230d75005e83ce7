package authority

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

// renewBefore is how long before its end a signer's certificate is renewed.
const renewBefore = 30 * 24 * time.Hour

// epoch is one published epoch on disk.
type epoch struct {
	_        struct{} `cbor:",toarray"`
	Number   uint64
	Head     []byte
	Snapshot []byte
	Chain    [][]byte // the state signer's, then
}

// changedEpoch is an epoch of a signer that a change named: the layout of an
// epoch, and the change.
type changedEpoch struct {
	_        struct{} `cbor:",toarray"`
	Number   uint64
	Head     []byte
	Snapshot []byte
	Chain    [][]byte
	Change   []byte
}

func (e *changedEpoch) encode() ([]byte, error) {
	if len(e.Change) == 0 {
		return wire.Marshal(epoch{Number: e.Number, Head: e.Head, Snapshot: e.Snapshot, Chain: e.Chain})
	}
	return wire.Marshal(e)
}

func (e *changedEpoch) decode(data []byte) error {
	lim := wire.Limit{Bytes: revocation.MaxSnapshot + 1<<14, Items: 9, Depth: 3}
	if len(data) > 0 && data[0] == 0x85 { // an array of five
		return wire.Unmarshal(data, e, lim)
	}
	var old epoch
	err := wire.Unmarshal(data, &old, lim)
	*e = changedEpoch{Number: old.Number, Head: old.Head, Snapshot: old.Snapshot, Chain: old.Chain}
	return err
}

func epochFile(number uint64) string {
	return "epoch-" + strconv.FormatUint(number%epochSlots, 10) + ".cbor"
}

// Publish signs what was changed, or the same again with a later time, as a
// new epoch. It is durable, with its number, when Publish returns. A signer
// whose certificate ends within 30 days gets a new one for the same key.
func (a *Authority) Publish(now time.Time) error {
	if err := a.renew(a.stateKey(), "State Signer", pki.StateSigner, &a.rec.State, now); err != nil {
		return err
	}
	if err := a.renew(keyTime, "Time Signer", pki.TimeSigner, &a.rec.Time, now); err != nil {
		return err
	}
	key, err := a.key(a.stateKey())
	if err != nil {
		return err
	}
	if err := a.draftIssuers(); err != nil {
		return err
	}
	number := a.rec.Epoch + 1
	state, err := a.draft.Sign(key, revocation.Issue{
		Epoch: pki.Epoch{Generation: a.rec.Generation, Number: number}, IssuedAt: now,
		NextUpdate: now.Add(time.Duration(a.rec.Config.NextUpdateHours) * time.Hour),
	})
	if errors.Is(err, revocation.ErrEpoch) {
		return fmt.Errorf("%w: %w", ErrTooSoon, err)
	}
	if err != nil {
		return err
	}
	e := changedEpoch{Number: number, Head: state.Head().Bytes(), Snapshot: state.Snapshot(), Chain: a.rec.State.Chain, Change: a.rec.Change}
	if state, err = a.check(&e); err != nil { // as everybody will
		return err
	}
	data, err := e.encode()
	if err != nil {
		return err
	}
	// Nobody sees the epoch before the record counts it, so a crash between the two writes costs nothing.
	if err := a.dir.WriteAtomic(epochFile(number), data); err != nil {
		return err
	}
	a.rec.Epoch = number
	if err := a.save(); err != nil {
		a.rec.Epoch--
		return err
	}
	a.state, a.draft = state, revocation.NewBuilder(state)
	return nil
}

func (a *Authority) check(e *changedEpoch) (*revocation.State, error) {
	shown := revocation.Offer{Head: e.Head, Chain: e.Chain, Change: e.Change, Snapshot: e.Snapshot}
	w, err := new(revocation.Watch).Take(shown, &pki.Verifier{Trust: a.trust}, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("authority: epoch %d: %w", e.Number, err)
	}
	return w.State(), nil
}

// renew certifies a signer's key anew when its certificate is absent or ends soon.
func (a *Authority) renew(file, name string, role pki.Role, s *signer, now time.Time) error {
	if len(s.Chain) > 0 && time.Unix(s.NotAfter, 0).Sub(now) > renewBefore {
		return nil
	}
	key, err := a.key(file)
	if errors.Is(err, fs.ErrNotExist) && len(s.Chain) == 0 {
		key, err = a.newKey(file, UseSigners)
	}
	if err != nil {
		return err
	}
	root, err := a.ca(RootClass)
	if err != nil {
		return err
	}
	end := now.AddDate(0, 0, a.rec.Config.days(role))
	der, err := pki.Issue(root, pki.Profile{
		Name: a.rec.Config.Name + " " + name, Role: role, Member: a.next(RootClass),
		Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0}, NotAfter: end,
	}, key.Public(), now)
	if err != nil {
		return fmt.Errorf("certify %s: %w", role, err)
	}
	a.rec.Next[uint32(RootClass)]++
	*s = signer{Chain: [][]byte{der}, NotAfter: end.Unix()}
	return nil
}

func unixMS(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// State is the published state.
func (a *Authority) State() *revocation.State { return a.state }

// StateAt is one of the epochs kept: the last 64.
func (a *Authority) StateAt(number uint64) (*revocation.State, error) {
	data, err := a.dir.Read(epochFile(number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %d", ErrNoEpoch, number)
	}
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	var e changedEpoch
	if err := e.decode(data); err != nil {
		return nil, fmt.Errorf("authority: read epoch %d: %w", number, err)
	}
	if e.Number != number || number > a.rec.Epoch {
		return nil, fmt.Errorf("%w: %d", ErrNoEpoch, number)
	}
	return a.check(&e)
}

// Delta leads from one kept epoch to another.
func (a *Authority) Delta(from, to uint64) ([]byte, error) {
	old, err := a.StateAt(from)
	if err != nil {
		return nil, err
	}
	now, err := a.StateAt(to)
	if err != nil {
		return nil, err
	}
	return now.Delta(old)
}

// RevokeDevice revokes one member of a class. It takes effect by Publish, as
// do all that follow.
func (a *Authority) RevokeDevice(m pki.Member) error {
	if m.Index >= a.rec.Next[uint32(m.Class)] {
		return fmt.Errorf("%w: %v was never issued", revocation.ErrIndex, m)
	}
	return a.draft.RevokeDevice(m.Class, m.Index)
}

// RevokeClass revokes a whole class, for good.
func (a *Authority) RevokeClass(class pki.Class, why revocation.Reason) error {
	if class == RootClass {
		return fmt.Errorf("%w: the root's class holds the signers; a new ceremony replaces it", ErrNoClass)
	}
	return a.draft.RevokeClass(class, why)
}

// Suspend stops a class for the time being.
func (a *Authority) Suspend(class pki.Class, why revocation.Reason) error {
	if class == RootClass {
		return fmt.Errorf("%w: the root's class holds the signers", ErrNoClass)
	}
	return a.draft.Suspend(class, why)
}

// Retire ends a class for good, though nothing is wrong with it.
func (a *Authority) Retire(class pki.Class, why revocation.Reason) error {
	if class == RootClass {
		return fmt.Errorf("%w: the root's class holds the signers", ErrNoClass)
	}
	return a.draft.Retire(class, why)
}

// Resume ends a suspension.
func (a *Authority) Resume(class pki.Class) error { return a.draft.Resume(class) }

// SetMinSVN demands a security version of a class's members: of those that are
// below, a patched module is certified anew (Renew). CAs have no version.
func (a *Authority) SetMinSVN(class pki.Class, svn uint32) error {
	if c := a.find(class); c == nil || c.First != c.Last {
		return fmt.Errorf("%w: class %v has no members with a security version", ErrNoClass, class)
	}
	return a.draft.SetMinSVN(class, svn)
}

// Trust is what a party needs to believe the authority's statements. The roots
// must come from enrollment; a list from the network proves nothing.
type Trust struct {
	Roots       [][]byte `cbor:"1,keyasint"`
	StateSigner [][]byte `cbor:"2,keyasint"` // chain, leaf first
	TimeSigner  [][]byte `cbor:"3,keyasint"`
	Rotations   [][]byte `cbor:"4,keyasint"` // statements that lead from the first root to the one that signs, oldest first

	Change []byte `cbor:"5,keyasint,omitempty"` // the root's word on the state signer, from its second on
}

// Trust returns the root that signs, the signers' chains and the rotations.
func (a *Authority) Trust() Trust {
	return Trust{Roots: [][]byte{a.root()}, StateSigner: a.rec.State.Chain, TimeSigner: a.rec.Time.Chain, Rotations: a.rotations(), Change: a.rec.Change}
}

// TimeToken states the time for a nonce.
func (a *Authority) TimeToken(nonce [revocation.NonceLen]byte, now time.Time) ([]byte, error) {
	key, err := a.key(keyTime)
	if err != nil {
		return nil, err
	}
	return revocation.SignTime(key, a.rec.Time.Chain[0], now, nonce)
}
