package license

import (
	"slices"
	"strconv"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// number prints a count.
func number(n uint64) string { return strconv.FormatUint(n, 10) }

// verdict is what was found about one key.
type verdict struct {
	from, to int  // its reasons in the decision
	usable   bool //
	settling bool // an output comes up: no reason is given
	settled  int64
}

// outputs chooses the keys that may be used on the outputs at hand (evaluator
// E7): the best picture tier that is usable on all of them, and every lower one.
func (e *evaluation) outputs() {
	e.export()
	var store [MaxKeys]verdict
	keys := e.l.info.Keys
	found := store[:len(keys)]
	for i := range keys {
		v := &found[i]
		v.from = len(e.out.Reasons)
		e.key(i, v)
		v.to = len(e.out.Reasons)
		if v.usable = v.to == v.from && !v.settling; v.to > v.from {
			e.out.WouldUnlock = append(e.out.WouldUnlock, Unlock{keys[i].Tier, e.out.Reasons[v.from].Need})
		}
	}
	e.choose(found)
	closed := !e.enough(found)
	for i := range found {
		v := &found[i]
		for n := v.from; n < v.to; n++ {
			r := &e.out.Reasons[n]
			if closed || keys[i].KID == e.in.Request.KID || e.stops(i, r.Code) {
				r.Closed, e.out.Allow = true, false
			}
		}
	}
	e.blocked(found)
	if len(e.in.Env.Outputs) > 0 {
		e.out.Notes = append(e.out.Notes, "MIN_OVER_OUTPUTS")
	}
}

// export: a household's browser is an output only where the code says so (E18).
func (e *evaluation) export() {
	link := e.in.Request.Output.Class == OutputLink
	for i := range e.in.Env.Outputs {
		link = link || e.in.Env.Outputs[i].Class == OutputLink
	}
	if !link {
		return
	}
	x := e.l.units.Export
	if !x.Names(permission.SystemClearKey) {
		e.out.refuse(OutputCode, "EXPORT", string(OutputLink), permission.SystemClearKey, ConnectDisplay)
	} else if len(x.Extra) > 0 {
		e.out.refuse(UnknownCritical, "unit 0x40", "unknown to this version", "", Contact)
	}
}

// overlay: a player that does not draw the mark does not satisfy the condition.
func (e *evaluation) overlay() {
	if e.l.info.Policy.Overlay != nil && !e.in.Request.Overlay {
		e.out.refuse(OutputCode, "OVERLAY", "a player without marks", "a player that draws the visible mark", Contact)
	}
}

// choose sets the decision's tier and keys: the best picture tier that is
// usable and wanted, and what lies below it; of the issuer's own tiers the one
// that is wanted, with the sound.
func (e *evaluation) choose(found []verdict) {
	want, o := e.in.Request.Tier, e.out
	for i := range found {
		k := &e.l.info.Keys[i]
		ordered := k.Tier < TierCustom
		switch {
		case !found[i].usable, want != 0 && want < TierCustom && (!ordered || k.Tier > want), want >= TierCustom && k.Tier != want && k.Tier != TierAudio:
			continue
		}
		if k.Tier.better(o.Tier, want) {
			o.Tier = k.Tier
		}
		o.KIDs = append(o.KIDs, k.KID)
	}
}

// better reports whether a tier takes another's place as the one of a decision:
// the tier wanted is the best, an issuer's own one where there is no other.
func (t Tier) better(than, want Tier) bool {
	return than == 0 || t == want || than != want && t < TierCustom && (t > than || than >= TierCustom)
}

// enough reports whether what is usable makes a use. For one key it is that
// key alone: a picture's violation does not mute the sound. Else it is a
// picture tier, where the license has one and more than sound is wanted.
func (e *evaluation) enough(found []verdict) bool {
	r, keys := &e.in.Request, e.l.info.Keys
	if r.KID != (ident.Key{}) {
		i := slices.IndexFunc(keys, func(k KeyRef) bool { return k.KID == r.KID })
		switch {
		case i < 0:
			e.out.refuse(KeyNotGranted, "KID", r.KID.String(), "a key of the license", "")
		case found[i].settling:
			e.comesUp(&keys[i], &found[i])
		case found[i].usable && !slices.Contains(e.out.KIDs, r.KID):
			e.out.refuse(KeyNotGranted, "TIER", "a key of another tier", r.Tier.String(), "")
		}
		return true
	}
	pictures := slices.ContainsFunc(keys, func(k KeyRef) bool { return k.Tier.picture() })
	ok := len(e.out.KIDs) > 0
	switch {
	case r.Tier >= TierCustom:
		ok = e.out.Tier == r.Tier
	case pictures && r.Tier != TierAudio:
		ok = e.out.Tier.picture()
	}
	if !ok && !e.settle(found) && !slices.ContainsFunc(keys, func(k KeyRef) bool { return r.serves(k.Tier, pictures) }) {
		e.out.refuse(KeyNotGranted, "TIER", "no such tier", r.Tier.String(), Contact)
	}
	return ok
}

// serves reports whether a tier could be what is wanted, were it usable.
func (r *Request) serves(t Tier, pictures bool) bool {
	switch {
	case r.Tier >= TierCustom:
		return t == r.Tier
	case pictures && r.Tier != TierAudio:
		return t.picture() && (r.Tier == 0 || t <= r.Tier)
	}
	return r.Tier == 0 || t <= r.Tier
}

// settle refuses where an output that comes up leaves nothing to show.
func (e *evaluation) settle(found []verdict) bool {
	i := slices.IndexFunc(found, func(v verdict) bool { return v.settling })
	if i < 0 {
		return false
	}
	e.comesUp(&e.l.info.Keys[i], &found[i])
	return true
}

// comesUp refuses for the moment that an output takes to settle.
func (e *evaluation) comesUp(k *KeyRef, v *verdict) {
	e.out.add(Reason{Code: OutputCode, Constraint: k.Tier.String(), Have: "an output that comes up", Need: "a moment", Closed: true, Earliest: v.settled, Remedy: WaitUntil})
}

// stops reports whether a violation of the key's output rules stops the use.
func (e *evaluation) stops(i int, c Code) bool {
	k, rule := &e.l.info.Keys[i], &e.l.rules[i]
	wanted := e.in.Request.Tier == 0 || k.Tier <= e.in.Request.Tier
	return c == OutputCode && !rule.unknown && rule.OnViolation == Stop && wanted
}

// blocked lists the further outputs that stay dark under the tier chosen.
func (e *evaluation) blocked(found []verdict) {
	for n := range e.in.Env.Outputs {
		o := &e.in.Env.Outputs[n]
		for i := range found {
			k, rule := &e.l.info.Keys[i], &e.l.rules[i]
			if found[i].usable && k.Tier == e.out.Tier && rule.OnViolation == BlockOutput && e.violates(k, rule, o) != "" {
				e.out.Blocked = append(e.out.Blocked, o.Class)
				break
			}
		}
	}
}

// fail records why a key cannot be used; whether it refuses is known later.
func (e *evaluation) fail(c Code, k *KeyRef, have, need string, r Remedy) {
	e.out.Reasons = append(e.out.Reasons, Reason{Code: c, Constraint: k.Tier.String(), Have: have, Need: need, Remedy: r})
}

// key records why a key cannot be used here; no reason means that it can.
func (e *evaluation) key(i int, v *verdict) {
	k, rule, env, r := &e.l.info.Keys[i], &e.l.rules[i], &e.in.Env, &e.in.Request
	if !slices.Contains(env.Keys, k.KID) {
		e.fail(KeyNotGranted, k, "no key", "a key from the issuer", Contact)
	}
	if e.terms.counted() && k.BPS == 0 {
		e.fail(KeyNotGranted, k, "no bps", "bps, for counted use", Contact)
	}
	if rule.unknown {
		e.fail(UnknownCritical, k, "unknown output rule", "a version that knows it", Contact)
		return
	}
	if uint64(env.Level) < rule.MinLevel {
		e.fail(TREMLevel, k, level(uint64(env.Level)), needLevel(rule.MinLevel), Contact)
	}
	if rule.MaxFPS != 0 && (r.FPS == 0 || r.FPS > rule.MaxFPS) {
		e.fail(OutputCode, k, number(r.FPS)+" pictures a second", "at most "+number(rule.MaxFPS), Contact)
	}
	if most := e.terms.usage.MaxPixels; most != 0 && k.Tier != TierAudio && pixels(k, rule) > most {
		e.fail(OutputCode, k, "more pixels", "RESOLUTION<="+number(most), "")
	}
	e.shows(k, rule, &r.Output, v)
	for n := range env.Outputs {
		if rule.OnViolation != BlockOutput {
			e.shows(k, rule, &env.Outputs[n], v)
		}
	}
}

// shows judges a key on one output. One that has just come up gives no reason
// while it settles.
func (e *evaluation) shows(k *KeyRef, rule *keyRule, o *Output, v *verdict) {
	need := e.violates(k, rule, o)
	if need == "" {
		return
	}
	settled := plus(o.Plugged, rule.settle())
	if o.Plugged == 0 || e.est >= settled {
		e.fail(OutputCode, k, string(o.Class), need, ConnectDisplay)
		return
	}
	if !slices.Contains(e.out.Notes, "SETTLING") {
		e.out.Notes = append(e.out.Notes, "SETTLING")
	}
	e.out.change(e.est, settled, "SETTLED")
	v.settling, v.settled = true, max(v.settled, settled)
}

// pixels is the most pixels a picture under the key has.
func pixels(k *KeyRef, r *keyRule) uint64 {
	if r.MaxPixels != 0 {
		return r.MaxPixels
	}
	return k.Tier.pixels()
}

// violates names what the output would need, or nothing. OUTPUT_PROTECTION of
// the code holds for pictures; the key's own rules hold for the key.
func (e *evaluation) violates(k *KeyRef, r *keyRule, o *Output) string {
	if k.Tier == TierUHD && e.l.info.Policy.OutputEvidence == EvidenceTREM && o.Evidence != EvidenceTREM {
		return "TREM evidence of the output"
	}
	need := r.Digital
	if k.Tier != TierAudio {
		need = max(need, e.terms.usage.Output)
	}
	switch o.Class {
	case OutputInternal:
		return ""
	case OutputDigital, OutputLink:
		if o.Protection < need {
			return protectionName(need)
		}
		return ""
	case OutputAnalog:
		return analog(k, r, need)
	case OutputWireless:
		if r.Wireless == RuleDeny || (r.Wireless == RuleProtected || need > 0) && o.Protection < max(need, permission.ProtectHDCP1) {
			return "a protected link"
		}
		return ""
	case OutputNetwork:
		return network(r, need)
	}
	return unknownOutput(k, r, need)
}

// network: what goes through a network in the clear has no protection there, may go
// through the air, and comes out of a machine whose own outputs nobody here sees.
func network(r *keyRule, need permission.Protection) string {
	switch {
	case need > 0:
		return protectionName(need)
	case r.Wireless != RuleAllow:
		return "a protected link"
	case r.Analog != RuleAllow:
		return "a digital output"
	case r.Unknown != nil && *r.Unknown == RuleDeny:
		return "a known output"
	}
	return ""
}

// analog: no analog output of this version can assert CGMS, and none has the
// protection that a digital one must have.
func analog(k *KeyRef, r *keyRule, need permission.Protection) string {
	switch {
	case r.Analog == RuleDeny:
		return "a digital output"
	case r.Analog == RuleCGMSNever:
		return "CGMS_NEVER"
	case r.Analog == RuleSDOnly && k.Tier != TierAudio && pixels(k, r) > TierSD.pixels():
		return "SD"
	case need > 0:
		return protectionName(need)
	}
	return ""
}

func unknownOutput(k *KeyRef, r *keyRule, need permission.Protection) string {
	demanding := need > 0 || r.Analog != RuleAllow || r.Wireless != RuleAllow
	rule := RuleConstrain
	if r.Unknown != nil {
		rule = *r.Unknown
	}
	most := r.Constrain
	if most == 0 {
		most = defaultConstrain
	}
	switch {
	case rule == RuleDeny:
		return "a known output"
	case rule == RuleConstrain && demanding && pixels(k, r) > most:
		return protectionName(need)
	}
	return ""
}

// protectionName is the keyword of a protection.
func protectionName(p permission.Protection) string {
	if p == permission.ProtectNone {
		return "a known output"
	}
	return p.String()
}
