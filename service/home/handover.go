package home

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Recipient is who a license may be handed over to.
type Recipient struct {
	ID   ident.Device `json:"id"`
	Name string       `json:"name"`
	Card trem.Card    `json:"card"`
}

// Paths for devices of the house, and for other houses. Source: local, docs/spec/home-api.md.
const (
	PathRecipients = "/house/v1/recipients" // and a name or ID; of the house itself ?issuer=ID
	PathLetters    = "/house/v1/letters"    // and a device ID; ?after=NUMBER
)

// HouseName is the name that the house's own server goes by. Source: local.
const HouseName = "house"

// Errors of hand-overs.
var (
	ErrAmbiguous = errors.New("home: the name is not one device's")
	ErrNoCard    = errors.New("home: nothing can be sealed to this device")
	// ErrNotExpected is returned to another house that asks by which name an issuer
	// knows this one, when nobody here expects a gift.
	ErrNotExpected = errors.New("home: nothing is expected here")
	// ErrHouseAway is returned when the other house does not answer.
	ErrHouseAway = errors.New("home: the other house does not answer")
)

// ReceiveLife is for how long a house expects a gift after its owner said so. Source: local.
const ReceiveLife = 10 * time.Minute

// Receive lets other houses learn, for ReceiveLife, by which name an issuer of
// theirs knows this one: whoever could always ask could compare its customers
// with another issuer's.
func (h *Home) Receive() time.Time {
	until := h.cfg.Now().Add(ReceiveLife)
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	h.door.receive = until
	return until
}

func (h *Home) receiving() bool {
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	return h.cfg.Now().Before(h.door.receive)
}

