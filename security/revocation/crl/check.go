package crl

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Checker judges paths by lists alone. It belongs to one goroutine.
type Checker struct{ lists []*List }

// NewChecker takes all lists that are held, of any issuers, complete and delta.
func NewChecker(lists ...*List) *Checker { return &Checker{lists: lists} }

// Check refuses a path unless lists say of each certificate that it stands at
// now. The path is leaf first and ends with the trust anchor, which no list
// speaks of; its signatures, names and times were checked by the caller. Every
// refusal is an *Error. CAs are judged first: a list of a revoked one is not
// asked.
func (c *Checker) Check(path []*x509.Certificate, now time.Time) error {
	if len(path) < 2 || now.IsZero() {
		return broken(RulePath, "a certificate, its issuers and the time are needed")
	}
	for i := len(path) - 2; i >= 0; i-- {
		if ca := path[i]; unsafeNames(ca) {
			return broken(RuleNames, "of certificate %d", i)
		}
		err := c.status(path[i], path[i+1], now)
		if e, ok := errors.AsType[*Error](err); ok {
			return &Error{Rule: e.Rule, Cert: fmt.Sprintf("certificate %d (serial %x)", i, path[i].SerialNumber), Err: e.Err}
		}
	}
	return nil
}

// unsafeNames reports whether a CA limits names in a form that crypto/x509 does
// not judge as RFC 5280 section 4.2.1.10: it takes a host for its subdomains too.
func unsafeNames(ca *x509.Certificate) bool {
	return len(ca.PermittedEmailAddresses)+len(ca.ExcludedEmailAddresses)+len(ca.PermittedURIDomains)+len(ca.ExcludedURIDomains) > 0
}

// status judges one certificate.
func (c *Checker) status(cert, issuer *x509.Certificate, now time.Time) error {
	if !bytes.Equal(cert.RawIssuer, issuer.RawSubject) {
		return broken(RulePath, "not issued by the next certificate")
	}
	points, err := pointsOf(cert)
	if err != nil {
		return err
	}
	authentic, err := c.authentic(issuer)
	if err != nil {
		return err
	}
	var covered reasons
	var why error = broken(RuleScope, "no list of the issuer is about it")
	for _, p := range points {
		for _, l := range newest(authentic) {
			if !l.scope.covers(cert, p) {
				continue
			}
			reason, revoked, fresh := l.with(authentic).find(serialKey(cert.SerialNumber), now)
			if revoked {
				return broken(RuleRevoked, "reason %d, list %v", reason, l.x.Number)
			}
			if !fresh {
				why = broken(RuleFresh, "list %v held from %s to %s", l.x.Number, stamp(l.x.ThisUpdate), stamp(l.x.NextUpdate))
				continue
			}
			covered |= l.scope.reasons & p.reasons
		}
	}
	switch covered {
	case allReasons:
		return nil
	case 0:
		return why
	}
	return broken(RuleReasons, "lists cover %b of %b", covered, allReasons)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "no time"
	}
	return t.UTC().Format(time.RFC3339)
}

// authentic are the lists that carry the issuer's name and its key's signature.
func (c *Checker) authentic(issuer *x509.Certificate) (out []*List, err error) {
	err = broken(RuleAbsent, "")
	for _, l := range c.lists {
		if !bytes.Equal(l.x.RawIssuer, issuer.RawSubject) {
			continue
		}
		if e := l.signedBy(issuer); e != nil {
			err = e
			continue
		}
		out = append(out, l)
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, err
}

// newest are the complete lists, one of each scope: that with the highest
// number, whether it is fresh or not. So an older list cannot take the place of
// one that revokes.
func newest(authentic []*List) (out []*List) {
next:
	for _, l := range authentic {
		if l.base != nil {
			continue
		}
		for i, o := range out {
			if bytes.Equal(o.scope.raw, l.scope.raw) {
				if l.x.Number.Cmp(o.x.Number) > 0 {
					out[i] = l
				}
				continue next
			}
		}
		out = append(out, l)
	}
	return out
}

// pair is a complete list with the newest delta that builds on it, if any.
type pair struct{ list, delta *List }

// with finds the delta: of the same issuer, key and scope, its base no newer and
// itself no older than the list (RFC 5280 section 5.2.4).
func (l *List) with(authentic []*List) pair {
	p := pair{list: l}
	var best *big.Int
	for _, d := range authentic {
		if d.base == nil || !bytes.Equal(d.scope.raw, l.scope.raw) || d.base.Cmp(l.x.Number) > 0 || d.x.Number.Cmp(l.x.Number) < 0 {
			continue
		}
		if best == nil || d.x.Number.Cmp(best) > 0 {
			p.delta, best = d, d.x.Number
		}
	}
	return p
}

// find looks a certificate up. A fresh delta makes an old list whole again; of
// one that is old itself only what it revokes counts.
func (p pair) find(serial string, now time.Time) (reason int, revoked, fresh bool) {
	reason, revoked = p.list.reasons[serial]
	fresh = p.list.fresh(now)
	if p.delta == nil {
		return reason, revoked, fresh
	}
	renewed := p.delta.fresh(now)
	if r, ok := p.delta.reasons[serial]; ok {
		switch {
		case r != removeFromCRL:
			reason, revoked = r, true
		case renewed:
			revoked = false
		}
	}
	return reason, revoked, fresh || renewed
}
