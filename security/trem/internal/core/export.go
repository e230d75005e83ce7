package core

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// exportRecord is what a request for another system was answered with. Source:
// local, docs/spec/trem.md.
type exportRecord struct {
	_       struct{} `cbor:",toarray"`
	Request ident.Request
	Order   [32]byte      // SHA-256 of the order, without its request
	Of      ident.License // that was debited
	License []byte        // the child, signed
	Lost    []string
}

// until is when what left is over, Unix ms; counted says that it has a count,
// which its parent's state no longer has.
func (r *exportRecord) until() (end int64, counted bool, err error) {
	child, err := license.Parse(r.License)
	if err != nil {
		return 0, false, err
	}
	return child.LoanEnd(license.State{}, child.Info().IssuedAt, child.Info().Policy.Duration+farAhead), child.Whole() != license.Share{}, nil
}

// farAhead is behind every end that a license can have, in ms.
const farAhead = 1 << 52

// export debits a license for another system and signs the child, in one durable
// step. The time and the state are this module's own; what the system keeps is
// its host's word, as every statement about another system is.
func (c *Core) export(in trem.Export, r Reading) (trem.Exported, error) {
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return trem.Exported{}, err
	}
	if in.Request == (ident.Request{}) || len(in.Holds) > trem.MaxHolds {
		return trem.Exported{}, malformed(fmt.Errorf("export: a request without name, or more than %d conditions", trem.MaxHolds))
	}
	order, err := orderHash(in)
	if err != nil {
		return trem.Exported{}, err
	}
	if had, ok := c.exports[in.Request]; ok {
		if had.Order != order {
			return trem.Exported{}, rejected(fmt.Errorf("export: this request was for something else"))
		}
		return had.answer(in.Trial)
	}
	inst, err := c.leaving(in, r)
	if err != nil {
		return trem.Exported{}, err
	}
	d := license.Derivation{Now: c.clock.judge(r).Est, State: inst.state, Index: inst.state.NextIndex, Plays: in.Plays}
	info, lost, err := license.Export(inst.leaf(), d, license.Target{System: in.System, Holds: in.Holds})
	if err != nil {
		return trem.Exported{}, exhausted(err)
	}
	if in.Trial {
		data, err := info.Encode()
		return trem.Exported{Info: data, Lost: orNone(lost)}, err
	}
	return c.debit(inst, info, exportRecord{Request: in.Request, Order: order, Of: inst.leaf().Info().ID, Lost: orNone(lost)})
}

// leaving finds the license of an export and judges whether it may go now.
func (c *Core) leaving(in trem.Export, r Reading) (*instance, error) {
	inst, ok := c.held[in.License]
	if !ok {
		return nil, &trem.Error{Code: trem.CodeUnknown, Text: "no such license"}
	}
	ask := c.input(inst, trem.Ask{Action: permission.Export, Confirm: true}, r)
	ask.Request.Dest = &license.Dest{System: in.System}
	if d := c.standStill(inst, inst.leaf().Evaluate(ask)); !d.Allow {
		return nil, &trem.RefusalError{Decision: d}
	}
	switch n := c.exportsOf(inst); {
	case c.unclosed(inst):
		return nil, stateError("this license has not been confirmed by where it came from")
	case len(inst.links) >= license.MaxChain:
		return nil, rejected(fmt.Errorf("export: a license of a chain of %d has no child", len(inst.links)))
	case n >= trem.MaxExports:
		return nil, stateError(fmt.Sprintf("%d exports of this license are kept, and there are no more", n))
	}
	return inst, nil
}

// debit signs the child and makes durable, in one batch, that it was given and
// what its parent has left.
func (c *Core) debit(inst *instance, info *license.Info, rec exportRecord) (trem.Exported, error) {
	share, err := info.ExportShare()
	if err != nil {
		return trem.Exported{}, rejected(err)
	}
	next, err := inst.leaf().Give(inst.state, share)
	if err != nil {
		return trem.Exported{}, exhausted(err)
	}
	if rec.License, err = license.Sign(c.signer, c.identity.Chain[0], info); err != nil {
		return trem.Exported{}, rejected(err)
	}
	paid := *inst
	paid.state = next
	mark, err := paid.record()
	if err != nil {
		return trem.Exported{}, err
	}
	kept, err := newRecord(kindExported, rec)
	if err != nil {
		return trem.Exported{}, err
	}
	if err := c.write(true, mark, kept); err != nil {
		return trem.Exported{}, err
	}
	inst.state = next
	c.exports[rec.Request] = rec
	return rec.answer(false)
}

// answer is what the request was and will be answered with.
func (r *exportRecord) answer(trial bool) (trem.Exported, error) {
	child, err := license.Parse(r.License)
	if err != nil {
		return trem.Exported{}, err
	}
	data, err := child.Info().Encode()
	out := trem.Exported{Info: data, Lost: r.Lost, License: r.License}
	if trial {
		out.License = nil
	}
	return out, err
}

// orderHash names an order, whoever asks and whether it is a trial.
func orderHash(in trem.Export) ([32]byte, error) {
	in.Request, in.Trial = ident.Request{}, false
	data, err := wire.Marshal(in)
	return sha256.Sum256(data), err
}

func orNone(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

func (c *Core) exportsOf(inst *instance) (n int) {
	for _, rec := range c.exports {
		if rec.Of == inst.leaf().Info().ID {
			n++
		}
	}
	return n
}

// outside reports whether an artifact of a license is out that nothing in its
// state accounts for, and that is not over: the license would be in two places if
// it left now.
func (c *Core) outside(inst *instance, r Reading) (bool, error) {
	for _, rec := range c.exports {
		if rec.Of != inst.leaf().Info().ID {
			continue
		}
		end, counted, err := rec.until()
		if err != nil {
			return false, errors.Join(errors.New("export: a record of one's own cannot be read"), err)
		}
		if !counted && end > c.clock.judge(r).Lo {
			return true, nil
		}
	}
	return false, nil
}

// mayLeave refuses to let a license leave of which something is elsewhere that its
// state does not account for: with another system, or, where it leaves the house, with
// its devices.
func (c *Core) mayLeave(h *handover, inst *instance, act permission.Permission) error {
	if h.order.Op == trem.OpCopy {
		return nil
	}
	out, err := c.outside(inst, h.r)
	switch {
	case err != nil:
		return err
	case out:
		return &trem.RefusalError{Decision: c.stays(inst, act)}
	case !h.fellow && (c.parting(inst) || c.dwelling(inst) > 0):
		return &trem.RefusalError{Decision: c.returnFirst(inst, act)}
	}
	return nil
}

// stays refuses to let a license leave of which an artifact is out.
func (c *Core) stays(inst *instance, act permission.Permission) license.Decision {
	return license.Decision{Action: act, License: inst.leaf().Info().ID, Reasons: []license.Reason{{
		Code: license.DestNotAllowed, Constraint: permission.Export.String(), Have: "handed to another system, and not over there", Need: "nowhere else", Closed: true,
		Remedy: license.WaitUntil,
	}}}
}

// forgetExports forgets what was answered about licenses that are not here and
// do not come back: nothing can be debited from them any more.
func (c *Core) forgetExports() {
	known := map[ident.License]bool{}
	for _, inst := range c.held {
		known[inst.leaf().Info().ID] = true
	}
	for _, away := range c.away {
		known[away.License] = true
	}
	maps.DeleteFunc(c.exports, func(_ ident.Request, rec exportRecord) bool { return !known[rec.Of] })
}
