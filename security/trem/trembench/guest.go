package trembench

import (
	"bytes"
	"context"
	"errors"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// Rental is a second title, of one play.
const Rental = ident.Content("rental")

// rentalCharge is after how much of it that play is spent, in ms: the least.
const rentalCharge = 10_000

// Host is a house with a shop, both of real modules, that takes a module from
// outside in as a device: what a module is judged against.
type Host struct {
	house  House
	domain *domain
}

// Host opens the house. It has bought Film, which plays without a count, and
// Rental, which plays once; both may be played over a link.
func (h House) Host(ctx context.Context) (*Host, error) {
	h.offers = map[ident.Content]string{Film: "PLAY; EXPORT=clearkey", Rental: "PLAY; PLAY_COUNT=1; EXPORT=clearkey"}
	x := &Host{house: h}
	var err error
	if x.domain, err = x.house.found(ctx); err == nil {
		err = x.house.buyAll(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// Close ends the house's modules.
func (x *Host) Close() error { return x.house.close() }

// Enrollment certifies the keys of a module as those of a device.
func (x *Host) Enrollment(req trem.SigningRequest) (trem.Enrollment, error) {
	return x.domain.enroll(pki.Device, req)
}

// Learned is the domain's revocation state, and the time for a nonce.
func (x *Host) Learned(nonce []byte) (trem.Learned, error) { return x.domain.learned(nonce) }

// Admit makes an enrolled device a member of the house.
func (x *Host) Admit(ctx context.Context, s trem.Status) (trem.Admission, error) {
	return x.house.home.Admit(ctx, trem.Candidate{Chain: s.Chain, Hardware: s.Device[:]})
}

// Server is the ID of the house's server.
func (x *Host) Server() ident.Device { return x.house.home.id }

// Deliver has a device ask the house for a title, and carries what they say to
// each other. It returns what the device told its host.
func (x *Host) Deliver(ctx context.Context, device *trem.Client, s trem.Status, id ident.Content) ([]trem.Event, error) {
	return x.house.allow(ctx, &module{Client: device, id: s.Device, host: &x.house}, id)
}

// Reel is the HD tier of a title.
func (x *Host) Reel(id ident.Content) (Reel, error) { return x.house.reel(id) }

// Holds reports whether bytes hold a title key of the house.
func (x *Host) Holds(data []byte) (bool, error) {
	for _, keys := range x.house.keys {
		for _, k := range keys {
			plain, err := k.Key.Reveal()
			if err != nil || bytes.Contains(data, plain[:]) {
				return err == nil, err
			}
		}
	}
	return false, nil
}
