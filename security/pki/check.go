package pki

import (
	"bytes"
	"slices"
	"time"
)

// MaxDays is the longest validity of an end-entity certificate in days, by
// role; 0 means it never expires. Source: docs/spec/certificates.md.
func MaxDays(r Role) int {
	switch r {
	case LicenseIssuer:
		return 90
	case HomeServer, ContentProvider:
		return 731
	case StateSigner, TimeSigner:
		return 366
	case Device:
	}
	return 0
}

// Never is the end of a certificate that does not expire (RFC 5280 section 4.1.2.5).
func Never() time.Time { return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }

// Backdate is how far before its issue a certificate is valid, so that a party
// whose clock is behind accepts it. Source: local.
const Backdate = time.Hour

// checkPath checks everything that certificates say of each other, except
// signatures and revocation. path is leaf first and ends with the root.
func checkPath(path []*cert, kind KeyKind, now time.Time) error {
	for _, c := range path {
		if err := c.checkTime(now); err != nil {
			return err
		}
	}
	leaf, root := path[0], len(path)-1
	if err := checkLeaf(leaf, kind, root); err != nil {
		return err
	}
	for i := 1; i <= root; i++ {
		if err := checkLink(path[i-1], path[i], i == root); err != nil {
			return err
		}
		if below := i - 1; path[i].MaxPathLen < below {
			return broken(path[i], RulePathLength, "%d CAs below, %d allowed", below, path[i].MaxPathLen)
		}
		if i == root {
			break
		}
		if err := checkGrants(leaf, path[i]); err != nil {
			return err
		}
	}
	if top := path[root-1]; top.IsCA && (!top.RequireExplicitPolicyZero || !top.InhibitAnyPolicyZero) {
		return broken(top, RulePolicy, "first-level CA without requireExplicitPolicy 0 and inhibitAnyPolicy 0")
	}
	return nil
}

func checkLeaf(c *cert, kind KeyKind, depth int) error {
	if c.IsCA {
		return broken(c, RuleCA, "a CA is no party")
	}
	if c.kind != kind {
		return broken(c, RuleKind, "kind %d, want %d", c.kind, kind)
	}
	if len(c.roles) != 1 {
		return broken(c, RuleRole, "%d roles, want 1", len(c.roles))
	}
	if len(c.levels) != 1 || len(c.anchors) != 1 {
		return broken(c, RulePolicy, "one level and one anchor")
	}
	role := c.roles[0]
	if signer := role == StateSigner || role == TimeSigner; signer != (depth == 1) {
		return broken(c, RuleChain, "%s at depth %d below the root", role, depth)
	}
	if needs := role == LicenseIssuer || role == HomeServer; needs != (c.member.Issuer != "") {
		return broken(c, RuleMember, "issuer ID: license issuers and home servers have one, nobody else")
	}
	if days := MaxDays(role); days == 0 && !c.NotAfter.Equal(Never()) {
		return broken(c, RulePeriod, "a %s does not expire", role)
	} else if days > 0 && c.NotAfter.Sub(c.NotBefore) > time.Duration(days)*24*time.Hour+Backdate {
		return broken(c, RulePeriod, "a %s has at most %d days", role, days)
	}
	return nil
}

// checkLink holds a certificate against the CA that names itself its issuer.
func checkLink(c, ca *cert, root bool) error {
	if !ca.IsCA {
		return broken(ca, RuleCA, "not a CA")
	}
	if !bytes.Equal(c.RawIssuer, ca.RawSubject) {
		return broken(c, RuleTrust, "not issued by the next certificate")
	}
	r := *ca.member.Range
	if c.member.Class != r.First {
		return broken(c, RuleRange, "class %s, its CA issues class %s", c.member.Class, r.First)
	}
	if c.IsCA {
		if below := *c.member.Range; below.First <= r.First || !r.Contains(below) {
			return broken(c, RuleRange, "range %s-%s, its CA has %s-%s", below.First, below.Last, r.First, r.Last)
		}
		return nil
	}
	if !root && r.First != r.Last {
		return broken(c, RuleRange, "its CA issues CAs only")
	}
	return nil
}

// checkGrants checks that a CA may stand above a leaf of this role, level and anchor.
func checkGrants(leaf, ca *cert) error {
	switch {
	case !slices.Contains(ca.roles, leaf.roles[0]):
		return broken(ca, RuleNesting, "%s is not among its roles", leaf.roles[0])
	case !slices.Contains(ca.levels, leaf.levels[0]):
		return broken(leaf, RuleLevel, "%s is not granted by certificate %d", leaf.levels[0], ca.pos)
	case !slices.Contains(ca.anchors, leaf.anchors[0]):
		return broken(leaf, RuleAnchor, "%s is not granted by certificate %d", leaf.anchors[0], ca.pos)
	}
	return nil
}
