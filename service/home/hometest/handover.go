package hometest

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Letters of this stand-in are what a test sets; nothing is handed over.

// Post does what OnPost does; without it a letter leads to nothing.
func (m *Module) Post(_ context.Context, letter []byte) (trem.Handed, error) {
	if m.OnPost == nil {
		return trem.Handed{}, nil
	}
	return m.OnPost(letter)
}

// Letters gives Pending.
func (m *Module) Letters(context.Context) (trem.Handed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Pending, nil
}

// Card gives back what it is given.
func (m *Module) Card(_ context.Context, of trem.Card) (trem.Card, error) { return of, nil }

// HandOver does what OnHandOver does.
func (m *Module) HandOver(_ context.Context, h trem.HandOver) (trem.Handed, error) {
	if m.OnHandOver == nil {
		return trem.Handed{}, &trem.Error{Code: trem.CodeUnknown, Text: "nothing to hand over"}
	}
	return m.OnHandOver(h)
}

// RenewLoan renews nothing.
func (m *Module) RenewLoan(context.Context, trem.Renewal) (trem.Handed, error) {
	return trem.Handed{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such loan is out"}
}

// Transfers lists none.
func (m *Module) Transfers(context.Context) ([]trem.Transfer, error) {
	return []trem.Transfer{}, nil
}

// Cancel cancels nothing.
func (m *Module) Cancel(context.Context, ident.Transfer) (trem.Handed, error) {
	return trem.Handed{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such transfer is open here"}
}

// Lost decides nothing.
func (m *Module) Lost(context.Context, ident.Transfer) (trem.Handed, error) {
	return trem.Handed{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such transfer is open here"}
}
