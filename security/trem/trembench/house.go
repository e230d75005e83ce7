package trembench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/core"
)

// Film is what is played and handed over.
const Film = ident.Content("film")

// counted are the terms of what is handed over: every MOVE is a transfer of state.
const counted = "PLAY; PLAY_COUNT=1000; MOVE=DOMAIN; LEND"

// House is where, by which clocks and on what disk a house of real modules is
// measured: a shop's issuer, a home server and two of its devices, which hold
// one license between them.
type House struct {
	Dir string                        // an empty folder, or none yet
	Now func() time.Time              // the clock of whoever waits
	CPU func() (time.Duration, error) // that this process has used so far
	Off bool                          // leave syncs out: what is measured is the processor

	begin                       time.Time
	offers                      map[ident.Content]string // terms; nil = the film, counted
	anchors                     bool                     // its modules have a register that cannot be set back
	keys                        map[ident.Content][]content.TierKey
	seq                         uint64 // of the shop's newest transfer
	issuer, home, tablet, phone *module
	cards                       map[ident.Device]trem.Card // what the house tells of its modules
	wire                        *loopback
}

// open makes the house, and has it buy what the shop offers.
func (h *House) open(ctx context.Context) error {
	d, err := h.found(ctx)
	if err != nil {
		return err
	}
	h.cards = map[ident.Device]trem.Card{}
	for name, m := range map[string]**module{"tablet": &h.tablet, "phone": &h.phone} {
		if *m, err = newModule(h, filepath.Join(h.Dir, name)); err != nil {
			return err
		}
		if err := (*m).enroll(ctx, d, pki.Device); err != nil {
			return fmt.Errorf("enroll %s: %w", name, err)
		}
		if err := h.pair(ctx, *m); err != nil {
			return fmt.Errorf("pair %s: %w", name, err)
		}
	}
	return h.buyAll(ctx)
}

// found makes the shop and the house's server, without a device.
func (h *House) found(ctx context.Context) (*domain, error) {
	h.begin = h.Now()
	if h.offers == nil {
		h.offers = map[ident.Content]string{Film: counted}
	}
	var err error
	if h.wire, err = newLoopback(ctx); err != nil {
		return nil, err
	}
	d, err := newDomain(h.begin)
	if err != nil {
		return nil, err
	}
	for _, m := range []struct {
		at   **module
		role pki.Role
		name string
	}{{&h.issuer, pki.LicenseIssuer, "issuer"}, {&h.home, pki.HomeServer, "home"}} {
		if *m.at, err = newModule(h, filepath.Join(h.Dir, m.name)); err != nil {
			return nil, err
		}
		if err := (*m.at).enroll(ctx, d, m.role); err != nil {
			return nil, fmt.Errorf("enroll %s: %w", m.name, err)
		}
	}
	_, err = h.home.Found(ctx)
	return d, err
}

// buyAll gets a license of each offer for the home server.
func (h *House) buyAll(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(h.offers)) {
		if err := h.stock(ctx, id); err != nil {
			return fmt.Errorf("register keys: %w", err)
		}
		if err := h.buy(ctx, id); err != nil {
			return err
		}
	}
	card, err := h.home.Card(ctx, trem.Card{})
	if h.cards != nil {
		h.cards[h.home.id] = card
	}
	return err
}

// close ends all modules.
func (h *House) close() error {
	var errs []error
	for _, m := range []*module{h.issuer, h.home, h.tablet, h.phone} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	if h.wire != nil {
		errs = append(errs, h.wire.close())
	}
	return errors.Join(errs...)
}

// reading is what the kernel's clocks say: a boot that began with the house.
func (h *House) reading() core.Reading {
	now := h.Now()
	return core.Reading{RTC: now.UnixMilli(), Boot: time.Minute.Milliseconds() + now.Sub(h.begin).Milliseconds(), BootID: [16]byte{1}}
}

// pair takes a device in.
func (h *House) pair(ctx context.Context, m *module) error {
	s, err := m.Status(ctx)
	if err != nil {
		return err
	}
	a, err := h.home.Admit(ctx, trem.Candidate{Chain: s.Chain, Hardware: m.id[:]})
	if err != nil {
		return err
	}
	if err := m.Join(ctx, a); err != nil {
		return err
	}
	h.cards[m.id], err = h.home.Card(ctx, trem.Card{Chain: s.Chain, Delivery: s.Delivery})
	return err
}

