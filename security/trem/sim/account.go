package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// maxGeneration is the highest copy generation: a copy of a copy.
const maxGeneration = 2

// rightPlay and rightCopy are the permission numbers of what is handed over.
const (
	rightPlay = uint64(permission.Play)
	rightCopy = uint64(permission.Copy)
)

// The account's own records in the vault, beside the machines'.
const (
	kindAccount = 0x01 // compaction: all of it
	kindEntry   = 0x02 // one change
)

// asset is what a box has units of: a license, as the original or as a copy.
type asset struct {
	_       struct{} `cbor:",toarray"`
	License uint64
	Gen     uint64 // copy generation; 0: the original
}

func (a asset) compare(b asset) int {
	return cmp.Or(cmp.Compare(a.License, b.License), cmp.Compare(a.Gen, b.Gen))
}

// units are the rights to an asset.
type units struct {
	_      struct{} `cbor:",toarray"`
	Plays  uint64
	Copies uint64
}

// What an entry says.
const (
	entryDebit   = 1 // with PREPARE: into escrow
	entryCommit  = 2 // with COMMIT: out of escrow
	entryAbort   = 3 // with ABORT: back from escrow
	entryInstall = 4 // with INSTALL
	entryCharge  = 5 // a play, before the film is shown
	entryLend    = 6 // with LEND: lent out
	entryLoanEnd = 7 // with RETURNED, EXPIRED or ABORT of a loan: what was not spent is the lender's again
	entryBorrow  = 8 // with the INSTALL of a loan
	entryLoaned  = 9 // a play of a loan, before the film is shown

	entryRelease = 10 // with RELEASE at the source: what comes back
	entryDestroy = 11 // with RELEASE at the destination
	entrySlept   = 12 // a play of what is here until its hold is over
	entryMerge   = 13 // what is here is confirmed: it is like the rest
)

// entry is one change of the account.
type entry struct {
	_     struct{} `cbor:",toarray"`
	What  uint64
	TID   ident.Transfer
	Op    transfer.Op
	Asset asset
	Units units

	Request ident.Request // of an ISSUE
	Played  uint64        // of a loan, at its borrower; of what is held
	Hold    int64         // hold_until, Unix ms; 0: none
	Word    []byte        // the arbiter's RELEASE
}

// account is what a box knows of licenses: how many units it has, what is in
// escrow, and what came and is not yet confirmed.
type account struct {
	have    map[asset]units
	escrow  map[ident.Transfer]entry
	fresh   map[ident.Transfer]entry // installed; those that are confirmed are dropped at a compaction
	charged map[uint64]uint64        // plays, by license
	minted  map[uint64]uint64        // plays that copies installed here brought into being
	copied  map[uint64]uint64        // copies installed here
	lent    map[ident.Transfer]entry // loans that are out
	spent   map[uint64]uint64        // plays that loans have cost, by license
	held    map[ident.Transfer]entry // installed with a hold, and not yet merged with the rest
	freed   map[ident.Transfer]entry // RELEASE: Word is the arbiter's
	loans   map[ident.Transfer]entry // borrowed; Units.Plays are left. Those that are closed are dropped at a compaction
}

func newAccount() *account {
	return &account{
		have: map[asset]units{}, escrow: map[ident.Transfer]entry{}, fresh: map[ident.Transfer]entry{},
		charged: map[uint64]uint64{}, minted: map[uint64]uint64{}, copied: map[uint64]uint64{},
		lent: map[ident.Transfer]entry{}, spent: map[uint64]uint64{}, loans: map[ident.Transfer]entry{},
		held: map[ident.Transfer]entry{}, freed: map[ident.Transfer]entry{},
	}
}

func (a *account) add(x asset, u units) {
	h := a.have[x]
	h.Plays, h.Copies = h.Plays+u.Plays, h.Copies+u.Copies
	if a.have[x] = h; h.Plays == 0 && h.Copies == 0 {
		delete(a.have, x)
	}
}

func (a *account) take(x asset, u units) error {
	h := a.have[x]
	if h.Plays < u.Plays || h.Copies < u.Copies {
		return fmt.Errorf("sim: %d plays and %d copies of %d and %d", u.Plays, u.Copies, h.Plays, h.Copies)
	}
	a.add(x, units{Plays: -u.Plays, Copies: -u.Copies}) // modulo 2^64
	return nil
}

