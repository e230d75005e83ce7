package core

import (
	"slices"
	"strconv"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/trem"
)

// year is the period of license.DomainRule.NewAYear, in ms. Source: local,
// docs/spec/membership.md, Limits.
const year = 365 * 86_400_000

// reachRecord is when a member first got something of an issuer that limits the
// devices of a house.
type reachRecord struct {
	_      struct{} `cbor:",toarray"`
	Issuer ident.Issuer
	Device ident.Device
	At     int64 // Unix ms
}

type reachName struct {
	issuer ident.Issuer
	device ident.Device
}

// limit is why a member does not get a license: too many have it, or too many got it
// this year.
type limit struct {
	code       sltp.ErrorCode // 0: it may
	have, most uint64
	after      int64 // Unix ms, of ErrorDomainRate
}

// limited looks whether a license may go to one more device of the house, by the
// limits of its issuer.
func (c *Core) limited(inst *instance, to ident.Device, r Reading) limit {
	rule, issuer, now := inst.leaf().Info().Policy.Domain, inst.leaf().Info().Issuer, c.clock.judge(r).Est
	if rule == nil || c.domain == nil {
		return limit{}
	}
	mine, known := c.reach[reachName{issuer, to}]
	before, recent, next := uint64(0), uint64(0), int64(0)
	for name, at := range c.reach {
		if name.issuer != issuer || name.device == to {
			continue
		}
		if m, ok := c.members[name.device]; ok && !m.Removed && !c.lapsed(name.device, r) && (!known || at < mine || at == mine && slices.Compare(name.device[:], to[:]) < 0) {
			before++
		}
		if now-at < year {
			recent++
			if next == 0 || at < next {
				next = at
			}
		}
	}
	switch {
	case before >= rule.Devices:
		return limit{code: sltp.ErrorDomainFull, have: before, most: rule.Devices}
	case !known && rule.NewAYear != 0 && recent >= rule.NewAYear:
		return limit{code: sltp.ErrorDomainRate, have: recent, most: rule.NewAYear, after: next + year}
	}
	return limit{}
}

// refusal says it to who handed a license over.
func (l limit) refusal(id ident.License, act permission.Permission) error {
	reason := license.Reason{
		Code: license.DestNotAllowed, Constraint: "DOMAIN_DEVICES", Have: strconv.FormatUint(l.have, 10) + " devices of the house", Need: "fewer than " + strconv.FormatUint(l.most, 10),
		Closed: true, Remedy: license.ReturnFirst,
	}
	if l.code == sltp.ErrorDomainRate {
		reason.Constraint, reason.Have, reason.Earliest, reason.Remedy = "DOMAIN_NEW", strconv.FormatUint(l.have, 10)+" new devices this year", l.after, license.WaitUntil
	}
	return &trem.RefusalError{Decision: license.Decision{Action: act, License: id, Reasons: []license.Reason{reason}}}
}

// reaches notes that a member gets a license whose issuer limits the devices of a
// house. The note goes along with what gives it.
func (c *Core) reaches(inst *instance, to ident.Device, r Reading) error {
	info := inst.leaf().Info()
	name := reachName{info.Issuer, to}
	if _, known := c.reach[name]; known || info.Policy.Domain == nil || c.domain == nil {
		return nil
	}
	rec := reachRecord{Issuer: info.Issuer, Device: to, At: c.clock.judge(r).Est}
	data, err := newRecord(kindReach, rec)
	if err != nil {
		return err
	}
	c.along(true, data)
	c.reach[name] = rec.At
	return nil
}

// snapshotReach keeps who counts: members, and for a year those that were.
func (c *Core) snapshotReach(s *log) {
	for name, at := range c.reach {
		if m, ok := c.members[name.device]; ok && !m.Removed || c.clock.Lo-at < year {
			s.add(kindReach, reachRecord{Issuer: name.issuer, Device: name.device, At: at})
		}
	}
}

// toServer reports whether a hand-over of a license with such a limit is one that the
// house's server counts: its own, or one to it.
func (c *Core) toServer(h *handover, inst *instance) bool {
	if c.domain != nil || c.membership == nil || inst.leaf().Info().Policy.Domain == nil {
		return true
	}
	x := h.peer.X5T()
	return slices.Equal(x[:], c.membership.Manager)
}

// withinLimits refuses a hand-over that the issuer's limits do not allow.
func (c *Core) withinLimits(h *handover, inst *instance, act permission.Permission) error {
	if !h.fellow {
		return nil
	}
	if !c.toServer(h, inst) {
		return &trem.RefusalError{Decision: license.Decision{Action: act, License: inst.leaf().Info().ID, Reasons: []license.Reason{{
			Code: license.DestNotAllowed, Constraint: "DOMAIN_DEVICES", Have: "a device of the house", Need: "the house's server, which counts them", Closed: true, Remedy: license.Contact,
		}}}}
	}
	if c.domain == nil {
		return nil
	}
	if l := c.limited(inst, h.peer.ID(), h.r); l.code != 0 {
		return l.refusal(inst.leaf().Info().ID, act)
	}
	return c.reaches(inst, h.peer.ID(), h.r)
}
