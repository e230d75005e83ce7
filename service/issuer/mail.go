package issuer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// ErrUnproven is returned when a request has to come on a link on which a device of
// the domain has proven itself, and does not.
var ErrUnproven = errors.New("issuer: the sender has not proven which device it is")

// maxPresent bounds the devices that are remembered to be of some domain. Source: local.
const maxPresent = 4096

// present remembers which addresses are devices of domains: those may prove themselves
// on links. The zero value is ready.
type present struct {
	mu sync.Mutex
	is map[lrp.Addr]bool // guarded by mu
}

func (p *present) known(a lrp.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.is[a]
}

func (p *present) set(a lrp.Addr, is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.is == nil || len(p.is) >= maxPresent {
		p.is = map[lrp.Addr]bool{}
	}
	if delete(p.is, a); is {
		p.is[a] = true
	}
}

// home is the domain that a device is of; found is false where it is of none.
func (i *Issuer) home(ctx context.Context, id ident.Device) (domain ident.Domain, found bool, err error) {
	err = i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) (err error) {
		domain, err = r.HomeOf(ctx, id)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return domain, false, nil
	}
	return domain, err == nil, err
}

// FrameBy serves one frame of a household or of a device of a domain that this issuer
// manages: what is for the issuer's module goes there, a letter for another device of
// the domain waits here.
func (i *Issuer) FrameBy(ctx context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
	letter := letterOf(f)
	if f.Type == lrp.TypeHello || f.Type == lrp.TypeResume || letter != nil || i.cfg.Accepts != nil {
		_, is, err := i.home(ctx, ident.Device(f.Src))
		if err != nil {
			return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeInternal, 0)}
		}
		i.present.set(f.Src, is)
	}
	switch {
	case letter == nil:
		return i.handle(ctx, by, f)
	case f.Dst != lrp.Addr(i.self):
		return i.forMember(ctx, by, f, letter)
	}
	return i.endpoint.HandleBy(by, f, i.cfg.Now(), func(src lrp.Addr, _ lrp.SLTP) ([]lrp.SLTP, error) {
		return i.posted(ctx, ident.Device(src), letter)
	})
}

// letterOf is the letter in a frame; nil: it is none.
func letterOf(f lrp.Frame) []byte {
	if f.Type != lrp.TypeSLTP {
		return nil
	}
	m, err := lrp.ParseSLTP(f.Body)
	if err != nil || m.CID != nil || !trem.IsLetter(m.Message) {
		return nil
	}
	return m.Message
}

// posted has the module take a member's LEFT or HERE, and returns what it writes back.
func (i *Issuer) posted(ctx context.Context, from ident.Device, letter []byte) (out []lrp.SLTP, err error) {
	domain, is, err := i.home(ctx, from)
	if err != nil || !is { // it has left, and this was heard
		return nil, err
	}
	_, got, err := i.roll(ctx, domain, trem.RollOrder{Op: trem.RollLetter, Letter: letter}, nil)
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeRejected {
		i.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "letter not taken", slog.Any("from", from), slog.String("rule", e.Text))
	}
	if err != nil {
		return nil, err
	}
	for _, l := range got.Letters {
		if l.To == from {
			out = append(out, lrp.SLTP{Message: l.Bytes})
		}
	}
	return out, nil
}

// forMember keeps a letter for a device of the domain that its sender is of.
func (i *Issuer) forMember(ctx context.Context, by lrp.Arrival, f lrp.Frame, letter []byte) []lrp.Frame {
	refuse := func(code lrp.Code) []lrp.Frame { return []lrp.Frame{lrp.ErrorFrame(f, code, 0)} }
	now := i.cfg.Now()
	if !i.endpoint.Proved(by.Link, f.Src, now) {
		return refuse(lrp.CodeUnproven)
	}
	if f.Expires <= now.UnixMilli() {
		return refuse(lrp.CodeExpired)
	}
	from, is, err := i.home(ctx, ident.Device(f.Src))
	to, there, err2 := i.home(ctx, ident.Device(f.Dst))
	switch {
	case err != nil || err2 != nil:
		return refuse(lrp.CodeInternal)
	case !is || !there || from != to || f.Src == f.Dst:
		return refuse(lrp.CodeUnknownDst)
	}
	l := DomainLetter{
		Domain: to, To: ident.Device(f.Dst), From: ident.Device(f.Src), Topic: f.Tx, At: now.UnixMilli(), Bytes: letter,
		Expires: min(f.Expires, now.Add(lrp.MailLife).UnixMilli()),
	}
	err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error { return keep(ctx, tx, l) })
	switch {
	case errors.Is(err, lrp.ErrFull):
		return refuse(lrp.CodeFull)
	case errors.Is(err, ErrNotFound): // it was put out meanwhile
		return refuse(lrp.CodeUnknownDst)
	case err != nil:
		i.cfg.Log.LogAttrs(ctx, slog.LevelError, "letter not kept", slog.Any("to", l.To), slog.Any("error", err))
		return refuse(lrp.CodeInternal)
	}
	return []lrp.Frame{lrp.Acknowledge(f)}
}

