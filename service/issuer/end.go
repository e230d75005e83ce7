package issuer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Renewal is the next version of a license that counts, on its way to the module
// that has it. When it arrives it takes the place of the version before, with what
// was used of that; until then that is the license.
type Renewal struct {
	Domain   ident.Domain
	License  ident.License
	Transfer ident.Transfer
	Version  uint64
	IssuedAt int64    // Unix ms
	Digest   [32]byte // license hash
}

// EndKind says how a license ended before the end of its terms.
type EndKind string

// The ends.
const (
	EndReturned EndKind = "returned" // its household's module has destroyed it
	EndRevoked  EndKind = "revoked"  // by the operator: it is not given again and not renewed
	EndReplaced EndKind = "replaced" // the module that had it is lost: another one gets one in its place
)

// End is the end of a license before the end of its terms.
type End struct {
	Domain  ident.Domain
	License ident.License
	How     EndKind
	At      int64 // Unix ms
}

// Mark tells a database from an older copy of it: the module knows the last one.
type Mark [16]byte

// Errors of a license's end.
var (
	// ErrEnded: the license has ended in another way.
	ErrEnded = errors.New("issuer: this license has ended already")
	// ErrNotDelivered: nobody has it yet, or it is on its way.
	ErrNotDelivered = errors.New("issuer: this license is on its way, or nobody has it")
	// ErrProof: what a household shows proves no return of this license.
	ErrProof = errors.New("issuer: it does not prove that this license was given back")
)

var errOver = &refusal{"NO_GRANT", "the license was given back, revoked or replaced"}

// incarnation is that of the module's transfers.
func (i *Issuer) incarnation() ident.Incarnation { return *i.in.Load() }

// renewable finds the license of a renewed grant that the asking module has, in an
// older version: it is renewed without a count.
func (a *issue) renewable(ctx context.Context, g Grant) (*License, error) {
	issued, err := a.tx.Licenses(ctx, g.Domain)
	if err != nil {
		return nil, err
	}
	for _, l := range issued {
		if l.Grant != g.ID || l.Device != a.ev.Peer || l.State != Delivered || l.Version >= g.Version {
			continue
		}
		if ended, err := a.ended(ctx, l.Domain, l.ID); err != nil || !ended {
			return &l, err
		}
	}
	return nil, nil //nolint:nilnil // none
}

func (a *issue) ended(ctx context.Context, domain ident.Domain, id ident.License) (bool, error) {
	_, err := a.tx.End(ctx, domain, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// renewal makes the next version of a license that counts: a transfer of its own.
// One that is on its way already is sent again.
func (a *issue) renewal(ctx context.Context, g Grant, lic License) (ident.Transfer, error) {
	open, err := a.tx.Renewal(ctx, lic.Domain, lic.ID)
	if err == nil {
		return open.Transfer, a.again(ctx, lic.Domain, open.Transfer)
	}
	if !errors.Is(err, ErrNotFound) {
		return ident.Transfer{}, err
	}
	info, err := g.info(a.id, lic.ID, a.ev.Generation, g.IssuedAt)
	if err != nil {
		return ident.Transfer{}, err
	}
	tid, p, err := a.transfer(ctx, g, info)
	if err != nil {
		return tid, err
	}
	lic.Version, lic.IssuedAt = g.Version, g.IssuedAt
	a.license, a.sealed = lic, p.Sealed
	if err := a.tx.PutTransfer(ctx, Transfer{Domain: g.Domain, ID: tid, License: lic.ID, State: Escrow, XferHash: p.XferHash, Sealed: p.Sealed}); err != nil {
		return tid, err
	}
	return tid, a.tx.PutRenewal(ctx, Renewal{Domain: lic.Domain, License: lic.ID, Transfer: tid, Version: g.Version, IssuedAt: g.IssuedAt, Digest: p.Hash})
}

// transfer has the module make a license for a transfer with the next number.
func (a *issue) transfer(ctx context.Context, g Grant, info license.Info) (want ident.Transfer, p trem.Prepared, err error) {
	in := a.incarnation()
	seq, err := a.tx.NextSeq(ctx, g.Domain, a.ev.Peer, in)
	if err != nil {
		return want, p, err
	}
	n, err := plays(info)
	if err != nil {
		return want, p, err
	}
	if p, err = a.prepare(ctx, trem.Terms{Handle: a.ev.Handle, Info: info, Tiers: g.Tiers, Seq: seq, Plays: n, Roll: a.draft.who.sealed()}); err != nil {
		return want, p, err
	}
	want = ident.Transfer{Src: a.self, Dst: a.ev.Peer, Incarnation: in, Seq: seq}
	if p.Transfer != want {
		return want, p, fmt.Errorf("issuer: the TREM made transfer %v, want %v", p.Transfer, want)
	}
	return want, p, nil
}

// closeRenewal closes a renewal: what arrived is the license from now on. One that
// was refused leaves the version that is held; the count of the grant is untouched.
func closeRenewal(ctx context.Context, tx Tx, t Transfer, lic License, installed bool) error {
	r, err := tx.Renewal(ctx, t.Domain, t.License)
	if err != nil {
		return err
	}
	if r.Transfer != t.ID {
		return ErrConflict
	}
	if installed {
		lic.Version, lic.IssuedAt, lic.Digest = r.Version, r.IssuedAt, r.Digest
		if err := tx.RenewLicense(ctx, lic); err != nil {
			return err
		}
	}
	if err := tx.DropRenewal(ctx, t.Domain, t.License); err != nil {
		return err
	}
	return tx.CloseTransfer(ctx, t.Domain, t.ID)
}

// ReturnLicense takes a loan back at the word of the module that had it, which has
// destroyed it: the copy is free at once, or the next one's who waits. The same
// word again changes nothing.
func (i *Issuer) ReturnLicense(ctx context.Context, domain ident.Domain, id ident.License, proof trem.Proof) error {
	shown, err := i.cfg.TREM.CheckReturn(ctx, proof)
	var te *trem.Error
	if errors.As(err, &te) && te.Code != trem.CodeBroken {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	if err != nil {
		return fmt.Errorf("check a return: %w", i.watch(err))
	}
	lic, g, err := i.licenseAndGrant(ctx, domain, id)
	if err != nil {
		return err
	}
	if shown.License != id || shown.Device != lic.Device || shown.Issuer != i.id {
		return ErrProof
	}
	now := i.cfg.Now().UnixMilli()
	over := func(ctx context.Context, tx Tx) (done bool, err error) {
		fresh, err := tx.PutEnd(ctx, End{Domain: domain, License: id, How: EndReturned, At: now})
		if err != nil || fresh {
			return false, err
		}
		e, err := tx.End(ctx, domain, id)
		if err == nil && e.How != EndReturned {
			err = ErrEnded
		}
		return true, err
	}
	err = i.stocked(ctx, g.Content, func(ctx context.Context, tx Tx, c *copies, _ uint64) error {
		if done, err := over(ctx, tx); err != nil || done {
			return err
		}
		if err := tx.RevokeGrant(ctx, GrantKey{domain, lic.Grant}); err != nil {
			return err
		}
		if l := c.loanOf(domain); l == nil || l.Grant != lic.Grant {
			return nil // it has come back by time
		}
		c.dropLoan(domain)
		return tx.DropLoan(ctx, g.Content, domain)
	})
	if errors.Is(err, ErrNotFound) { // a loan without a stock of copies
		err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
			if done, err := over(ctx, tx); err != nil || done {
				return err
			}
			return tx.RevokeGrant(ctx, GrantKey{domain, lic.Grant})
		})
	}
	if err == nil {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "loan given back", slog.Any("license", id), slog.Any("domain", domain))
	}
	return err
}

