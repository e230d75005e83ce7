package hometest

import (
	"context"
	"slices"

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

// RelayTime passes nothing on.
func (m *Module) RelayTime(context.Context, []byte) (trem.RelayedTime, error) {
	return trem.RelayedTime{}, &trem.Error{Code: trem.CodeState, Text: "no token in this test"}
}

// Log does what OnLog does; without it the module has no log.
func (m *Module) Log(_ context.Context, want [][32]byte) (trem.Log, []byte, error) {
	if m.OnLog == nil {
		return trem.Log{}, nil, &trem.Error{Code: trem.CodeState, Text: "no log in this test"}
	}
	return m.OnLog(want)
}

// Heal does what OnHeal does.
func (m *Module) Heal(_ context.Context, segments [][]byte) (trem.Healed, error) {
	if m.OnHeal == nil {
		return trem.Healed{}, &trem.Error{Code: trem.CodeState, Text: "nothing to heal in this test"}
	}
	return m.OnHeal(segments)
}

// Kept lists Seen.
func (m *Module) Kept(context.Context) ([]trem.LogSeen, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Seen, nil
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

// Export does what OnExport does.
func (m *Module) Export(_ context.Context, e trem.Export) (trem.Exported, error) {
	if m.OnExport == nil {
		return trem.Exported{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such license"}
	}
	return m.OnExport(e)
}

// RenewLoan gives an open loan no new end; another one it does not know.
func (m *Module) RenewLoan(_ context.Context, r trem.Renewal) (trem.Handed, error) {
	return m.moving(r.Transfer)
}

// Transfers lists Moving.
func (m *Module) Transfers(context.Context) ([]trem.Transfer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.Moving), nil
}

// Cancel notes that an open transfer was asked back.
func (m *Module) Cancel(_ context.Context, id ident.Transfer) (trem.Handed, error) {
	got, err := m.moving(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.Moving {
		m.Moving[i].Cancelled = m.Moving[i].Cancelled || m.Moving[i].ID == id
	}
	return got, err
}

// Lost decides nothing.
func (m *Module) Lost(context.Context, ident.Transfer) (trem.Handed, error) {
	return trem.Handed{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such transfer is open here"}
}

func (m *Module) moving(id ident.Transfer) (trem.Handed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.ContainsFunc(m.Moving, func(t trem.Transfer) bool { return t.ID == id }) {
		return trem.Handed{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such transfer is open here"}
	}
	return trem.Handed{Transfer: id}, nil
}

// KeepPlace asks OnKeepPlace; without it this module manages no house.
func (m *Module) KeepPlace(_ context.Context, a trem.PlaceAsk) (trem.PlaceKept, error) {
	if m.OnKeepPlace == nil {
		return trem.PlaceKept{}, &trem.Error{Code: trem.CodeState, Text: "this module manages no house"}
	}
	return m.OnKeepPlace(a)
}

// Places lists Slots.
func (m *Module) Places(context.Context) ([]trem.Slot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.Slots), nil
}
