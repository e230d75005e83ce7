package core

import (
	"fmt"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"

	box "github.com/lares-drm/lares/content"
)

// The home server's module issues licenses for films of its household's own: the one
// case in which it is the origin of a license. Source: local, docs/spec/license.md, A
// house's own films.

// protect issues the license of an own film. The keys come as a key delivery to this
// module's own delivery certificate, so that they are nowhere on the stream; license and
// keys are one record.
func (c *Core) protect(sealed []byte, r Reading) (trem.Protected, error) {
	if err := c.mayProtect(); err != nil {
		return trem.Protected{}, err
	}
	key, err := c.cfg.Keystore.KeyExchanger(keystore.Delivery)
	if err != nil {
		return trem.Protected{}, err
	}
	d, err := box.OpenKeys(key, c.identity.Delivery, sealed)
	if err != nil {
		return trem.Protected{}, rejected(err)
	}
	held := false
	defer func() {
		if !held { // by any way out
			clearKeys(d)
		}
	}()
	if !strings.HasPrefix(string(d.Content), license.OwnPrefix) {
		return trem.Protected{}, rejected(fmt.Errorf("protect: %v is no film of the house's own", d.Content))
	}
	if old := c.ownFilm(d.Content); old != nil {
		if !old.hasKeys(d.Keys) {
			return trem.Protected{}, rejected(fmt.Errorf("protect: this film is protected with other keys"))
		}
		return protectedAs(old), nil
	}
	if len(c.held) >= maxTitles { // more of them no backup holds
		return trem.Protected{}, rejected(fmt.Errorf("protect: a house holds at most %d licenses", maxTitles))
	}
	k := &content{durationMS: d.DurationMS, keys: d.Keys}
	refs, keys, err := k.grant(d.Content, nil)
	if err != nil {
		return trem.Protected{}, err
	}
	inst, err := c.issueOwn(license.Own{
		ID: ident.NewLicense(), Domain: c.domain.ID, Generation: c.domain.Generation, Content: d.Content,
		Duration: int64(d.DurationMS), Keys: refs, Now: c.clock.judge(r).Est, Version: 1, //nolint:gosec // below 2^53
	})
	if err != nil {
		return trem.Protected{}, rejected(err)
	}
	for _, key := range keys {
		c.cfg.Memory.Keep(key)
	}
	inst.keys = keys
	bundle, err := inst.bundle(inst.leaf())
	if err != nil {
		return trem.Protected{}, err
	}
	if err := c.commit(kindLicense, licenseRecord{Chain: inst.links, Bundle: bundle, Epoch: inst.epoch}); err != nil {
		return trem.Protected{}, err
	}
	c.hold(inst)
	held = true
	return protectedAs(inst), nil
}

// mayProtect refuses who does not manage a house, or not any more.
func (c *Core) mayProtect() error {
	if err := c.need(pki.HomeServer); err != nil {
		return err
	}
	if c.domain == nil {
		return stateError("this module manages no domain yet")
	}
	return c.superseded()
}

func protectedAs(inst *instance) trem.Protected {
	return trem.Protected{License: inst.leaf().Info().ID, Bytes: inst.leaf().Bytes()}
}

func clearKeys(d *box.Delivery) {
	for _, k := range d.Keys {
		k.Key.Clear()
	}
}

// hasKeys reports whether an instance has just these keys.
func (i *instance) hasKeys(keys []box.TierKey) bool {
	for _, k := range keys {
		if have, ok := i.keys[k.KID]; !ok || !have.Equal(k.Key) {
			return false
		}
	}
	return len(keys) == len(i.keys)
}

// issueOwn signs the license of an own film. It has no keys yet.
func (c *Core) issueOwn(o license.Own) (*instance, error) {
	info, err := license.NewOwn(o)
	if err != nil {
		return nil, err
	}
	link, lic, err := c.sign(info)
	if err != nil {
		return nil, err
	}
	return &instance{links: [][]byte{link}, chain: []*license.License{lic}, epoch: c.epoch()}, nil
}