func (i *Issuer) licenseAndGrant(ctx context.Context, domain ident.Domain, id ident.License) (lic License, g Grant, err error) {
	err = i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		if lic, err = r.License(ctx, domain, id); err == nil {
			g, err = r.Grant(ctx, GrantKey{domain, lic.Grant})
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("license %v: %w", id, err)
	}
	return lic, g, err
}

// EndIssue revokes one license: it is not given again, not renewed and not
// replaced. What its household has plays by its own rules.
func (i *Issuer) EndIssue(ctx context.Context, domain ident.Domain, id ident.License) error {
	return i.end(ctx, domain, id, EndRevoked, func(ctx context.Context, tx Tx, lic License, stateless bool) error {
		if !stateless {
			return nil
		}
		return tx.RevokeGrant(ctx, GrantKey{domain, lic.Grant}) // its one license
	})
}

// Replace lets another module of the household have a license in the place of one
// whose module is lost, at the operator's word: the old one ends, and its grant has
// one more to issue. The content is not needed for it. A license without state is
// given to whichever module of the household asks, and is not replaced.
func (i *Issuer) Replace(ctx context.Context, domain ident.Domain, id ident.License) error {
	return i.end(ctx, domain, id, EndReplaced, func(ctx context.Context, tx Tx, lic License, stateless bool) error {
		if stateless {
			return fmt.Errorf("%w: every module of the household that asks gets this license", ErrTerms)
		}
		if lic.State != Delivered {
			return ErrNotDelivered
		}
		if _, err := tx.Renewal(ctx, domain, id); !errors.Is(err, ErrNotFound) {
			return cmpErr(err, ErrNotDelivered)
		}
		return tx.Credit(ctx, GrantKey{domain, lic.Grant})
	})
}

// end writes the end of a license and what follows from it; the same again changes nothing.
func (i *Issuer) end(ctx context.Context, domain ident.Domain, id ident.License, how EndKind, then func(context.Context, Tx, License, bool) error) error {
	now := i.cfg.Now().UnixMilli()
	err := i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		lic, err := tx.License(ctx, domain, id)
		if err != nil {
			return fmt.Errorf("license %v: %w", id, err)
		}
		g, err := tx.Grant(ctx, GrantKey{domain, lic.Grant})
		if err != nil {
			return err
		}
		info, err := g.info(i.id, id, 1, g.IssuedAt)
		if err != nil {
			return err
		}
		fresh, err := tx.PutEnd(ctx, End{Domain: domain, License: id, How: how, At: now})
		if err != nil {
			return err
		}
		if fresh {
			return then(ctx, tx, lic, info.Stateless())
		}
		e, err := tx.End(ctx, domain, id)
		if err == nil && e.How != how {
			err = ErrEnded
		}
		return err
	})
	if err == nil {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "license ended", slog.Any("license", id), slog.Any("domain", domain), slog.String("how", string(how)))
	}
	return err
}