// stock gives the issuer keys of a title: audio and three tiers of pictures.
func (h *House) stock(ctx context.Context, id ident.Content) error {
	s, err := h.issuer.Status(ctx)
	if err != nil {
		return err
	}
	d := &content.Delivery{Content: id, DurationMS: 5_400_000}
	for tier, bps := range map[content.Tier]uint64{content.Audio: 16_000, content.SD: 250_000, content.HD: 1_000_000, content.UHD: 4_000_000} {
		d.Keys = append(d.Keys, content.TierKey{KID: ident.NewKey(), Tier: tier, Key: cenc.GenerateKey(), BPS: bps})
	}
	if h.keys == nil {
		h.keys = map[ident.Content][]content.TierKey{}
	}
	h.keys[id] = d.Keys
	blob, err := content.SealKeys(s.Delivery, d)
	if err != nil {
		return err
	}
	_, err = h.issuer.RegisterKeys(ctx, blob)
	return err
}

// buy gets a license for the home server.
func (h *House) buy(ctx context.Context, id ident.Content) error {
	o, err := h.home.Open(ctx, trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: id, Issuer: shop})
	if err != nil {
		return err
	}
	r := h.newRun(h.issuer, h.home)
	if err := r.session(ctx, o.Messages); err != nil {
		return err
	}
	if h.counts(id) {
		return r.want(trem.EventRequest, trem.EventInstalled, trem.EventReceipt, trem.EventClosed)
	}
	return r.want(trem.EventRequest, trem.EventInstalled)
}

// counts reports whether the license of a title counts plays.
func (h *House) counts(id ident.Content) bool { return strings.Contains(h.offers[id], "PLAY_COUNT") }

// shopkeeper is the issuer's host: it sells to whoever asks.
func (h *House) shopkeeper(ctx context.Context, e trem.Event) ([]trem.SLTPMessage, error) {
	if e.Kind == trem.EventReceipt {
		return h.issuer.Done(ctx, trem.Done{Handle: e.Handle, Transfer: e.Transfer, Low: e.Transfer.Seq})
	}
	if e.Kind != trem.EventRequest {
		return nil, nil
	}
	t, err := h.terms(e)
	if err != nil {
		return nil, err
	}
	p, err := h.issuer.Prepare(ctx, t)
	if err != nil {
		return nil, err
	}
	return h.issuer.Release(ctx, e.Handle, p.Sealed)
}

func (h *House) terms(e trem.Event) (trem.Terms, error) {
	id := ident.Content(e.Content)
	u, err := permission.ParseText(h.offers[id])
	if err != nil {
		return trem.Terms{}, err
	}
	u.Actor = &permission.ActorUnit{Content: id, Issuer: shop}
	code, err := u.Encode()
	none := uint64(0)
	t := trem.Terms{Handle: e.Handle, Info: license.Info{
		ID: ident.License(ident.NewRequest()), Issuer: shop, IssuedAt: h.begin.UnixMilli(), Content: id, Subject: license.DomainSubject(e.Domain, e.Generation),
		Code: code, Version: 1, Policy: license.Policy{MinAnchor: &none},
	}}
	if id == Rental {
		t.Info.Policy.CountThreshold = rentalCharge
	}
	if h.counts(id) {
		h.seq++
		t.Seq, t.Plays = h.seq, u.UsageFor(permission.Play)[0].PlayCount
	}
	return t, err
}

// of is the module that a letter is for.
func (h *House) of(id ident.Device) (*module, error) {
	for _, m := range []*module{h.home, h.tablet, h.phone} {
		if m.id == id {
			return m, nil
		}
	}
	return nil, fmt.Errorf("a letter is for %v, who is not of the house", id)
}

// usable checks who may play the film: this module and nobody else.
func (h *House) usable(ctx context.Context, by *module) error {
	for _, m := range []*module{h.home, h.tablet, h.phone} {
		d, err := m.Evaluate(ctx, trem.Ask{Content: Film, Action: permission.Play, Output: trem.OutputInternal, Confirm: true})
		if err != nil {
			return err
		}
		if d.Allow != (m == by) {
			return fmt.Errorf("the film plays at %v: %v", m.id, d.Allow)
		}
	}
	return nil
}
