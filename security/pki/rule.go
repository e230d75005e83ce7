package pki

import (
	"errors"
	"fmt"
)

// Rule names what a rejected certificate broke. Source: docs/spec/certificates.md, table of rules.
type Rule string

// The rules.
const (
	RuleTime        Rule = "trusted time"               // no time was given
	RuleChain       Rule = "chain length"               // number or size of certificates
	RuleEncoding    Rule = "encoding"                   // not a certificate
	RuleTrust       Rule = "trust"                      // issued by nobody we know
	RuleSignature   Rule = "signature"                  // does not hold
	RuleAlgorithm   Rule = "algorithm"                  // not P-256 with SHA-256
	RuleCritical    Rule = "unknown critical extension" //
	RuleValidity    Rule = "validity"                   // expired or not yet valid
	RulePeriod      Rule = "validity period"            // longer than the role may have
	RuleCA          Rule = "basic constraints"          // a leaf that signs, a CA as leaf
	RulePathLength  Rule = "path length"                //
	RuleKeyUsage    Rule = "key usage"                  //
	RuleSerial      Rule = "serial number"              // not kind, class, index
	RuleKind        Rule = "key kind"                   // another kind of key than asked for
	RuleMember      Rule = "member extension"           // absent, malformed, not as the role needs
	RuleSLTP        Rule = "SLTP extension"             // malformed, or in a CA
	RuleRole        Rule = "role"                       // EKU absent, not the one asked for
	RuleNesting     Rule = "role nesting"               // EKU not in every CA above
	RulePolicy      Rule = "policy"                     // level or anchor absent, unknown or twice
	RuleLevel       Rule = "level"                      // not granted by a CA above
	RuleAnchor      Rule = "anchor"                     // not granted by a CA above
	RuleRange       Rule = "class range"                // outside the range of the CA above
	RuleSame        Rule = "same device"                // a delivery key of somebody else
	RuleRevoked     Rule = "revoked"                    // this member
	RuleClass       Rule = "class revoked"              // its whole class
	RuleSuspended   Rule = "class suspended"            //
	RuleRetired     Rule = "class retired"              //
	RuleSVN         Rule = "security version"           // below the class's minimum
	RuleIndex       Rule = "index not issued"           // at or above the class's issuedCount
	RuleUnknown     Rule = "class unknown"              // the revocation state has no such class
	RuleUnavailable Rule = "revocation state"           // Status gave another error
)

// RuleError is a rejection: which certificate broke which rule.
type RuleError struct {
	Rule Rule
	Cert string // "certificate 0 (1/4097/5)": position from the leaf, then kind, class and index as far as known; "" when it is the whole chain
	Err  error  // more, or nil
}

func (e *RuleError) Error() string {
	s := "pki: "
	if e.Cert != "" {
		s += e.Cert + ": "
	}
	s += "rule \"" + string(e.Rule) + "\" broken"
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *RuleError) Unwrap() error { return e.Err }

// RuleOf is the rule that err names, or "".
func RuleOf(err error) Rule {
	if r, ok := errors.AsType[*RuleError](err); ok {
		return r.Rule
	}
	return ""
}

// What a Status says of a member. Verify turns each into its rule.
var (
	ErrRevoked      = errors.New("revoked")
	ErrClassRevoked = errors.New("its class is revoked")
	ErrSuspended    = errors.New("its class is suspended")
	ErrRetired      = errors.New("its class is retired")
	ErrSVN          = errors.New("its security version is below the class's minimum")
	ErrNotIssued    = errors.New("its index was never allotted")
	ErrUnknownClass = errors.New("its class is not in the revocation state")
)

// Status is a revocation state. security/revocation implements it.
type Status interface {
	// Check returns nil for a member in good standing, else an error that
	// wraps one of the errors above.
	Check(class Class, index, svn uint32) error
	Epoch() Epoch
}

func statusRule(err error) Rule {
	for _, r := range []struct {
		err  error
		rule Rule
	}{
		{ErrRevoked, RuleRevoked},
		{ErrClassRevoked, RuleClass},
		{ErrSuspended, RuleSuspended},
		{ErrRetired, RuleRetired},
		{ErrSVN, RuleSVN},
		{ErrNotIssued, RuleIndex},
		{ErrUnknownClass, RuleUnknown},
	} {
		if errors.Is(err, r.err) {
			return r.rule
		}
	}
	return RuleUnavailable
}

// broken makes the rejection of certificate c.
func broken(c *cert, rule Rule, format string, args ...any) *RuleError {
	e := &RuleError{Rule: rule, Cert: c.name()}
	if format != "" {
		e.Err = fmt.Errorf(format, args...)
	}
	return e
}
