package hometest

import (
	"context"
	"maps"
	"slices"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// Protect takes the keys of an own film and holds a license of it, unless OnProtect fails.
func (m *Module) Protect(_ context.Context, sealed []byte) (out trem.Protected, err error) {
	if m.OnProtect != nil {
		if err := m.OnProtect(); err != nil {
			return trem.Protected{}, err
		}
	}
	key, err := m.delivery.ECDH()
	if err != nil {
		return trem.Protected{}, err
	}
	d, err := content.OpenKeys(key, m.State.Delivery, sealed)
	if err != nil {
		return trem.Protected{}, &trem.Error{Code: trem.CodeRejected, Text: err.Error()}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.lose(&err)
	m.Keys = maps.Clone(m.Keys)
	if m.Keys == nil {
		m.Keys = map[ident.Key]cenc.ContentKey{}
	}
	for _, k := range d.Keys {
		m.Keys[k.KID] = k.Key
	}
	held := trem.Held{License: ident.NewLicense(), Content: d.Content, Issuer: "house", Terms: "PLAY; LEND", Phase: license.Held.String(), House: true}
	if i := m.own(d.Content); i >= 0 {
		return trem.Protected{License: m.Held[i].License}, nil
	}
	m.Held = append(m.Held, held)
	return trem.Protected{License: held.License}, nil
}

// Unprotect forgets the license of an own film, unless it is lent.
func (m *Module) Unprotect(_ context.Context, id ident.Content) (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.own(id)
	if i < 0 {
		return nil
	}
	if m.Held[i].Phase != license.Held.String() {
		return &trem.RefusalError{Decision: license.Decision{Action: permission.Play, Reasons: []license.Reason{{Code: license.LentOut, Closed: true, Remedy: license.WaitUntil}}}}
	}
	m.Held = slices.Delete(slices.Clone(m.Held), i, i+1)
	defer m.lose(&err)
	return nil
}

// lose has Unheard take the reply's place.
func (m *Module) lose(err *error) {
	if m.Unheard != nil && *err == nil {
		*err = m.Unheard()
	}
}

// own is where the license of an own film stands in Held; -1: nowhere. The caller holds
// mu.
func (m *Module) own(id ident.Content) int {
	return slices.IndexFunc(m.Held, func(h trem.Held) bool { return h.House && h.Content == id })
}
