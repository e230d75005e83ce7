package home

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Recipient is who a license may be handed over to.
type Recipient struct {
	ID   ident.Device `json:"id"`
	Name string       `json:"name"`
	Card trem.Card    `json:"card"`
}

// Paths for devices of the house. Source: local, docs/spec/home-api.md.
const (
	PathRecipients = "/house/v1/recipients" // and a name or ID
	PathLetters    = "/house/v1/letters"    // and a device ID; ?after=NUMBER
)

// HouseName is the name that the house's own server goes by. Source: local.
const HouseName = "house"

// RecipientOf is the member with a name or ID, or the house's server itself.
func (h *Home) RecipientOf(ctx context.Context, name string) (Recipient, error) {
	if name == HouseName {
		st, err := h.cfg.Module.Status(ctx)
		if err != nil {
			return Recipient{}, err
		}
		card, err := h.cfg.Module.Card(ctx, nil, nil)
		return Recipient{ID: st.Device, Name: HouseName, Card: card}, err
	}
	var found []Device
	for _, d := range h.Devices() {
		if d.Name == name || d.ID.String() == name {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return Recipient{}, fmt.Errorf("device: %w", ErrUnknown)
	case len(found) > 1:
		return Recipient{}, fmt.Errorf("%w: %d devices have this name, use the ID", ErrAmbiguous, len(found))
	case len(found[0].Delivery) == 0:
		return Recipient{}, fmt.Errorf("%w: it was paired by an earlier version; pair it again", ErrNoCard)
	}
	card, err := h.cfg.Module.Card(ctx, found[0].Chain, found[0].Delivery)
	return Recipient{ID: found[0].ID, Name: found[0].Name, Card: card}, err
}

// Errors of hand-overs.
var (
	ErrAmbiguous = errors.New("home: the name is not one device's")
	ErrNoCard    = errors.New("home: nothing can be sealed to this device")
)

// HandOver gives a license of the house's server to a member: it waits in the
// member's mailbox.
func (h *Home) HandOver(ctx context.Context, order trem.HandOver, to string) (ident.Transfer, error) {
	r, err := h.RecipientOf(ctx, to)
	if err != nil {
		return ident.Transfer{}, err
	}
	order.To = r.Card
	return h.sent(h.cfg.Module.HandOver(ctx, order))
}

// RenewLoan gives a loan of the house's server a new end.
func (h *Home) RenewLoan(ctx context.Context, r trem.Renewal) error {
	_, err := h.sent(h.cfg.Module.RenewLoan(ctx, r))
	return err
}

// CancelTransfer asks an open transfer, or a loan, back.
func (h *Home) CancelTransfer(ctx context.Context, id ident.Transfer) error {
	_, err := h.sent(h.cfg.Module.Cancel(ctx, id))
	return err
}

func (h *Home) sent(got trem.Handed, err error) (ident.Transfer, error) {
	if err != nil {
		return got.Transfer, err
	}
	for _, l := range got.Letters {
		if err := h.keep(l); err != nil { // it is written again later
			h.log.Warn("letter not kept", slog.Any("error", err))
		}
	}
	h.publish(Event{Kind: EventLibrary})
	return got.Transfer, nil
}

// Transfers lists what of the house's server is not closed, after what is over
// by now has ended.
func (h *Home) Transfers(ctx context.Context) ([]trem.Transfer, error) {
	h.postOnce(ctx)
	return h.cfg.Module.Transfers(ctx)
}

// NameOf is the name of a member, or "" for others.
func (h *Home) NameOf(id ident.Device) string {
	for _, d := range h.Devices() {
		if d.ID == id {
			return d.Name
		}
	}
	return ""
}
