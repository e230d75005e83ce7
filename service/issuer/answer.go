package issuer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// refusal is an answer that is no license. Nothing of its transaction stays.
type refusal struct {
	code string // as security/sltp names it
	why  string // for the log
}

func (r *refusal) Error() string { return "refused: " + r.why }

// The refusals of an issuer.
var (
	errNoGrant   = &refusal{"NO_GRANT", "nothing was granted to this household"}
	errEnded     = &refusal{"NO_GRANT", "the grant has expired or was revoked"}
	errExhausted = &refusal{"EXHAUSTED", "all licenses of the grant were issued"}
	errOther     = &refusal{"CONFLICT", "the request ID was used for another request"}
	errChanged   = &refusal{"UNAVAILABLE", "the license cannot be made again as it was"}
	errUnknown   = &refusal{"UNKNOWN", "no such transfer"}
	errFailed    = &refusal{"UNAVAILABLE", "the TREM does not make this license"}
)

// serveTimeout bounds the work on one message, whether its sender waits or not.
const serveTimeout = 30 * time.Second

// Handle serves one frame of a household and returns the frames to send back.
// A message that was begun is served to its end even when the caller's
// connection is gone: the answer is kept, and the repeat gets it.
func (i *Issuer) Handle(ctx context.Context, f lrp.Frame) []lrp.Frame {
	return i.handle(ctx, lrp.Arrival{}, f)
}

func (i *Issuer) handle(ctx context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), serveTimeout)
	defer cancel()
	return i.endpoint.HandleBy(by, f, i.cfg.Now(), func(_ lrp.Addr, m lrp.SLTP) ([]lrp.SLTP, error) {
		out, err := i.receive(ctx, trem.SLTPMessage{CID: m.CID, Bytes: m.Message})
		if err != nil {
			i.cfg.Log.LogAttrs(ctx, slog.LevelError, "message not served", slog.Any("error", err))
			if errors.Is(err, ErrBusy) {
				err = lrp.ErrLater
			}
			return nil, err
		}
		frames := make([]lrp.SLTP, len(out))
		for n, m := range out {
			frames[n] = lrp.SLTP{CID: m.CID, Message: m.Bytes}
		}
		return frames, nil
	})
}

// receive gives a message to the TREM and acts on its events. What it returns
// is sent only after everything is durable.
func (i *Issuer) receive(ctx context.Context, m trem.SLTPMessage) ([]trem.SLTPMessage, error) {
	got, err := i.cfg.TREM.Receive(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("give a message to the TREM: %w", i.watch(err))
	}
	out := got.Messages
	for _, ev := range got.Events {
		more, err := i.react(ctx, ev)
		if err != nil {
			return nil, i.watch(err)
		}
		out = append(out, more...)
	}
	return out, nil
}

func (i *Issuer) react(ctx context.Context, ev trem.Event) ([]trem.SLTPMessage, error) {
	switch ev.Kind {
	case trem.EventRequest:
		return i.orRefuse(ctx, ev, i.request)
	case trem.EventQuery:
		return i.orRefuse(ctx, ev, i.query)
	case trem.EventReceipt:
		return i.receipt(ctx, ev)
	case trem.EventFailed:
		i.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "exchange failed", slog.Any("peer", ev.Peer), slog.String("rule", ev.Text))
	case trem.EventDropped:
		i.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "message dropped", slog.String("rule", ev.Text))
	case trem.EventInstalled, trem.EventRefused, trem.EventClosed, trem.EventLoanOver, trem.EventReleased, trem.EventLeft, trem.EventBound: // a house's
	}
	return nil, nil
}

// orRefuse makes a refusal the answer.
func (i *Issuer) orRefuse(ctx context.Context, ev trem.Event, fn func(context.Context, trem.Event) ([]trem.SLTPMessage, error)) ([]trem.SLTPMessage, error) {
	out, err := fn(ctx, ev)
	var no *refusal
	if !errors.As(err, &no) {
		return out, err
	}
	i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "request refused", slog.Any("request", ev.Request), slog.Any("domain", ev.Domain), slog.String("why", err.Error()))
	return i.cfg.TREM.Refuse(ctx, ev.Handle, no.code, 0)
}

// request answers a household that wants a license: one transaction, then the
// release. A license without state that stands as it was issued needs none.
func (i *Issuer) request(ctx context.Context, ev trem.Event) ([]trem.SLTPMessage, error) {
	who, err := i.member(ctx, &ev)
	if err != nil {
		return nil, err
	}
	d, err := i.draft(ctx, ev, who)
	if err != nil {
		return nil, err
	}
	if d.again.ID != (ident.License{}) && d.again.Digest == d.made.Hash {
		return i.cfg.TREM.Release(ctx, ev.Handle, d.made.Sealed)
	}
	a := issue{Issuer: i, ev: ev, draft: d}
	if err = errStale; d.grant.ID != (GrantID{}) {
		err = a.foreseen(ctx)
	}
	if errors.Is(err, errStale) {
		err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
			a = issue{Issuer: i, tx: tx, ev: ev, draft: d}
			return a.run(ctx)
		})
	}
	if err != nil {
		return nil, err
	}
	if a.closed != nil {
		return i.cfg.TREM.Done(ctx, *a.closed)
	}
	if a.license.ID != (ident.License{}) {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "license issued", slog.Any("license", a.license.ID), slog.Any("grant", a.license.Grant),
			slog.Any("domain", ev.Domain), slog.Any("device", ev.Peer))
	}
	return i.cfg.TREM.Release(ctx, ev.Handle, a.sealed)
}

