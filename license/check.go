package license

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// check refuses what no issuer may write and returns the decoded code.
func (i *Info) check() (*permission.Units, error) {
	if i.Format != Format {
		return nil, fmt.Errorf("%w: format %d", ErrMalformed, i.Format)
	}
	u, err := i.Units()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	for _, step := range []func(*permission.Units) error{i.checkFields, i.checkActor, i.checkKeys, i.checkTimes, i.checkCounts, i.checkUnits, i.checkRegion, i.checkBackup, i.checkParent} {
		if err := step(u); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func (i *Info) checkFields(*permission.Units) error {
	switch {
	case i.ID == ident.License{}:
		return fmt.Errorf("%w: no license ID", ErrInvalid)
	case i.Issuer == "" || i.Content == "":
		return fmt.Errorf("%w: no issuer or content ID", ErrInvalid)
	case i.Continues != nil && i.Continues.Issuer == i.Issuer && i.Continues.ID == i.ID:
		return fmt.Errorf("%w: continues itself", ErrInvalid)
	case i.IssuedAt <= 0 || i.IssuedAt > maxTime:
		return fmt.Errorf("%w: issued at", ErrInvalid)
	case i.Subject.Kind < SubjectDomain || i.Subject.Kind > SubjectUser || i.Subject.ID == [ident.Size]byte{}:
		return fmt.Errorf("%w: subject", ErrInvalid)
	case i.Subject.Kind != SubjectDomain && i.Subject.Generation != 0:
		return fmt.Errorf("%w: generation of a subject that is no domain", ErrInvalid)
	case i.Version == 0:
		return fmt.Errorf("%w: version 0", ErrInvalid)
	case i.RevMaxAge < 0 || i.RevMaxAge > maxTime:
		return fmt.Errorf("%w: rev_max_age", ErrInvalid)
	case len(i.StatusURL) > maxURL:
		return fmt.Errorf("%w: status URL", ErrInvalid)
	}
	if s := i.Sunset; s != nil {
		if s.Mode < 1 || s.Mode > 2 || s.SilenceMS < minSilence || s.SilenceMS > maxTime || len(s.NoticeKey) == 0 || s.FreeAfter < 0 || s.FreeAfter > maxTime {
			return fmt.Errorf("%w: sunset", ErrInvalid)
		}
	}
	return i.Policy.check()
}

// checkActor holds the code's actor unit against fields 3, 5 and 6.
func (i *Info) checkActor(u *permission.Units) error {
	a := u.Actor
	if a == nil {
		return nil
	}
	switch r := a.Receiver; {
	case a.Content != "" && a.Content != i.Content:
		return fmt.Errorf("%w: ACTOR: CONTENT is not the license's content ID", ErrInvalid)
	case a.Issuer != "" && a.Issuer != i.Issuer:
		return fmt.Errorf("%w: ACTOR: ISSUER is not the license's issuer ID", ErrInvalid)
	case r.Kind != 0 && (SubjectKind(r.Kind) != i.Subject.Kind || r.ID != i.Subject.ID):
		return fmt.Errorf("%w: ACTOR: RECEIVER is not the license's subject", ErrInvalid)
	}
	return nil
}

func (i *Info) checkKeys(*permission.Units) error {
	if len(i.Keys) == 0 || len(i.Keys) > MaxKeys {
		return fmt.Errorf("%w: %d key references", ErrInvalid, len(i.Keys))
	}
	seen := map[ident.Key]bool{}
	for _, k := range i.Keys {
		if k.Tier == 0 || k.Tier > TierUHD && k.Tier < TierCustom {
			return fmt.Errorf("%w: tier %d", ErrInvalid, uint64(k.Tier))
		}
		if seen[k.KID] || k.KID == (ident.Key{}) {
			return fmt.Errorf("%w: KID %v zero or twice", ErrInvalid, k.KID)
		}
		seen[k.KID] = true
	}
	return nil
}

// checkTimes refuses windows that are empty on the day of issue (P5).
func (i *Info) checkTimes(u *permission.Units) error {
	for _, x := range u.Usage {
		end := earliest(x.EndTime, i.Policy.HardEnd)
		if i.Policy.StorageDuration != 0 {
			end = earliest(end, i.IssuedAt+i.Policy.StorageDuration)
		}
		if end != 0 && (end <= x.StartTime || end <= i.IssuedAt) {
			return fmt.Errorf("%w: END_TIME, hard_end or storage_duration: the window ends before it starts", ErrInvalid)
		}
	}
	return nil
}

// checkUnits: the state has one place for what is counted, so of each kind one
// usage unit at most changes it, and a part has one unit.
func (i *Info) checkUnits(u *permission.Units) error {
	for n := range u.Usage {
		a := termsOf(i, u, &u.Usage[n])
		for k := range n {
			b := termsOf(i, u, &u.Usage[k])
			if a.usage.Kind != b.usage.Kind {
				continue
			}
			if a.stateful() && b.stateful() {
				return fmt.Errorf("%w: %v: two units with PLAY_COUNT, ACCUMULATED or INTERVAL", ErrInvalid, a.usage.Kind.Permission())
			}
			if len(a.usage.Part) > 0 && slices.Equal(a.usage.Part, b.usage.Part) {
				return fmt.Errorf("%w: PART %x has two units", ErrInvalid, a.usage.Part)
			}
		}
	}
	return nil
}

// checkBackup: who holds the household's code holds the keys, so the code opens
// only what asks for no stronger module and is neither counted, timed nor lent,
// and the household's own content.
func (i *Info) checkBackup(u *permission.Units) error {
	own := i.Subject.Kind == SubjectDomain && ident.Issuer(i.Subject.ID[:]) == i.Issuer
	if i.Policy.Backup != BackupHousehold || own {
		return nil
	}
	demanding := i.Policy.MinLevel > 1
	for n := range u.Usage {
		t := termsOf(i, u, &u.Usage[n])
		demanding = demanding || t.stateful() || t.timed() || t.loan()
	}
	if demanding {
		return fmt.Errorf("%w: policy backup: HOUSEHOLD is not for what is counted, timed, lent or needs a level above SL1", ErrInvalid)
	}
	return nil
}

// checkRegion refuses a country that is permitted and denied, and a stale
// revocation state that would take away what was bought or borrowed.
func (i *Info) checkRegion(u *permission.Units) error {
	c := u.Classification
	if c == nil {
		return nil
	}
	if r := i.Policy.Region; r != nil {
		for _, code := range r.Deny {
			if slices.Contains(c.Territory, code) {
				return fmt.Errorf("%w: region deny: %s stands in TERRITORY", ErrInvalid, code)
			}
		}
	}
	if i.Policy.Stale == StaleDeny && (c.Charge == permission.ChargePurchase || c.Charge == permission.ChargeLoan || c.Charge == permission.ChargeGift) {
		return fmt.Errorf("%w: stale: DENY is not for purchases, gifts and loans", ErrInvalid)
	}
	return nil
}

// earliest is the earlier of two times of which 0 means absent.
func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// checkCounts: a play that is begun again can only be told by the duration.
func (i *Info) checkCounts(u *permission.Units) error {
	for _, x := range u.Usage {
		if x.PlayCount != 0 && i.Policy.Duration == 0 {
			return fmt.Errorf("%w: PLAY_COUNT without duration_ms", ErrInvalid)
		}
	}
	return nil
}

func (i *Info) checkParent(u *permission.Units) error {
	p := i.Parent
	if p == nil {
		return nil
	}
	switch {
	case p.Kind < KindCopy || p.Kind > KindRebind:
		return fmt.Errorf("%w: derivation %d", ErrInvalid, p.Kind)
	case p.Of != 0 && p.Index >= p.Of:
		return fmt.Errorf("%w: child %d of %d", ErrInvalid, p.Index, p.Of)
	case i.Continues != nil || i.Sunset != nil:
		return fmt.Errorf("%w: a derived license continues nothing", ErrInvalid)
	}
	if p.Kind == KindLoan || p.Kind == KindAllowance {
		for _, q := range []permission.Permission{permission.Copy, permission.Move, permission.Transfer, permission.Lend, permission.Export} {
			lentOwn := q == permission.Export && p.Kind == KindLoan && isOwn(i.Content) && inBrowsersOnly(u.Export)
			if u.Grants(q) && !lentOwn {
				return fmt.Errorf("%w: %v in a loan or allowance", ErrInvalid, q)
			}
		}
	}
	return nil
}
