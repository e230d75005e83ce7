package license

import (
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Defaults of handling. Source: evaluator E8 to E11.
const (
	defaultCooldown = 24 * 3600_000      // ms between changes of subject
	defaultLoan     = 14 * 24 * 3600_000 // ms of the longest loan
)

// handling judges COPY, MOVE, TRANSFER, LEND and EXPORT: in the time of the
// usage unit with the latest end, then by the action's own rules (evaluator E3,
// E8 to E12).
func (e *evaluation) handling() {
	e.terms = e.l.longest(&e.in.State)
	e.critical()
	e.clock()
	e.end()
	e.copiesLeft()
	switch e.in.Request.Action {
	case permission.Copy:
		e.copying()
	case permission.Move:
		scope := DestAny
		if e.l.units.Management.Move == permission.MoveDomain {
			scope = DestDomain
		}
		e.goesTo(scope, nil)
	case permission.Transfer:
		e.transferring()
	case permission.Lend:
		e.lending()
	default:
		e.exporting()
	}
}

// longest is the reading of the usage unit with the latest end.
func (l *License) longest(s *State) terms {
	var none permission.UsageUnit
	best := termsOf(&l.info, l.units, &none)
	for i := range l.units.Usage {
		t := termsOf(&l.info, l.units, &l.units.Usage[i])
		t.denied = s.Denied != 0
		if i == 0 || t.end(s.FirstUse) > best.end(s.FirstUse) {
			best = t
		}
	}
	return best
}

func (e *evaluation) copying() {
	m, s := e.l.units.Management, &e.in.State
	most := max(m.MaxGeneration, 1)
	if n := copies(m); n != 0 && s.left(permission.Copy, n) == 0 {
		e.exhausted(permission.Copy, "COPY_COUNT", n, e.moveInstead(Buy))
	}
	if g := e.l.generation(s); g >= most {
		e.out.refuse(Generation, "MAX_GENERATION", "copy generation "+number(g), "below "+number(most), e.moveInstead(""))
	}
	r := value(e.l.info.Policy.Copy)
	e.goesTo(r.dests(), r.List)
	e.countersigned(r.countersign())
}

// generation is the copy generation of the instance.
func (l *License) generation(s *State) uint64 {
	if p := l.info.Parent; p != nil {
		return max(p.CopyGeneration, s.CopyGeneration)
	}
	return s.CopyGeneration
}

func (r *CopyRule) dests() Dests { return max(r.Dests, DestDomain) }

func (r *CopyRule) countersign() Countersigned { return max(r.Countersign, CountersignNone) }

func (e *evaluation) transferring() {
	m, s := e.l.units.Management, &e.in.State
	if s.left(permission.Transfer, m.Transfer) == 0 {
		e.exhausted(permission.Transfer, "TRANSFER", m.Transfer, Buy)
	}
	r := value(e.l.info.Policy.Transfer)
	if s.LastTransfer != 0 {
		from := plus(s.LastTransfer, r.cooldown())
		e.out.change(e.est, from, "COOLDOWN")
		if e.est < from {
			e.out.add(Reason{Code: NotYet, Constraint: "TRANSFER_COOLDOWN", Have: when(e.est), Need: ">= " + when(from), Closed: true, Earliest: from, Remedy: WaitUntil})
		}
	}
	e.goesTo(DestAny, nil)
	e.countersigned(r.countersign())
	d := e.in.Request.Dest
	if !r.Region || d == nil {
		return
	}
	rule := value(e.l.info.Policy.Region)
	known := e.l.named(d.Country)
	if !known && rule.denies(e.terms.live) || known && !e.l.permits(d.Country) {
		e.out.refuse(Region, "REGION", d.Country, "a country of the license", Contact)
	}
}

func (r *TransferRule) cooldown() int64 {
	if r.Cooldown == 0 {
		return defaultCooldown
	}
	return r.Cooldown
}

func (r *TransferRule) countersign() Countersigned {
	if r.Countersign == 0 {
		return CountersignDomain
	}
	return r.Countersign
}

func (e *evaluation) lending() {
	s := &e.in.State
	if s.Loan != nil && s.Phase == Held {
		e.out.add(Reason{Code: LentOut, Constraint: "LEND_COUNT", Have: "1 loan out", Need: "none", Closed: true, Earliest: s.Loan.Until, Remedy: WaitUntil})
	}
	longest := int64(0) // several units are alternatives
	for i := range e.l.units.Extended {
		longest = max(longest, longestLoan(&e.l.units.Extended[i]))
	}
	if f := e.in.Request.For; f <= 0 || f > longest {
		e.out.refuse(NoGrant, "LEND_TIME", span(max(f, 0)), "at most "+span(longest), "")
	}
	r := value(e.l.info.Policy.Lend)
	if n := e.l.playCount(); n != 0 && s.free(n) < r.plays() {
		e.exhausted(permission.Play, "PLAY_COUNT", n, Buy)
	}
	e.goesTo(r.dests(), r.List)
}

func longestLoan(x *permission.ExtendedUnit) int64 {
	if x.MaxDuration == 0 {
		return defaultLoan
	}
	return x.MaxDuration
}

// playCount is the PLAY_COUNT of the counted PLAY unit, or 0.
func (l *License) playCount() uint64 {
	for i := range l.units.Usage {
		if x := &l.units.Usage[i]; x.Kind == permission.Playback && x.PlayCount != 0 {
			return x.PlayCount
		}
	}
	return 0
}

func (r *LendRule) plays() uint64 { return max(r.Plays, 1) }

func (r *LendRule) dests() Dests {
	if r.Dests == 0 {
		return DestAny
	}
	return r.Dests
}

func (e *evaluation) exporting() {
	d := e.in.Request.Dest
	if d == nil || !e.l.units.Export.Names(d.System) {
		e.out.refuse(DestNotAllowed, "EXPORT", "a system that is not named", "one of the export condition", "")
	}
	m := e.l.units.Management
	if d != nil && d.Clear && (m == nil || m.Encryption != permission.EncryptionRelease) {
		e.out.refuse(DestNotAllowed, "ENCRYPTION", "not protected", "a protected form", "")
	}
}

// goesTo judges where an instance would go, and the levels there.
func (e *evaluation) goesTo(where Dests, list []ident.Device) {
	d, p := e.in.Request.Dest, &e.l.info.Policy
	if d == nil || !e.permitted(d, where, list) {
		e.out.refuse(DestNotAllowed, "DEST", "no destination, or one that is not permitted", where.String(), "")
	}
	if d == nil {
		return
	}
	if uint64(d.Level) < p.MinLevel {
		e.out.refuse(TREMLevel, "DEST_LEVEL", level(uint64(d.Level)), level(p.MinLevel), "")
	}
	if least := e.terms.minAnchor(); uint64(d.Anchor) < least {
		e.out.refuse(TREMLevel, "DEST_ANCHOR", anchor(uint64(d.Anchor)), anchor(least), "")
	}
}

func (e *evaluation) permitted(d *Dest, where Dests, list []ident.Device) bool {
	switch where {
	case DestAny:
		return true
	case DestList:
		return slices.Contains(list, d.Device) || slices.Contains(list, ident.Device(d.Domain))
	default: // DestDomain
	}
	if d.Domain == (ident.Domain{}) {
		return false
	}
	if s := &e.l.info.Subject; s.Kind == SubjectDomain {
		return d.Domain == s.ID
	}
	return e.in.Env.membership(d.Domain) != nil
}

// String is DOMAIN, ANY or LIST.
func (d Dests) String() string {
	switch d {
	case DestAny:
		return "ANY"
	case DestList:
		return "LIST"
	default:
		return "DOMAIN"
	}
}

// String is NONE, DOMAIN or ISSUER.
func (c Countersigned) String() string {
	switch c {
	case CountersignDomain:
		return "DOMAIN"
	case CountersignIssuer:
		return "ISSUER"
	default:
		return "NONE"
	}
}

func (e *evaluation) countersigned(least Countersigned) {
	if have := max(e.in.Request.Countersigned, CountersignNone); have < least {
		e.out.refuse(DestNotAllowed, "COUNTERSIGN", have.String(), least.String(), Contact)
	}
}