// ownFilm is the license that this house has issued for a film.
func (c *Core) ownFilm(id ident.Content) *instance {
	for _, inst := range c.held {
		if c.isOwnFilm(inst) && inst.leaf().Info().Content == id {
			return inst
		}
	}
	return nil
}

// isOwnFilm reports whether an instance is the root license of a film of the house that
// this module manages.
func (c *Core) isOwnFilm(inst *instance) bool {
	return isOwn(inst.leaf()) && c.domain != nil && inst.leaf().Info().Subject.Domain() == c.domain.ID
}

// isOwn reports whether a license is the root license of some house's own film.
func isOwn(lic *license.License) bool {
	_, house := lic.House()
	return house && !lic.Derived()
}

// unprotect destroys the license of an own film, unless somebody has it.
func (c *Core) unprotect(id ident.Content, r Reading) error {
	if err := c.mayProtect(); err != nil {
		return err
	}
	inst := c.ownFilm(id)
	if inst == nil {
		return nil
	}
	if inst.state.Phase != license.Held {
		return &trem.RefusalError{Decision: lentOutFirst(inst)}
	}
	if c.parting(inst) || c.dwelling(inst) > 0 {
		return &trem.RefusalError{Decision: c.returnFirst(inst, permission.Play)}
	}
	if err := c.quiet(inst, r); err != nil {
		return err
	}
	if err := c.commit(kindGone, goneRecord{Hash: inst.leaf().Hash()}); err != nil {
		return err
	}
	delete(c.held, inst.leaf().Hash())
	return nil
}

// lentOutFirst refuses to destroy what is lent.
func lentOutFirst(inst *instance) license.Decision {
	reason := license.Reason{Code: license.LentOut, Constraint: "LEND_COUNT", Have: "1 loan out", Need: "none", Closed: true, Remedy: license.WaitUntil}
	if l := inst.state.Loan; l != nil {
		reason.Earliest = l.Until
	}
	return license.Decision{Action: permission.Play, License: inst.leaf().Info().ID, Reasons: []license.Reason{reason}}
}

// renewOwn signs the license of an own film again after a restore: a house takes those
// of its present home server only. It is a version on, with the same keys.
func (c *Core) renewOwn(old *instance, d *domainRecord, now int64) (*instance, error) {
	was := old.leaf().Info()
	inst, err := c.issueOwn(license.Own{
		ID: was.ID, Domain: d.ID, Generation: d.Generation, Content: was.Content, Duration: was.Policy.Duration, Keys: was.Keys, Now: now, Version: was.Version + 1,
	})
	if err != nil {
		return nil, err
	}
	inst.keys = old.keys
	return inst, nil
}

// houses is what this module judges the licenses of houses by.
func (c *Core) houses(from party) license.Houses {
	h := license.Houses{Lent: from.op == opLend}
	switch {
	case c.domain != nil:
		h.Domain, h.Manager = c.domain.ID, c.self
	case c.membership != nil:
		h.Domain, h.Manager = c.membership.Domain, c.managerNow()
	}
	return h
}

// managerNow is the device ID of the home server that manages this member's house: the
// one that the newest RESTORE names, also before the first membership of it is here.
func (c *Core) managerNow() ident.Device {
	if f := c.followed(); f != nil && c.membership.Generation < f.Generation {
		return f.Manager
	}
	id, err := idOf(c.manager)
	if err != nil {
		return ident.Device{} // no signer has it
	}
	return id
}

// notGivenAway refuses an own film of a house that comes in a way that no house's
// license permits.
func notGivenAway(inst *instance, from party) error {
	if _, house := inst.root().House(); house && (from.op == transfer.OpTransfer || from.op == transfer.OpIssue) {
		return fmt.Errorf("license: an own film of a house is lent, and not given away")
	}
	return nil
}

// borrowedOwn reports whether an instance is of an own film of another house: it is for
// one module, and not handed on.
func (c *Core) borrowedOwn(inst *instance) bool {
	domain, house := inst.root().House()
	return house && (c.domain == nil || domain != c.domain.ID)
}
