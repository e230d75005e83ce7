package lcp

import (
	"encoding/json"
	"fmt"

	"github.com/lares-drm/lares/interconnect/adapt"
)

// StatusMediaType is that of a status document. Source: LSD 1.0.4.
const StatusMediaType = "application/vnd.readium.license.status.v1.0+json"

// State is the status of a license. Source: LSD 1.0.4, 2.3.
type State string

// The states.
const (
	Ready     State = "ready"     // nobody has opened it
	Active    State = "active"    // a device has registered
	Revoked   State = "revoked"   // by the issuer
	Returned  State = "returned"  // by the user
	Cancelled State = "cancelled" // before it was used
	Expired   State = "expired"
)

// Status is a license status document.
type Status struct {
	ID        string     `json:"id"`
	Status    State      `json:"status"`
	Message   string     `json:"message"`
	Updated   Updated    `json:"updated"`
	Links     []Link     `json:"links"`
	Potential *Potential `json:"potential_rights,omitempty"`
	Events    []Event    `json:"events,omitempty"`
}

// Updated says when license and status changed last, RFC 3339.
type Updated struct {
	License string `json:"license"`
	Status  string `json:"status"`
}

// Potential is what may be asked for.
type Potential struct {
	End string `json:"end,omitempty"` // RFC 3339
}

// Event is one of register, renew, return, revoke, cancel.
type Event struct {
	Type      string `json:"type"`
	Name      string `json:"name,omitempty"`
	ID        string `json:"id,omitempty"`
	Timestamp string `json:"timestamp,omitempty"`
}

// ParseStatus reads a status document; members that it does not know are passed over.
func ParseStatus(data []byte) (*Status, error) {
	var s Status
	if err := adapt.DecodeJSON(data, MaxDocument, &s); err != nil {
		return nil, err
	}
	return &s, s.check()
}

// Encode writes the document.
func (s *Status) Encode() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

func (s *Status) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", adapt.ErrDocument, what) }
	if s.ID == "" || s.Message == "" {
		return bad("a status has an id and a message")
	}
	switch s.Status {
	case Ready, Active, Revoked, Returned, Cancelled, Expired:
	default:
		return bad("a status of another kind")
	}
	for _, at := range []string{s.Updated.License, s.Updated.Status} {
		if _, _, err := instant(at); err != nil {
			return bad("updated")
		}
	}
	l := License{Links: s.Links}
	if !l.linked("license") {
		return bad("a link to the license is required")
	}
	for _, e := range s.Events {
		switch e.Type {
		case "register", "renew", "return", "revoke", "cancel":
		default:
			return bad("an event of another kind")
		}
	}
	return nil
}

// Facts are what a service knows about a license when its status is asked for.
type Facts struct {
	Now, Issued, Changed           int64 // Unix ms; Changed: of the status
	End                            int64 // of the license, 0 = none
	Registered, Revoked, GivenBack bool
	License                        string // URL of the license document
}

// StatusOf is the status document of a license. Of several reasons why a license
// is over the strongest counts: revoked, returned, expired. A license that is
// given back or revoked before anybody registered was cancelled.
func StatusOf(id string, f Facts) *Status {
	s := &Status{
		ID: id, Updated: Updated{License: date(f.Issued), Status: date(f.Changed)},
		Links: []Link{{Rel: "license", Href: f.License, Type: MediaType, Profile: BasicProfile}},
	}
	switch {
	case (f.Revoked || f.GivenBack) && !f.Registered:
		s.Status, s.Message = Cancelled, "The license was cancelled before it was used."
	case f.Revoked:
		s.Status, s.Message = Revoked, "The license was revoked by its issuer."
	case f.GivenBack:
		s.Status, s.Message = Returned, "The license was given back."
	case f.End != 0 && f.Now >= f.End:
		s.Status, s.Message = Expired, "The license is over."
	case f.Registered:
		s.Status, s.Message = Active, "The license is in use."
	default:
		s.Status, s.Message = Ready, "The license has not been used yet."
	}
	return s
}
