package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/trem"
)

// wish is what this device asked its house for and has no final answer to. It
// is on disk before it is asked: plays that the house has set aside for a
// command that was killed come by the repetition, under the same request ID.
type wish struct {
	Request ident.Request `json:"request"`
	Content ident.Content `json:"content"`
	Plays   uint64        `json:"plays,omitzero"`
	Op      trem.Op       `json:"op,omitzero"` // the license itself, a copy or a loan is asked for
	ForMS   int64         `json:"for_ms,omitzero"`
}

// maxWishes bounds the wishes without an answer; the oldest go. Source: local.
const maxWishes = 64

// errOpen is an exchange that ended without a final answer.
var errOpen = errors.New("the house sent no copy")

// errTakenBack is a repeated request whose plays the house has taken back.
var errTakenBack = errors.New("the house has taken it back: it did not arrive here")

// get renews what this device knows of its house, finishes what earlier
// commands began, then asks for a copy.
func (d *device) get(ctx context.Context, env *Env, want wish) (gotten, error) {
	if d.cfg.Home == "" {
		return gotten{}, errors.New("this device belongs to no house yet: lares device pair")
	}
	if err := d.renew(ctx); err != nil {
		return gotten{}, err
	}
	if err := d.follow(ctx); err != nil {
		return gotten{}, err
	}
	d.look(ctx, env, meetsHouse)
	st, err := d.trem.Status(ctx)
	if err != nil {
		return gotten{}, err
	}
	courier := &http.Courier{Module: d.trem, Link: d.house(st.Device), Src: st.Device, Dst: d.cfg.Server, Now: env.Now}
	w, err := d.wish(want)
	if err != nil {
		return gotten{}, err
	}
	d.finish(ctx, courier, w)
	got, err := d.fulfil(ctx, courier, w)
	d.settle(ctx, courier)
	if p, err := d.post(ctx, env); err == nil {
		_, _ = p.letters(ctx) // what cannot be said now is said with the next command
	}
	d.keepLogs(ctx, st.Device)
	return got, err
}

// finish asks again for what earlier commands have no final answer to; it stays
// on the list while it has none.
func (d *device) finish(ctx context.Context, courier *http.Courier, except wish) {
	for _, old := range slices.Clone(d.cfg.Asked) {
		if old != except {
			_, _ = d.fulfil(ctx, courier, old)
		}
	}
}

// wish finds the unanswered request that this command repeats, or notes a new one.
func (d *device) wish(w wish) (wish, error) {
	for _, old := range d.cfg.Asked {
		if w.Request = old.Request; w == old {
			return old, nil
		}
	}
	w.Request = ident.NewRequest()
	d.cfg.Asked = append(d.cfg.Asked, w)
	d.cfg.Asked = d.cfg.Asked[max(0, len(d.cfg.Asked)-maxWishes):]
	return w, d.save()
}

// fulfil asks for a wish and takes it off the list when the answer is final.
func (d *device) fulfil(ctx context.Context, courier *http.Courier, w wish) (gotten, error) {
	var got gotten
	var final bool
	var err error
	for range 2 { // a house that has just learned how far this device's log is wants to be asked once more
		var events []trem.Event
		events, err = d.ask(ctx, courier, trem.LicenseRequest{Peer: d.cfg.Server, Request: w.Request, Content: w.Content, Plays: w.Plays, Op: w.Op, ForMS: w.ForMS})
		if got, final, err = d.outcome(ctx, w, events, err); final || !askedTooSoon(events) {
			break
		}
	}
	if !final {
		return gotten{}, later("nothing came yet; the same command asks again (%w)", err)
	}
	d.cfg.Asked = slices.DeleteFunc(d.cfg.Asked, func(old wish) bool { return old == w })
	return got, errors.Join(err, d.save())
}

// askedTooSoon reports whether the house said TRY_LATER without saying when.
func askedTooSoon(events []trem.Event) bool {
	return slices.ContainsFunc(events, func(e trem.Event) bool {
		return e.Kind == trem.EventRefused && e.Code == sltp.ErrorTryLater.String() && e.RetryMS == 0
	})
}

// outcome reads what an exchange led to. Without a final answer the wish stays.
func (d *device) outcome(ctx context.Context, w wish, events []trem.Event, err error) (got gotten, final bool, _ error) {
	closed := false
	for _, e := range events {
		switch e.Kind {
		case trem.EventInstalled, trem.EventClosed: // closed alone: a repetition of what was installed before
			if e.License == (ident.License{}) {
				closed = true
				continue
			}
			got, err := d.holding(ctx, e.License, w.Content)
			return got, true, err
		case trem.EventRefused:
			if c, _ := sltp.ErrorCodeOf(e.Code); c == sltp.ErrorTryLater || c == sltp.ErrorUnavailable || e.RetryMS > 0 {
				return gotten{}, false, fmt.Errorf("%s: %s", e.Code, httpd.SourceWords(e.Code))
			}
			return gotten{}, true, refused("the house refused: %s: %s", e.Code, httpd.SourceWords(e.Code))
		case trem.EventFailed:
			if e.Code == sltp.AlertCertificate.String() {
				return gotten{}, true, refused("the house does not accept this device: its certificate was withdrawn by the safety list, or has run out (%s)", e.Text)
			}
			err = errors.Join(err, fmt.Errorf("the exchange failed: %s", e.Text))
		default: // the rest is between the modules
		}
	}
	switch {
	case closed:
		return gotten{}, true, later("%w; ask again", errTakenBack)
	case err == nil:
		err = errOpen
	}
	return gotten{}, false, err
}

// ask repeats a request under one request ID until it is answered: a house
// that was restarted in the middle answers the repetition as it would have.
func (d *device) ask(ctx context.Context, courier *http.Courier, req trem.LicenseRequest) (events []trem.Event, err error) {
	for range 3 {
		var opened trem.Opened
		if opened, err = d.trem.Open(ctx, req); err != nil {
			return nil, err
		}
		if events, err = courier.Fetch(ctx, opened); len(events) > 0 {
			return events, err
		}
	}
	return nil, err
}

// settle tells the house what has arrived, where its answer to that was lost.
// A house that is away hears it with the next command.
func (d *device) settle(ctx context.Context, courier *http.Courier) {
	for range maxWishes {
		opened, err := d.trem.Resend(ctx, d.cfg.Server)
		if err != nil || len(opened.Messages) == 0 {
			return
		}
		events, err := courier.Fetch(ctx, opened)
		if err != nil || !slices.ContainsFunc(events, func(e trem.Event) bool { return e.Kind == trem.EventClosed }) {
			return
		}
	}
}

func (d *device) holding(ctx context.Context, lic ident.License, id ident.Content) (gotten, error) {
	held, err := d.trem.Licenses(ctx)
	if err != nil {
		return gotten{}, err
	}
	for _, h := range held {
		if h.License == lic {
			return gotten{License: lic, Content: id, Counters: h.Counters}, nil
		}
	}
	return gotten{}, errors.New("the copy came and is not here any more")
}
