package home

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

const (
	devicesFile  = "devices.json"
	pairingsFile = "pairings.json"
)

// Device is a member of the house.
type Device struct {
	ID    ident.Device `json:"id"`
	Name  string       `json:"name"`
	Since time.Time    `json:"since"`

	// Chain and Delivery are its certificates, DER: what a license is sealed to
	// that goes to it while it is away. A device paired by an earlier version has
	// none.
	Chain    [][]byte `json:"chain,omitempty"`
	Delivery []byte   `json:"delivery,omitempty"`

	Person string `json:"person,omitempty"` // ID of the child or guest whose it is
}

// members are the devices of the house and those that ask to be.
type members struct {
	mu       sync.Mutex
	dir      string
	devices  []Device       // guarded by mu
	former   []ident.Device // guarded by mu; were members, the last ones put out last
	pairings []*Pairing     // guarded by mu; values are replaced, never changed in place
	approve  sync.Mutex     // one approval at a time
}

type devicesState struct {
	Devices []Device       `json:"devices"`
	Former  []ident.Device `json:"former,omitempty"`
}

// maxFormer bounds the former members whose letters are still carried; the oldest
// go. Source: local.
const maxFormer = 64

type pairingsState struct {
	Pairings []*Pairing `json:"pairings"`
}

func openMembers(dir string) (*members, error) {
	var d devicesState
	if err := load(dir, devicesFile, &d); err != nil {
		return nil, err
	}
	var p pairingsState
	if err := load(dir, pairingsFile, &p); err != nil {
		return nil, err
	}
	return &members{dir: dir, devices: d.Devices, former: d.Former, pairings: p.Pairings}, nil
}

// Devices lists the members by name.
func (h *Home) Devices() []Device {
	h.members.mu.Lock()
	defer h.members.mu.Unlock()
	out := slices.Clone(h.members.devices)
	slices.SortFunc(out, func(a, b Device) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), slices.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

// RemoveDevice takes a device out of the house: it gets nothing more. What
// it holds stays playable there.
func (h *Home) RemoveDevice(ctx context.Context, id ident.Device) error {
	m := h.members
	m.mu.Lock()
	there := slices.ContainsFunc(m.devices, func(d Device) bool { return d.ID == id })
	m.mu.Unlock()
	if !there {
		return fmt.Errorf("device: %w", ErrUnknown)
	}
	if err := h.cfg.Module.Remove(ctx, id); err != nil {
		return fmt.Errorf("remove the device: %w", err)
	}
	return h.departed(ctx, id)
}

// RenameDevice gives a device another name, durably. The device itself goes on calling
// itself what it did.
func (h *Home) RenameDevice(id ident.Device, name string) error {
	if err := h.members.change(id, func(d *Device) { d.Name = cleanName(name) }); err != nil {
		return err
	}
	h.publish(Event{Kind: EventPairings})
	return nil
}

// change changes what is noted of a device, durably.
func (m *members) change(id ident.Device, how func(*Device)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.devices, func(d Device) bool { return d.ID == id })
	if i < 0 {
		return fmt.Errorf("device: %w", ErrUnknown)
	}
	devices := slices.Clone(m.devices)
	how(&devices[i])
	if err := save(m.dir, devicesFile, devicesState{Devices: devices, Former: m.former}); err != nil {
		return err
	}
	m.devices = devices
	return nil
}

// departed takes a device that is no member any more off the list. Its letters are
// carried on, for what is to be closed.
func (h *Home) departed(ctx context.Context, id ident.Device) error {
	m := h.members
	m.mu.Lock()
	defer m.mu.Unlock()
	devices := slices.DeleteFunc(slices.Clone(m.devices), func(d Device) bool { return d.ID == id })
	former := append(slices.DeleteFunc(slices.Clone(m.former), func(o ident.Device) bool { return o == id }), id)
	former = former[max(0, len(former)-maxFormer):]
	if err := save(m.dir, devicesFile, devicesState{Devices: devices, Former: former}); err != nil {
		return err
	}
	m.devices, m.former = devices, former
	h.log.LogAttrs(ctx, slog.LevelInfo, "device removed", slog.Any("device", id))
	h.publish(Event{Kind: EventPairings})
	return h.logs.Forget(id)
}

// put replaces a pairing, durably; the caller holds mu.
func (m *members) put(p *Pairing) error {
	list := slices.Clone(m.pairings)
	if i := slices.IndexFunc(list, func(o *Pairing) bool { return o.ID == p.ID }); i >= 0 {
		list[i] = p
	} else {
		list = append(list, p)
	}
	if err := save(m.dir, pairingsFile, pairingsState{Pairings: list}); err != nil {
		return err
	}
	m.pairings = list
	return nil
}

// find returns a pairing by ID; the caller holds mu.
func (m *members) find(id string) *Pairing {
	for _, p := range m.pairings {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// admit has the module sign the membership of an approved device and stores
// it for the device to fetch. It may run again after a crash.
func (h *Home) admit(ctx context.Context, p Pairing) error {
	_ = h.Learn(ctx) // the device may be newer than what the house knows; an authority that is away is noted in Health
	a, err := h.cfg.Module.Admit(ctx, trem.Candidate{Chain: p.Chain, Hardware: p.Hardware, Idle: p.Idle})
	if err == nil && a.Replaced != (ident.Device{}) { // the same machine, installed anew, or one that was not seen for long
		err = h.departed(ctx, a.Replaced)
	}
	m := h.members
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		var e *trem.Error
		if errors.As(err, &e) && e.Code == trem.CodeRejected {
			p.State = PairingRefused
			return errors.Join(fmt.Errorf("admit the device: %w", err), m.put(&p))
		}
		return fmt.Errorf("admit the device: %w", err)
	}
	more := Device{ID: p.Device, Name: p.Name, Since: h.cfg.Now().UTC().Truncate(time.Second), Chain: p.Chain, Delivery: p.Delivery}
	devices := slices.DeleteFunc(slices.Clone(m.devices), func(d Device) bool {
		if d.ID == p.Device { // paired again, it is still whose it was
			more.Person = d.Person
		}
		return d.ID == p.Device
	})
	devices = append(devices, more)
	if err := save(m.dir, devicesFile, devicesState{Devices: devices, Former: m.former}); err != nil {
		return err
	}
	m.devices = devices
	p.State, p.Admission = PairingApproved, &Admission{Membership: a.Membership, Manager: a.Manager}
	if err := m.put(&p); err != nil {
		return err
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "device admitted", slog.Any("device", p.Device))
	return nil
}