// apply makes a change.
func (a *account) apply(e entry) error {
	switch e.What {
	case entryDebit:
		a.escrow[e.TID] = e
		return a.take(e.Asset, e.Units)
	case entryCommit:
		delete(a.escrow, e.TID)
	case entryAbort:
		delete(a.escrow, e.TID)
		a.add(e.Asset, e.Units)
	case entryInstall:
		if e.Hold > 0 {
			a.held[e.TID] = e
			return nil
		}
		if e.Op == transfer.OpCopy {
			a.add(asset{License: e.Asset.License, Gen: e.Asset.Gen + 1}, units{Plays: 1, Copies: e.Units.Copies - 1})
			a.minted[e.Asset.License]++
			a.copied[e.Asset.License]++
		} else {
			a.add(e.Asset, e.Units)
		}
		a.fresh[e.TID] = e
	case entryCharge:
		a.charged[e.Asset.License] += e.Units.Plays
		return a.take(e.Asset, e.Units)
	case entryLend, entryLoanEnd, entryBorrow, entryLoaned:
		return a.applyLoan(e)
	case entryRelease, entryDestroy, entrySlept, entryMerge:
		return a.applyHold(e)
	default:
		return fmt.Errorf("sim: entry %d", e.What)
	}
	return nil
}

// applyLoan makes a change of a loan.
func (a *account) applyLoan(e entry) error {
	switch e.What {
	case entryLend:
		a.lent[e.TID] = e
		return a.take(e.Asset, e.Units)
	case entryLoanEnd: // Units are what was spent
		l := a.lent[e.TID]
		delete(a.lent, e.TID)
		if e.Units.Plays > l.Units.Plays {
			return fmt.Errorf("sim: %d plays of a loan of %d", e.Units.Plays, l.Units.Plays)
		}
		a.spent[l.Asset.License] += e.Units.Plays
		a.add(l.Asset, units{Plays: l.Units.Plays - e.Units.Plays, Copies: l.Units.Copies})
	case entryBorrow:
		if _, renewed := a.loans[e.TID]; !renewed {
			a.loans[e.TID] = e
		}
	case entryLoaned:
		l := a.loans[e.TID]
		if l.Units.Plays == 0 {
			return fmt.Errorf("sim: nothing is left of loan %v", e.TID)
		}
		l.Units.Plays--
		l.Played++
		a.loans[e.TID] = l
	}
	return nil
}

// gets is what an install gives to have, for what may not be handed on yet.
func (e entry) gets() (asset, units) {
	if e.Op == transfer.OpCopy {
		return asset{License: e.Asset.License, Gen: e.Asset.Gen + 1}, units{Plays: 1, Copies: e.Units.Copies - 1}
	}
	return e.Asset, e.Units
}

func (e entry) record() (vault.Record, error) {
	body, err := wire.Marshal(e)
	return vault.Record{Kind: kindEntry, Body: body}, err
}

// accountWire is the account of a compaction, sorted.
type accountWire struct {
	_       struct{} `cbor:",toarray"`
	Have    []haveWire
	Escrow  []entry
	Fresh   []entry
	Charged map[uint64]uint64
	Minted  map[uint64]uint64
	Copied  map[uint64]uint64
	Held    []entry
	Freed   []entry
	Lent    []entry
	Spent   map[uint64]uint64
	Loans   []entry
}

type haveWire struct {
	_     struct{} `cbor:",toarray"`
	Asset asset
	Units units
}

// limit bounds what is read back: the disk is the simulation's own.
func limit() wire.Limit { return wire.Limit{Bytes: 1 << 20, Items: 1 << 14, Depth: 6} }

// assets are what the account has, in order.
func (a *account) assets() []asset { return slices.SortedFunc(maps.Keys(a.have), asset.compare) }

func sortedEntries(m map[ident.Transfer]entry) []entry {
	out := slices.Collect(maps.Values(m))
	slices.SortFunc(out, func(x, y entry) int { return compareTID(x.TID, y.TID) })
	return append([]entry{}, out...)
}

