package license

import (
	"fmt"
	"strings"

	"github.com/lares-drm/lares/license/permission"
)

// Words says in sentences what the license permits, its policy and its keys.
// They are for people and may change; programs use the fields.
func (i *Info) Words() ([]string, error) {
	u, err := i.Units()
	if err != nil {
		return nil, err
	}
	out := u.Words()
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	i.timeWords(u, say)
	p := &i.Policy
	if p.MinLevel != 0 {
		say("Needs a module of level SL%d or better.", p.MinLevel)
	}
	if p.MinAnchor != nil {
		say("Needs a store of anchor A%d or better.", *p.MinAnchor)
	}
	if p.OutputEvidence == EvidenceTREM {
		say("UHD needs outputs that the module itself knows.")
	}
	i.tierWords(say)
	for _, name := range p.unknown(true) {
		say("Has a condition that this version does not evaluate (%s): it is refused.", name)
	}
	for _, name := range p.unknown(false) {
		say("Says something that this version ignores (%s).", name)
	}
	if i.Parent != nil {
		kind := map[DerivedKind]string{KindCopy: "copy", KindLoan: "loan", KindAllowance: "allowance", KindExport: "export", KindRebind: "re-binding"}[i.Parent.Kind]
		say("Derived from another license: %s number %d of it.", kind, i.Parent.Index+1)
	}
	return out, nil
}

func (i *Info) timeWords(u *permission.Units, say func(string, ...any)) {
	p := &i.Policy
	if p.StorageDuration != 0 {
		say("Must be begun within %s of its issue, before %s.", span(p.StorageDuration), when(plus(i.IssuedAt, p.StorageDuration)))
	}
	if p.HardEnd != 0 {
		say("Ends %s whatever was begun.", when(p.HardEnd))
	}
	for x := range u.Usage {
		t := termsOf(i, u, &u.Usage[x])
		if t.usage.Interval != 0 {
			mode := "even where it passes the time by which it must be begun"
			if p.OnFirstUse == OnFirstCap {
				mode = "but not beyond the time by which it must be begun"
			}
			say("The period begins after %s of viewing and lasts in full, %s.", span(t.firstUseThreshold()), mode)
		}
		if t.usage.PlayCount != 0 {
			say("A play counts after %s; it may be resumed within %s.", span(t.countThreshold()), span(t.resumeWindow()))
		}
		if t.timed() {
			end := "a film that runs may finish"
			if !t.finish() {
				end = "what runs stops"
			}
			say("When the time is over, %s. Without a synchronized clock it plays for %s of powered-on time.", end, span(t.grace(nil)))
		}
	}
}

func (i *Info) tierWords(say func(string, ...any)) {
	var tiers []string
	for k := range i.Keys {
		ref := &i.Keys[k]
		text := ref.Tier.String()
		rules, err := ref.Rules()
		switch {
		case err != nil:
			text += " (unknown conditions)"
		case rules.Digital != permission.ProtectNone || rules.MinLevel != 0:
			var needs []string
			if rules.Digital != permission.ProtectNone {
				needs = append(needs, rules.Digital.String())
			}
			if rules.MinLevel != 0 {
				needs = append(needs, fmt.Sprintf("SL%d", rules.MinLevel))
			}
			text += " (needs " + strings.Join(needs, " and ") + ")"
		}
		tiers = append(tiers, text)
	}
	say("Tiers: %s.", strings.Join(tiers, ", "))
}
