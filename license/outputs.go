package license

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// outputs chooses the keys that may be used on the outputs at hand (evaluator
// E7): the best picture tier that is usable on all of them, and every lower one.
func (e *evaluation) outputs() {
	e.export()
	type failure struct {
		key     *KeyRef
		reasons []Reason
	}
	var failed []failure
	var usable []*KeyRef
	for i := range e.l.info.Keys {
		k := &e.l.info.Keys[i]
		reasons := e.key(k)
		if len(reasons) == 0 {
			usable = append(usable, k)
			continue
		}
		failed = append(failed, failure{k, reasons})
		e.out.WouldUnlock = append(e.out.WouldUnlock, Unlock{k.Tier, reasons[0].Need})
	}
	e.choose(usable)
	closed := !e.enough(usable)
	for _, f := range failed {
		for _, r := range f.reasons {
			r.Closed = closed || f.key.KID == e.in.Request.KID || e.stops(f.key, r.Code)
			e.out.add(r)
		}
	}
	if len(e.in.Env.Outputs) > 0 {
		e.out.Notes = append(e.out.Notes, "MIN_OVER_OUTPUTS")
	}
}

// export: a household's browser is an output only where the code says so (E18).
func (e *evaluation) export() {
	for _, o := range e.watching() {
		if o.Class != OutputLink {
			continue
		}
		x := e.l.units.Export
		if !x.Names(permission.SystemClearKey) {
			e.out.refuse(OutputCode, "EXPORT", string(OutputLink), permission.SystemClearKey, ConnectDisplay)
		} else if len(x.Extra) > 0 {
			e.out.refuse(UnknownCritical, fmt.Sprintf("unit 0x%02x", permission.TagExport), "unknown to this version", "", Contact)
		}
		return
	}
}

func (e *evaluation) watching() []Output {
	return append([]Output{e.in.Request.Output}, e.in.Env.Outputs...)
}

// choose sets the decision's tier and keys.
func (e *evaluation) choose(usable []*KeyRef) {
	want := e.in.Request.Tier
	for _, k := range usable {
		ordered := k.Tier < TierCustom
		if ordered && want != 0 && want < TierCustom && k.Tier > want || !ordered && want != 0 && k.Tier != want {
			continue
		}
		if e.out.Tier == 0 || ordered && (k.Tier > e.out.Tier || e.out.Tier >= TierCustom) || k.Tier == want {
			e.out.Tier = k.Tier
		}
		e.out.KIDs = append(e.out.KIDs, k.KID)
	}
}

// enough reports whether what is usable makes a use. For one key it is that
// key alone: a picture's violation does not mute the sound. Else it is a
// picture tier, where the license has one and more than sound is wanted.
func (e *evaluation) enough(usable []*KeyRef) bool {
	r := &e.in.Request
	if r.KID != (ident.Key{}) {
		beyond := slices.ContainsFunc(usable, func(k *KeyRef) bool { return k.KID == r.KID }) && !slices.Contains(e.out.KIDs, r.KID)
		if beyond {
			e.out.refuse(KeyNotGranted, "TIER", "a key of another tier", r.Tier.String(), "")
		}
		return !beyond
	}
	pictures := slices.ContainsFunc(e.l.info.Keys, func(k KeyRef) bool { return k.Tier.picture() })
	ok := len(e.out.KIDs) > 0 && (!pictures || r.Tier == TierAudio || r.Tier >= TierCustom || e.out.Tier.picture())
	if !ok && len(usable) == len(e.l.info.Keys) {
		e.out.refuse(KeyNotGranted, "TIER", "no such tier", r.Tier.String(), Contact)
	}
	return ok
}

// stops reports whether a violation of the key's output rules stops the use.
func (e *evaluation) stops(k *KeyRef, c Code) bool {
	rules, err := k.Rules()
	wanted := e.in.Request.Tier == 0 || k.Tier <= e.in.Request.Tier
	return c == OutputCode && err == nil && rules.OnViolation == Stop && wanted
}

// key lists why a key cannot be used here; nothing means it can.
func (e *evaluation) key(k *KeyRef) []Reason {
	name := k.Tier.String()
	var out []Reason
	fail := func(c Code, have, need string, r Remedy) {
		out = append(out, Reason{Code: c, Constraint: name, Have: have, Need: need, Remedy: r})
	}
	if !slices.Contains(e.in.Env.Keys, k.KID) {
		fail(KeyNotGranted, "no key", "a key from the issuer", Contact)
	}
	if e.terms.counted() && k.BPS == 0 {
		fail(KeyNotGranted, "no bps", "bps, for counted use", Contact)
	}
	rules, err := k.Rules()
	if err != nil {
		fail(UnknownCritical, "unknown output rule", "a version that knows it", Contact)
		return out
	}
	if uint64(e.in.Env.Level) < rules.MinLevel {
		fail(TREMLevel, fmt.Sprintf("SL%d", e.in.Env.Level), fmt.Sprintf("TREM_LEVEL_%d", rules.MinLevel), Contact)
	}
	if rules.MaxFPS != 0 {
		fail(UnknownCritical, "max_fps", "a version that evaluates it", Contact)
	}
	if most := e.terms.usage.MaxPixels; most != 0 && k.Tier != TierAudio && pixels(k, &rules) > most {
		fail(OutputCode, "more pixels", fmt.Sprintf("RESOLUTION<=%d", most), "")
	}
	for _, o := range e.watching() {
		if need := e.violates(k, &rules, o); need != "" {
			fail(OutputCode, string(o.Class), need, ConnectDisplay)
		}
	}
	return out
}

// pixels is the most pixels a picture under the key has.
func pixels(k *KeyRef, r *OutputRules) uint64 {
	if r.MaxPixels != 0 {
		return r.MaxPixels
	}
	return k.Tier.pixels()
}

// violates names what the output would need, or nothing. OUTPUT_PROTECTION of
// the code holds for pictures; the key's own rules hold for the key.
func (e *evaluation) violates(k *KeyRef, r *OutputRules, o Output) string {
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
	}
	return unknownOutput(k, r, need)
}

// analog: no analog output of this version can assert CGMS, and none has the
// protection that a digital one must have.
func analog(k *KeyRef, r *OutputRules, need permission.Protection) string {
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

func unknownOutput(k *KeyRef, r *OutputRules, need permission.Protection) string {
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
