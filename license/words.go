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
	i.ruleWords(u, say)
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

// ruleWords says what the rules of field 8 add.
func (i *Info) ruleWords(u *permission.Units, say func(string, ...any)) {
	p := &i.Policy
	if p.EmbargoStrict {
		say("Its start needs a clock that was just proven.")
	}
	if p.AccumulatedBy == AccumulatedMedia {
		say("The total counts what is played; a pause costs nothing.")
	}
	if r := p.Renew; r != nil {
		t := termsOf(i, u, &permission.UsageUnit{})
		for n := range u.Usage {
			t = termsOf(i, u, &u.Usage[n])
			break
		}
		if end := t.sold(); end != never {
			say("Is renewed by its issuer; without an answer it goes on for %s after its end.", span(t.recovery(r, end)))
		}
	}
	if r := p.Region; r != nil {
		r.words(say)
	}
	if r := p.Concurrency; r != nil {
		then := map[OnFull]string{BlockNew: "a further one waits", TakeoverOldest: "a further one ends the oldest"}[r.OnFull]
		if then == "" {
			then = "a further one asks whether to end the oldest"
		}
		say("May run on %d devices at a time; %s.", r.Max, then)
	}
	if r := p.Domain; r != nil {
		say("May be on %d devices of a house.", r.Devices)
		if r.NewAYear != 0 {
			say("Goes to %d new devices a year at most.", r.NewAYear)
		}
	}
	i.handlingWords(u, say)
	if r := p.Report; r != nil {
		say("Asks for your consent to tell %s %s.", r.To, map[ReportKind]string{ReportStarted: "that it was begun", ReportMinutes: "how many minutes were played"}[r.What])
	}
	if p.Overlay != nil {
		say("Needs a player that draws a visible mark on the picture.")
	}
	switch p.Backup {
	case BackupIssuer:
		say("Can be restored by its issuer.")
	case BackupHousehold:
		say("Can be restored with the household's recovery code.")
	default: // nothing is said
	}
	if s := i.Sunset; s != nil {
		say("When its issuer is gone, %s.", map[uint64]string{1: "the household may bind it to new devices", 2: "it becomes an ordinary file"}[s.Mode])
		if s.FreeAfter != 0 {
			say("That is so from %s in any case.", when(s.FreeAfter))
		}
	}
	if c := i.Continues; c != nil {
		say("Continues another license of %s: what was used of it stays used.", c.Issuer)
	}
}

func (r *RegionRule) words(say func(string, ...any)) {
	at := map[RegionPhase]string{RegionFirstUse: "at the first use", RegionEachUse: "at each use"}[r.Phase]
	if at == "" {
		at = "when it is issued"
	}
	if len(r.Areas) > 0 {
		say("Is for the areas %s, judged %s.", strings.Join(r.Areas, ", "), at)
	}
	if len(r.Deny) > 0 {
		say("Is not for %s, judged %s.", strings.Join(r.Deny, ", "), at)
	}
	if r.Phase >= RegionFirstUse {
		days := uint64(roamDays)
		if r.RoamDays != nil {
			days = *r.RoamDays
		}
		say("Elsewhere it plays on %d of 90 days.", days)
	}
}

// handlingWords says what bounds copies, gifts and loans.
func (i *Info) handlingWords(u *permission.Units, say func(string, ...any)) {
	p := &i.Policy
	where := func(d Dests) string {
		return map[Dests]string{DestAny: "to any device", DestList: "to listed devices only"}[d]
	}
	if u.Grants(permission.Copy) {
		r := value(p.Copy)
		to := where(r.dests())
		if to == "" {
			to = "within the household"
		}
		say("Copies go %s%s.", to, countersignWords(r.countersign()))
	}
	if u.Grants(permission.Transfer) {
		r := value(p.Transfer)
		say("Between two gifts lie at least %s%s.", span(r.cooldown()), countersignWords(r.countersign()))
	}
	if u.Grants(permission.Lend) {
		if r := value(p.Lend); r.Overlap {
			say("While it is lent the lender may go on using it.")
		} else {
			say("While it is lent the lender does not use it; it comes back by itself.")
		}
	}
}

func countersignWords(c Countersigned) string {
	switch c {
	case CountersignDomain:
		return "; the household agrees to each"
	case CountersignIssuer:
		return "; the issuer agrees to each"
	default:
		return ""
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
