package issuer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// ErrSetBack: the database, or a domain's list in it, is older than what the module
// remembers. Nobody serves from it until the operator has accepted that.
var ErrSetBack = errors.New("issuer: the database is older than what its module remembers, and nobody has accepted that (lares issuer db accept-setback)")

// maxLost bounds the domains that a SetBack names.
const maxLost = 100

// SetBack is how a database stands to what the module remembers.
type SetBack struct {
	Older   bool           `json:"older"`        // its mark is another than that of the one that was served last
	Forgot  bool           `json:"forgot"`       // it was put back further than the module remembers: accepted, every domain is made anew
	Domains int            `json:"domains"`      // that this module manages
	Behind  int            `json:"behind"`       // of them, those of which a few steps are lost: the module knows them, and does them again
	Lost    int            `json:"lost"`         // of them, those that are made anew, without members, once that is accepted
	Named   []ident.Domain `json:"lost_domains"` // the first 100 of these
}

// Whole reports whether there is nothing to accept.
func (s *SetBack) Whole() bool { return !s.Older && s.Lost == 0 }

// Book tells the module which state of the database this is, and lets it tell its
// own from an older copy: that is ErrSetBack. A crash at any place is none: until the
// next mark is shown, the module takes the one before, too.
func (i *Issuer) Book(ctx context.Context) error { return i.book(ctx, trem.BookShow) }

func (i *Issuer) book(ctx context.Context, how trem.BookHow) error {
	have, err := i.mark(ctx)
	if err != nil {
		return err
	}
	was := i.incarnation()
	var next Mark
	rand.Read(next[:]) // never returns an error
	if err := i.showMark(ctx, trem.Book{Have: have, Next: next, How: how}); err != nil {
		return err
	}
	if how == trem.BookAccept {
		About(ctx, was.String()+" "+i.incarnation().String())
	}
	if err := i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error { return tx.PutMark(ctx, i.self, next) }); err != nil {
		return err
	}
	return i.showMark(ctx, trem.Book{Have: next, Next: next})
}

// mark is the one that the module has set last in this database; zeros: none.
func (i *Issuer) mark(ctx context.Context) (have Mark, err error) {
	err = i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) (err error) {
		if have, err = r.Mark(ctx, i.self); errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	})
	return have, err
}

func (i *Issuer) showMark(ctx context.Context, show trem.Book) error {
	b, err := i.cfg.TREM.Book(ctx, show)
	if isState(err) {
		err = i.whySetBack(ctx, show.Have, err)
	}
	if errors.Is(err, ErrSetBack) {
		return err
	}
	if err != nil {
		return fmt.Errorf("show the TREM the database's mark: %w", i.watch(err))
	}
	if b.Renewed {
		i.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "an older copy of the database was accepted: transfers are numbered anew", slog.Any("incarnation", b.Incarnation))
	}
	i.in.Store(&b.Incarnation)
	return nil
}

// whySetBack is what a mark was refused for: ErrSetBack where the module says, when it
// only looks, that this is not its database. One that is not enrolled or was wiped
// refuses with the same code, to look, too: that is no reason to give up a database.
func (i *Issuer) whySetBack(ctx context.Context, have Mark, refusal error) error {
	b, err := i.cfg.TREM.Book(ctx, trem.Book{Have: have, How: trem.BookLook})
	switch {
	case err != nil:
		return err
	case b.Renewed:
		return ErrSetBack
	}
	return refusal
}

// LookBack says how the database stands to what the module remembers. It changes nothing.
func (i *Issuer) LookBack(ctx context.Context) (out SetBack, err error) {
	have, err := i.mark(ctx)
	if err != nil {
		return out, err
	}
	b, err := i.cfg.TREM.Book(ctx, trem.Book{Have: have, How: trem.BookLook})
	if err != nil {
		return out, fmt.Errorf("show the TREM the database's mark: %w", i.watch(err))
	}
	out = SetBack{Older: b.Renewed, Named: []ident.Domain{}}
	var first []ident.Domain
	err = i.eachRoll(ctx, func(r DomainRoll) error {
		got, err := i.cfg.TREM.Roll(ctx, trem.RollOrder{Op: trem.RollCard, Roll: r.Roll})
		switch {
		case isRejected(err): // of another module: several issuers share the database
			return nil
		case isState(err):
			out.Lost, out.Named = out.Lost+1, upTo(maxLost, out.Named, r.Domain)
		case err != nil:
			return i.watch(err)
		case got.Generation > r.Generation:
			out.Behind++
		}
		out.Domains, first = out.Domains+1, upTo(maxLost, first, r.Domain)
		return nil
	})
	if b.Forgot && !out.Whole() {
		out.Forgot, out.Behind, out.Lost, out.Named = true, 0, out.Domains, append([]ident.Domain{}, first...)
	}
	return out, err
}