// keep records a letter in the place of an older one of its topic, within the limits
// of a mailbox (docs/spec/lrp.md section 7). What has lapsed goes.
func keep(ctx context.Context, tx Tx, l DomainLetter) error {
	if err := tx.HoldBox(ctx, l.Domain, l.To); err != nil { // numbers ascend as they are committed
		return err
	}
	box, err := tx.Waiting(ctx, l.Domain, l.To, 0)
	if err != nil {
		return err
	}
	count, size, own, ownSize := 1, len(l.Bytes), 1, len(l.Bytes)
	l.Number = uint64(l.At) //nolint:gosec // a time after 1970
	for _, old := range box {
		l.Number = max(l.Number, old.Number+1)
		if old.Expires <= l.At || old.From == l.From && old.Topic == l.Topic {
			if err := tx.DropLetter(ctx, l.Domain, l.To, old.Number); err != nil {
				return err
			}
			continue
		}
		count, size = count+1, size+len(old.Bytes)
		if old.From == l.From {
			own, ownSize = own+1, ownSize+len(old.Bytes)
		}
	}
	if count > lrp.MaxMailBox || size > lrp.MaxBoxBytes || own > lrp.MaxMailSource || ownSize > lrp.MaxSourceBytes {
		return lrp.ErrFull
	}
	fresh, err := tx.PutLetter(ctx, l)
	if err == nil && !fresh { // somebody wrote at the same moment: the sender says it again
		err = ErrBusy
	}
	return err
}

// LettersFor are the letters that wait for a device which has proven itself on the
// link, with numbers above after.
func (i *Issuer) LettersFor(ctx context.Context, link lrp.LinkID, id ident.Device, after uint64) (out []DomainLetter, err error) {
	now := i.cfg.Now()
	if !i.endpoint.Proved(link, lrp.Addr(id), now) {
		return nil, ErrUnproven
	}
	err = i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		out = nil
		domain, err := r.HomeOf(ctx, id)
		if err != nil {
			return err
		}
		box, err := r.Waiting(ctx, domain, id, after)
		for _, l := range box {
			if l.Expires > now.UnixMilli() {
				out = append(out, l)
			}
		}
		return err
	})
	return out, err
}

// CardOf is the card of a device of the domain that who is proven on the link is of,
// by name or ID.
func (i *Issuer) CardOf(ctx context.Context, link lrp.LinkID, name string) (id ident.Device, called string, card trem.Card, err error) {
	var domain ident.Domain
	var d *DomainDevice
	for _, src := range i.endpoint.Sources(link, i.cfg.Now()) {
		at, is, err := i.home(ctx, ident.Device(src))
		if err != nil {
			return id, "", card, err
		}
		if is {
			domain = at
		}
	}
	if domain == (ident.Domain{}) {
		return id, "", card, ErrUnproven
	}
	err = i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		d = nil
		all, err := r.Devices(ctx, domain)
		hits := 0
		for n := range all {
			if all[n].ID.String() == name {
				d, hits = &all[n], 1
				break
			}
			if strings.EqualFold(all[n].Name, name) {
				d, hits = &all[n], hits+1
			}
		}
		if err == nil && hits > 1 {
			err = fmt.Errorf("%d devices have this name, use the ID: %w", hits, ErrConflict)
		}
		return err
	})
	if err != nil {
		return id, "", card, err
	}
	if d == nil {
		return id, "", card, fmt.Errorf("device: %w", ErrNotFound)
	}
	_, got, err := i.roll(ctx, domain, trem.RollOrder{Op: trem.RollCard, Device: d.ID}, nil)
	if err != nil {
		return id, "", card, err
	}
	if len(got.Membership) == 0 {
		return id, "", card, fmt.Errorf("device: %w", ErrNotFound)
	}
	card = trem.Card{Delivery: d.Delivery, Membership: got.Membership}
	card.Chain, err = chainOf(d.Chain)
	return d.ID, d.Name, card, err
}

// dayOf is a day for people.
func dayOf(ms int64) string { return time.UnixMilli(ms).UTC().Format("2 Jan 2006") }
