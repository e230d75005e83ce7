package issuer

import (
	"context"
	"errors"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// draft is what a request will most likely be answered with, made before its
// transaction, so that no transaction waits for the module and the module works for
// several requests at once. It decides nothing: a transaction that comes to other
// terms has the module make those.
type draft struct {
	now   int64         // Unix ms of the request
	id    ident.License // of a license that counts
	terms trem.Terms
	made  trem.Prepared
	// again is the license without state that stands, as it was issued: to give it
	// once more changes nothing, so there is no transaction. Zero: none does.
	again License
}

// draft looks what a request comes to and has the module make it. A request that
// was answered before, or that will be refused, has nothing made.
func (i *Issuer) draft(ctx context.Context, ev trem.Event) (draft, error) {
	d := draft{now: i.cfg.Now().UnixMilli(), id: ident.NewLicense()}
	found := false
	err := i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		_, claimed, err := r.Claimed(ctx, ev.Domain, ev.Request)
		if err != nil || claimed {
			return err
		}
		all, err := r.GrantsFor(ctx, ev.Domain, ident.Content(ev.Content))
		if err != nil {
			return err
		}
		a := issue{Issuer: i, ev: ev, draft: d}
		for _, g := range open(all, d.now) {
			if found, err = a.foresee(ctx, r, g); found || err != nil {
				break
			}
		}
		d = a.draft
		return err
	})
	if err != nil || !found {
		return d, err
	}
	if d.made, err = i.cfg.TREM.Prepare(ctx, d.terms); err != nil {
		var e *trem.Error
		if !errors.As(err, &e) {
			return d, err
		}
		d.terms, d.again = trem.Terms{}, License{} // the transaction asks again, and says what is wrong
	}
	return d, nil
}

// foresee says what a grant would be answered with, if it can be used.
func (a *issue) foresee(ctx context.Context, r Reader, g Grant) (ok bool, err error) {
	id := g.statelessID(a.ev.Generation)
	info, err := g.info(a.id, id, a.ev.Generation, g.IssuedAt)
	if err != nil {
		return false, err
	}
	terms := trem.Terms{Handle: a.ev.Handle, Info: info, Tiers: g.Tiers}
	if info.Stateless() {
		have, err := r.License(ctx, g.Domain, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return false, err
		}
		if err == nil && have.Version == g.Version {
			a.draft.again = have
		}
		a.draft.terms = terms
		return true, nil
	}
	if g.Remaining == 0 {
		return false, nil
	}
	last, err := r.LastSeq(ctx, g.Domain, a.ev.Peer, a.in)
	if err != nil {
		return false, err
	}
	terms.Info.ID, terms.Info.IssuedAt, terms.Seq = a.draft.id, a.draft.now, last+1
	terms.Plays, err = plays(info)
	a.draft.terms = terms
	return true, err
}