// RecipientOf is the member with a name or ID, or the house's server itself,
// which says to an issuer's license by which name it knows the house.
func (h *Home) RecipientOf(ctx context.Context, name string, issuer ident.Issuer) (Recipient, error) {
	if name == HouseName {
		if issuer != "" && !h.receiving() {
			return Recipient{}, ErrNotExpected
		}
		st, err := h.cfg.Module.Status(ctx)
		if err != nil {
			return Recipient{}, err
		}
		card, err := h.cfg.Module.Card(ctx, trem.Card{Issuer: issuer})
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
	card, err := h.cfg.Module.Card(ctx, trem.Card{Chain: found[0].Chain, Delivery: found[0].Delivery})
	return Recipient{ID: found[0].ID, Name: found[0].Name, Card: card}, err
}

// HandOver gives a license of the house's server to a member, for whom it waits
// in the mailbox, or to another house, whose URL is to.
func (h *Home) HandOver(ctx context.Context, order trem.HandOver, to string) (trem.Handed, error) {
	if err := h.mayHandle(ctx, order.Content, order.Op); err != nil {
		return trem.Handed{}, err
	}
	r, err := h.recipient(ctx, order, to)
	if err != nil {
		return trem.Handed{}, err
	}
	order.To = r.Card
	got, err := h.cfg.Module.HandOver(ctx, order)
	if err != nil {
		return got, err
	}
	return h.sent(ctx, got), nil
}

func (h *Home) recipient(ctx context.Context, order trem.HandOver, to string) (Recipient, error) {
	if !strings.HasPrefix(to, "http://") && !strings.HasPrefix(to, "https://") {
		return h.RecipientOf(ctx, to, "")
	}
	issuer := ident.Issuer("")
	if order.Op == trem.OpTransfer {
		var err error
		if issuer, err = h.issuerOf(ctx, order); err != nil {
			return Recipient{}, err
		}
	}
	r, err := askRecipient(ctx, to, issuer)
	if err != nil {
		return r, err
	}
	return r, h.mailbox.meet(r.ID, strings.TrimSuffix(to, "/"))
}

// issuerOf is the issuer of the license that an order is about.
func (h *Home) issuerOf(ctx context.Context, order trem.HandOver) (ident.Issuer, error) {
	held, err := h.cfg.Module.Licenses(ctx)
	if err != nil {
		return "", err
	}
	for _, x := range held {
		if x.Content == order.Content || x.License == order.License {
			return x.Issuer, nil
		}
	}
	return "", fmt.Errorf("title: %w", ErrUnknown)
}

const (
	houseTimeout   = 15 * time.Second
	maxHouseAnswer = 256 << 10 // bytes
)

// askRecipient asks another house for the card of its server.
func askRecipient(ctx context.Context, base string, issuer ident.Issuer) (Recipient, error) {
	ctx, cancel := context.WithTimeout(ctx, houseTimeout)
	defer cancel()
	addr := strings.TrimSuffix(base, "/") + PathRecipients + "/" + HouseName + "?issuer=" + url.QueryEscape(string(issuer))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr, nil)
	if err != nil {
		return Recipient{}, fmt.Errorf("%w: %w", ErrHouseAway, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Recipient{}, fmt.Errorf("%w: %w", ErrHouseAway, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	if res.StatusCode == http.StatusForbidden {
		return Recipient{}, ErrNotExpected
	}
	var r Recipient
	if err := json.NewDecoder(io.LimitReader(res.Body, maxHouseAnswer)).Decode(&r); err != nil || res.StatusCode != http.StatusOK {
		return Recipient{}, fmt.Errorf("%w: HTTP status %d", ErrHouseAway, res.StatusCode)
	}
	return r, nil
}

// RenewLoan gives a loan of the house's server a new end.
func (h *Home) RenewLoan(ctx context.Context, r trem.Renewal) error {
	got, err := h.cfg.Module.RenewLoan(ctx, r)
	return h.sent1(ctx, got, err)
}

// CancelTransfer asks an open transfer, or a loan, back.
func (h *Home) CancelTransfer(ctx context.Context, id ident.Transfer) error {
	got, err := h.cfg.Module.Cancel(ctx, id)
	return h.sent1(ctx, got, err)
}

// LostTransfer says that the other side of an open transfer is lost.
func (h *Home) LostTransfer(ctx context.Context, id ident.Transfer) error {
	got, err := h.cfg.Module.Lost(ctx, id)
	return h.sent1(ctx, got, err)
}

// sent1 is sent for orders whose events nobody asks for.
func (h *Home) sent1(ctx context.Context, got trem.Handed, err error) error {
	if err == nil {
		h.sent(ctx, got)
	}
	return err
}

// sent delivers what the module has written, and adds what that led to. What
// cannot be delivered now is written again later.
func (h *Home) sent(ctx context.Context, got trem.Handed) trem.Handed {
	for letters := got.Letters; len(letters) > 0; letters = letters[1:] {
		more, err := h.deliver(ctx, letters[0])
		if err != nil {
			h.log.LogAttrs(ctx, slog.LevelWarn, "letter not delivered", slog.Any("to", letters[0].To), slog.Any("error", err))
			continue
		}
		got.Events = append(got.Events, more.Events...)
		letters = append(letters, more.Letters...)
	}
	h.publish(Event{Kind: EventLibrary})
	return got
}

// deliver puts a letter into a member's box, or sends it to another house and
// reads what that answers.
func (h *Home) deliver(ctx context.Context, l trem.Letter) (out trem.Handed, err error) {
	base, foreign := h.mailbox.address(l.To)
	if !foreign || h.isMember(l.To) {
		return out, h.keep(l)
	}
	if h.cfg.Frames == nil {
		return out, errors.New("home: no way to other houses")
	}
	st, err := h.cfg.Module.Status(ctx)
	if err != nil {
		return out, err
	}
	body, err := lrp.SLTP{Message: l.Bytes}.Encode()
	if err != nil {
		return out, err
	}
	now := h.cfg.Now()
	answers, err := h.cfg.Frames(ctx, base, lrp.Frame{
		Version: lrp.Version, Type: lrp.TypeSLTP, Dst: lrp.Addr(l.To), Src: lrp.Addr(st.Device), Tx: lrp.Tx(l.Topic),
		Seq: uint64(now.UnixMilli()), Expires: now.Add(MailLife).UnixMilli(), Body: body,
	})
	if err != nil {
		return out, err
	}
	for _, a := range answers {
		m, ok := letterIn(a)
		if !ok {
			continue
		}
		got, err := h.cfg.Module.Post(ctx, m)
		if err != nil {
			return out, err
		}
		h.note(ctx, got.Events)
		out.Events, out.Letters = append(out.Events, got.Events...), append(out.Letters, got.Letters...)
	}
	return out, nil
}

// Transfers lists what of the house's server is not closed, after what is over
// by now has ended.
func (h *Home) Transfers(ctx context.Context) ([]trem.Transfer, error) {
	h.postOnce(ctx)
	return h.cfg.Module.Transfers(ctx)
}

// NameOf is the name of a member, the address of another house, or "".
func (h *Home) NameOf(id ident.Device) string {
	for _, d := range h.Devices() {
		if d.ID == id {
			return d.Name
		}
	}
	if base, ok := h.mailbox.address(id); ok {
		return base
	}
	return ""
}