// issue is one request's transaction.
type issue struct {
	*Issuer
	tx      Tx
	ev      trem.Event
	draft   draft
	license License    // newly issued; zero for a repetition
	sealed  []byte     // to release
	closed  *trem.Done // instead of sealed: the transfer is over
	renews  *License   // that the chosen grant renews
}

func (a *issue) run(ctx context.Context) error {
	now := a.draft.now
	c := Claim{Domain: a.ev.Domain, Request: a.ev.Request, Hash: sha256.Sum256(a.ev.Body), At: now}
	prior, fresh, err := a.tx.Claim(ctx, c)
	if err != nil {
		return err
	}
	if !fresh {
		if prior.Hash != c.Hash {
			return errOther
		}
		return a.repeat(ctx, prior)
	}
	g, err := a.choose(ctx, now)
	if err != nil {
		return err
	}
	if c.License, c.Transfer, err = a.make(ctx, g, now); err != nil {
		return err
	}
	return a.tx.Answer(ctx, c)
}

// repeat answers a request that was answered before with the same thing.
func (a *issue) repeat(ctx context.Context, c Claim) error {
	if over, err := a.ended(ctx, c.Domain, c.License); err != nil || over {
		return cmpErr(err, errOver)
	}
	if c.Transfer.Seq != 0 {
		return a.again(ctx, c.Domain, c.Transfer)
	}
	lic, err := a.tx.License(ctx, c.Domain, c.License)
	if err != nil {
		return err
	}
	g, err := a.tx.Grant(ctx, GrantKey{c.Domain, lic.Grant})
	if err != nil {
		return err
	}
	return a.stateless(ctx, g, lic)
}

// again releases the stored answer of a transfer, or says that it is closed.
func (a *issue) again(ctx context.Context, domain ident.Domain, id ident.Transfer) error {
	t, err := a.tx.Transfer(ctx, domain, id)
	if err != nil {
		return err
	}
	if t.State == Escrow {
		a.sealed = t.Sealed
		return nil
	}
	low, err := a.tx.Low(ctx, t.Domain, id)
	a.closed = &trem.Done{Handle: a.ev.Handle, Transfer: id, Low: low}
	return err
}

// choose finds the grant to use: by the rank of its kind, then the one that ends
// first, then the oldest.
func (a *issue) choose(ctx context.Context, now int64) (Grant, error) {
	all, err := a.tx.GrantsFor(ctx, a.ev.Domain, ident.Content(a.ev.Content))
	if err != nil {
		return Grant{}, err
	}
	if len(all) == 0 {
		return Grant{}, errNoGrant
	}
	some := open(all, now)
	if len(some) == 0 {
		return Grant{}, errEnded
	}
	no := errExhausted
	for _, g := range some {
		if ok, err := a.draft.who.fits(&g); !ok || err != nil {
			if no = errTooMany; err != nil {
				return g, err
			}
			continue
		}
		ok, err := a.usable(ctx, g)
		if ok || err != nil {
			return g, err
		}
	}
	return Grant{}, no
}

// open are the grants that issue something now, in the order in which they are used.
func open(all []Grant, now int64) []Grant {
	some := slices.DeleteFunc(slices.Clone(all), func(g Grant) bool { return g.Revoked || g.Expires != 0 && g.Expires <= now })
	slices.SortStableFunc(some, func(x, y Grant) int {
		return cmp.Or(cmp.Compare(y.Kind.rank(), x.Kind.rank()), cmp.Compare(uint64(x.Expires-1), uint64(y.Expires-1)), cmp.Compare(x.Created, y.Created)) //nolint:gosec // 0 = never sorts last
	})
	return some
}

// usable takes one license from the grant. The one license of a stateless
// grant is taken once.
func (a *issue) usable(ctx context.Context, g Grant) (bool, error) {
	info, err := g.info(a.id, ident.License{1}, a.ev.Generation, g.IssuedAt)
	if err != nil {
		return false, err
	}
	if info.Stateless() {
		if used, err := a.used(ctx, g); used || err != nil {
			return used, err
		}
	}
	if !info.Stateless() && g.Version > 1 {
		if a.renews, err = a.renewable(ctx, g); err != nil || a.renews != nil {
			return a.renews != nil, err
		}
	}
	return a.tx.Debit(ctx, GrantKey{g.Domain, g.ID})
}