// upTo appends one to a list that gets no longer than most.
func upTo(most int, list []ident.Domain, d ident.Domain) []ident.Domain {
	if len(list) < most {
		list = append(list, d)
	}
	return list
}

// AcceptSetBack has the module take the database though it is an older copy, at the
// operator's word, and makes the domains anew whose lists are too old. It returns what
// there was to accept; there may be nothing. An operator's act stands in the log with the
// mark, and names the incarnation before and the new one. What a crash leaves is done by who
// accepts again, or with the first word about each domain.
func (i *Issuer) AcceptSetBack(ctx context.Context) (SetBack, error) {
	was, err := i.LookBack(ctx)
	if err != nil || was.Whole() {
		return was, err
	}
	if err := i.book(ctx, trem.BookAccept); err != nil {
		return was, err
	}
	return was, i.eachRoll(ctx, func(r DomainRoll) error {
		_, _, err := i.roll(ctx, r.Domain, trem.RollOrder{Op: trem.RollCard}, nil)
		if isRejected(err) || errors.Is(err, ErrNotFound) { // of another module, or ended meanwhile
			return nil
		}
		return err
	})
}

// eachRoll does something with each domain of the database.
func (i *Issuer) eachRoll(ctx context.Context, do func(DomainRoll) error) error {
	for after := (ident.Domain{}); ; {
		var page []DomainRoll
		err := i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) (err error) {
			page, err = r.Rolls(ctx, after, pageSize)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			if err := do(r); err != nil {
				return err
			}
			after = r.Domain
		}
	}
}

// anew makes a domain anew whose list in this database is older than what the module
// remembers, so that nobody knows who was put out since: nobody is in it then, who
// belongs to it joins again, and it keeps what was granted to it. The module does that
// once the operator has accepted that the database was put back; said again, by a process
// that has seen the old list, too, it changes nothing there, and the list that was
// written first stands.
func (i *Issuer) anew(ctx context.Context, r DomainRoll) error {
	got, err := i.cfg.TREM.Roll(ctx, trem.RollOrder{Op: trem.RollCreate, Roll: r.Roll, Devices: r.Devices, NewAYear: r.NewAYear})
	refused := isState(err)
	if refused { // by what it knows of lists, if it knows databases; else not enrolled, or wiped
		if _, look := i.cfg.TREM.Book(ctx, trem.Book{How: trem.BookLook}); look != nil {
			return i.watch(look)
		}
	} else if err != nil {
		return i.watch(err)
	}
	var mine bool
	err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		now, err := tx.Roll(ctx, r.Domain)
		if mine = err == nil && now.Version == r.Version; !mine {
			return err // another one was before, whose list is looked at next
		}
		if refused {
			return fmt.Errorf("domain %v: %w", r.Domain, ErrSetBack)
		}
		now.Roll, now.Generation, now.Version = got.Roll, got.Generation, now.Version+1
		if mine, err = tx.SetRoll(ctx, now); err != nil || !mine {
			return err
		}
		return forgetOthers(ctx, tx, r.Domain, nil)
	})
	if err == nil && mine {
		i.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "domain made anew, its devices join again: the database is an older copy", slog.Any("domain", r.Domain))
	}
	return err
}

func isState(err error) bool    { return isCode(err, trem.CodeState) }
func isRejected(err error) bool { return isCode(err, trem.CodeRejected) }

func isCode(err error, code trem.Code) bool {
	e, ok := errors.AsType[*trem.Error](err)
	return ok && e.Code == code
}