func compareTID(a, b ident.Transfer) int {
	return cmp.Or(bytes.Compare(a.Src[:], b.Src[:]), bytes.Compare(a.Dst[:], b.Dst[:]), bytes.Compare(a.Incarnation[:], b.Incarnation[:]), cmp.Compare(a.Seq, b.Seq))
}

// encode is the account as one record's body; of what came, that which d still
// waits with.
func (a *account) encode(d *transfer.Destination) ([]byte, error) {
	w := accountWire{
		Have: []haveWire{}, Escrow: sortedEntries(a.escrow), Fresh: []entry{}, Charged: a.charged, Minted: a.minted, Copied: a.copied,
		Held: sortedEntries(a.held), Freed: sortedEntries(a.freed), Lent: sortedEntries(a.lent), Spent: a.spent, Loans: []entry{},
	}
	for _, x := range a.assets() {
		w.Have = append(w.Have, haveWire{Asset: x, Units: a.have[x]})
	}
	for _, e := range sortedEntries(a.fresh) {
		if d.Unconfirmed(e.TID) {
			w.Fresh = append(w.Fresh, e)
		}
	}
	for _, l := range d.Borrowed() {
		if e, ok := a.loans[l.TID]; ok {
			w.Loans = append(w.Loans, e)
		}
	}
	return wire.Marshal(w)
}

// replay applies a record of the vault.
func (a *account) replay(r vault.Record) error {
	if r.Kind == kindEntry {
		var e entry
		if err := wire.Unmarshal(r.Body, &e, limit()); err != nil {
			return err
		}
		return a.apply(e)
	}
	var w accountWire
	if err := wire.Unmarshal(r.Body, &w, limit()); err != nil {
		return err
	}
	*a = *newAccount()
	for _, h := range w.Have {
		a.have[h.Asset] = h.Units
	}
	for _, list := range []struct {
		to   map[ident.Transfer]entry
		from []entry
	}{{a.escrow, w.Escrow}, {a.fresh, w.Fresh}, {a.held, w.Held}, {a.freed, w.Freed}, {a.lent, w.Lent}, {a.loans, w.Loans}} {
		for _, e := range list.from {
			list.to[e.TID] = e
		}
	}
	maps.Copy(a.charged, w.Charged)
	maps.Copy(a.minted, w.Minted)
	maps.Copy(a.copied, w.Copied)
	maps.Copy(a.spent, w.Spent)
	return nil
}

// body is what an XFER carries for an entry. A whole hand-over is of "all",
// and the state says how many there are.
func (e entry) body(whole bool, hold *int64) ([]byte, error) {
	state, err := wire.Marshal(e.contents())
	if err != nil {
		return nil, err
	}
	b := transfer.Body{Op: e.Op, Chain: [][]byte{{1}}, State: state, Amounts: map[uint64]uint64{}, HoldUntil: hold, Bundle: []byte{1}}
	for right, n := range map[uint64]uint64{rightPlay: e.Units.Plays, rightCopy: e.Units.Copies} {
		switch {
		case whole:
			b.Amounts[right] = transfer.All
		case n > 0:
			b.Amounts[right] = n
		}
	}
	return b.Encode()
}

type contents struct {
	_     struct{} `cbor:",toarray"`
	Asset asset
	Units units
}

func (e entry) contents() contents { return contents{Asset: e.Asset, Units: e.Units} }

// entryOf reads what a body hands over.
func entryOf(tid ident.Transfer, b *transfer.Body) (entry, error) {
	var c contents
	if err := wire.Unmarshal(b.State, &c, limit()); err != nil {
		return entry{}, err
	}
	for right, n := range b.Amounts {
		have := map[uint64]uint64{rightPlay: c.Units.Plays, rightCopy: c.Units.Copies}[right]
		if n != transfer.All && n != have {
			return entry{}, fmt.Errorf("sim: body of %d units says %d", have, n)
		}
	}
	e := entry{What: entryInstall, TID: tid, Op: b.Op, Asset: c.Asset, Units: c.Units}
	if b.HoldUntil != nil {
		e.Hold = *b.HoldUntil
	}
	return e, nil
}