// used reports whether the license of a stateless grant was issued: for this
// generation of the household, which is quickly found, or for another one.
func (a *issue) used(ctx context.Context, g Grant) (bool, error) {
	_, err := a.tx.License(ctx, g.Domain, g.statelessID(a.ev.Generation))
	if errors.Is(err, ErrNotFound) {
		return a.tx.Used(ctx, GrantKey{g.Domain, g.ID})
	}
	return err == nil, err
}

// make issues a license of g and records it.
func (a *issue) make(ctx context.Context, g Grant, now int64) (ident.License, ident.Transfer, error) {
	lic := License{
		Domain: g.Domain, ID: g.statelessID(a.ev.Generation), Device: a.ev.Peer, Grant: g.ID, Request: a.ev.Request,
		State: Issued, Version: g.Version, IssuedAt: g.IssuedAt,
	}
	info, err := g.info(a.id, lic.ID, a.ev.Generation, lic.IssuedAt)
	if err != nil {
		return lic.ID, ident.Transfer{}, err
	}
	if info.Stateless() {
		return lic.ID, ident.Transfer{}, a.stateless(ctx, g, lic)
	}
	if a.renews != nil {
		tid, err := a.renewal(ctx, g, *a.renews)
		return a.renews.ID, tid, err
	}
	lic.ID, lic.IssuedAt = a.draft.id, now // of the grant's version: a renewal has a higher one
	info.ID, info.IssuedAt = lic.ID, lic.IssuedAt
	tid, err := a.stateful(ctx, g, lic, info)
	return lic.ID, tid, err
}

// stateless makes the grant's one license, the first time or again.
func (a *issue) stateless(ctx context.Context, g Grant, lic License) error {
	info, err := g.info(a.id, lic.ID, a.ev.Generation, g.IssuedAt)
	if err != nil {
		return err
	}
	p, err := a.prepare(ctx, trem.Terms{Handle: a.ev.Handle, Info: info, Tiers: g.Tiers, Roll: a.draft.who.sealed()})
	if err != nil {
		return err
	}
	lic.Digest, lic.Version, lic.IssuedAt = p.Hash, g.Version, g.IssuedAt
	fresh, err := a.tx.PutLicense(ctx, lic)
	if err != nil {
		return err
	}
	if fresh {
		a.license = lic
	} else if lic, err = a.renewed(ctx, lic); err != nil {
		return err
	}
	if lic.Digest != p.Hash { // other keys were registered since, or another module signs
		return errChanged
	}
	a.sealed = p.Sealed
	return nil
}

// renewed is the license as it was issued, or now is in a higher version.
func (a *issue) renewed(ctx context.Context, lic License) (License, error) {
	have, err := a.tx.License(ctx, lic.Domain, lic.ID)
	if err != nil || have.Version >= lic.Version {
		return have, err
	}
	have.Version, have.IssuedAt, have.Digest = lic.Version, lic.IssuedAt, lic.Digest
	a.license = have
	return have, a.tx.RenewLicense(ctx, have)
}

// stateful makes a license whose state must be in one place only: a transfer.
func (a *issue) stateful(ctx context.Context, g Grant, lic License, info license.Info) (ident.Transfer, error) {
	want, p, err := a.transfer(ctx, g, info)
	if err != nil {
		return want, err
	}
	lic.Digest = p.Hash
	if fresh, err := a.tx.PutLicense(ctx, lic); err != nil || !fresh {
		return want, errors.Join(err, ErrConflict)
	}
	a.license, a.sealed = lic, p.Sealed
	return want, a.tx.PutTransfer(ctx, Transfer{Domain: g.Domain, ID: want, License: lic.ID, State: Escrow, XferHash: p.XferHash, Sealed: p.Sealed})
}

// prepare asks the TREM for the license, unless that is made. What the TREM will
// not make is a refusal for the household and an error for the operator.
func (a *issue) prepare(ctx context.Context, t trem.Terms) (trem.Prepared, error) {
	if reflect.DeepEqual(t, a.draft.terms) {
		return a.draft.made, nil
	}
	p, err := a.cfg.TREM.Prepare(ctx, t)
	var e *trem.Error
	if errors.As(err, &e) && (e.Code == trem.CodeRejected || e.Code == trem.CodeUnknown) {
		a.cfg.Log.LogAttrs(ctx, slog.LevelError, "license not made", slog.Any("license", t.Info.ID), slog.Any("error", err))
		return p, errFailed
	}
	return p, err
}

// plays is the count of a license, or 0.
func plays(info license.Info) (uint64, error) {
	u, err := info.Units()
	if err != nil {
		return 0, err
	}
	for _, x := range u.UsageFor(permission.Play) {
		if x.PlayCount != 0 {
			return x.PlayCount, nil
		}
	}
	return 0, nil
}
