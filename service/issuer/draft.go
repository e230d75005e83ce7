package issuer

import (
	"context"
	"crypto/sha256"
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
	grant Grant // of a license that counts
	made  trem.Prepared
	// again is the license without state that stands, as it was issued: to give it
	// once more changes nothing, so there is no transaction. Zero: none does.
	again License
	// renews: a grant of a license that counts was renewed, so that nothing is foreseen.
	renews bool
	who    *member // who asks, of a domain that this issuer manages; nil: a home server
}

// draft looks what a request comes to and has the module make it. A request that
// was answered before, or that will be refused, has nothing made.
func (i *Issuer) draft(ctx context.Context, ev trem.Event, who *member) (draft, error) {
	d := draft{who: who, now: i.cfg.Now().UnixMilli(), id: ident.NewLicense()}
	ahead, err := i.cfg.Store.Ahead(ctx, Asked{Domain: ev.Domain, Request: ev.Request, Content: ident.Content(ev.Content), Peer: ev.Peer, Incarnation: i.incarnation()})
	if err != nil || ahead.Claimed {
		return d, err
	}
	found := false
	a := issue{Issuer: i, ev: ev, draft: d}
	for _, g := range open(ahead.Grants, d.now) {
		if ok, err := who.fits(&g); err != nil || !ok {
			continue // the transaction says it
		}
		if found, err = a.foresee(ctx, g, ahead.Last+1); found || err != nil || a.draft.renews {
			break // what renews, the transaction looks who has it
		}
	}
	if d = a.draft; err != nil || !found {
		return d, err
	}
	if d.made, err = i.cfg.TREM.Prepare(ctx, d.terms); err != nil {
		if _, said := errors.AsType[*trem.Error](err); !said {
			return d, err
		}
		d.terms, d.grant, d.again = trem.Terms{}, Grant{}, License{} // the transaction asks again, and says what is wrong
	}
	return d, nil
}

// foresee says what a grant would be answered with, if it can be used.
func (a *issue) foresee(ctx context.Context, g Grant, next uint64) (ok bool, err error) {
	id := g.statelessID(a.ev.Generation)
	info, err := g.info(a.id, id, a.ev.Generation, g.IssuedAt)
	if err != nil {
		return false, err
	}
	terms := trem.Terms{Handle: a.ev.Handle, Info: info, Tiers: g.Tiers, Roll: a.draft.who.sealed()}
	if info.Stateless() {
		have, err := a.cfg.Store.License(ctx, g.Domain, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return false, err
		}
		if err == nil && have.Version == g.Version {
			a.draft.again = have
		}
		a.draft.terms = terms
		return true, nil
	}
	if g.Version > 1 {
		a.draft.renews = true
		return false, nil
	}
	if g.Remaining == 0 {
		return false, nil
	}
	terms.Info.ID, terms.Info.IssuedAt, terms.Seq = a.draft.id, a.draft.now, next
	terms.Plays, err = plays(info)
	a.draft.terms, a.draft.grant = terms, g
	return true, err
}

// foreseen issues what was made, in one step, if everything is as it was foreseen.
func (a *issue) foreseen(ctx context.Context) error {
	d, g := &a.draft, &a.draft.grant
	tid := ident.Transfer{Src: a.self, Dst: a.ev.Peer, Incarnation: a.incarnation(), Seq: d.terms.Seq}
	if d.made.Transfer != tid {
		return errStale
	}
	lic := License{
		Domain: g.Domain, ID: d.id, Device: a.ev.Peer, Grant: g.ID, Request: a.ev.Request, State: Issued, Version: d.terms.Info.Version, IssuedAt: d.now, Digest: d.made.Hash,
	}
	ok, err := a.cfg.Store.Issue(ctx, Issue{
		Claim: Claim{Domain: g.Domain, Request: a.ev.Request, Hash: sha256.Sum256(a.ev.Body), License: d.id, Transfer: tid, At: d.now},
		Grant: GrantKey{g.Domain, g.ID}, Version: g.Version, License: lic,
		Transfer: Transfer{Domain: g.Domain, ID: tid, License: d.id, State: Escrow, XferHash: d.made.XferHash, Sealed: d.made.Sealed},
	})
	if err == nil && !ok {
		err = errStale
	}
	a.license, a.sealed = lic, d.made.Sealed
	return err
}

// errStale is of a draft that was overtaken: nothing of it is left.
var errStale = errors.New("issuer: overtaken")
