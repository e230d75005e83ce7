package crl

import "fmt"

// Rule names what a certificate or a list broke. Source: docs/spec/crl.md, table of rules.
type Rule string

// The rules.
const (
	RulePath      Rule = "path"                       // not a path of certificates, or no time
	RuleNames     Rule = "name constraints"           // of mail addresses or URIs, which crypto/x509 judges wrongly
	RuleEncoding  Rule = "encoding"                   // not a list of version 2 with a number
	RuleCritical  Rule = "unknown critical extension" // RFC 5280 section 5.2
	RuleAbsent    Rule = "no list"                    // none of the certificate's issuer
	RulePoint     Rule = "distribution point"         // of the certificate: malformed, or indirect
	RuleScope     Rule = "scope"                      // the list is not about such certificates
	RuleIndirect  Rule = "indirect list"              // not supported
	RuleUsage     Rule = "key usage"                  // the issuer may not sign lists
	RuleKey       Rule = "key match"                  // another key of the issuer
	RuleAlgorithm Rule = "algorithm"                  // SHA-1 and older
	RuleSignature Rule = "signature"                  // does not hold
	RuleFresh     Rule = "freshness"                  // not yet, no longer, or without an end
	RuleReasons   Rule = "reasons"                    // the lists leave some out
	RuleRevoked   Rule = "revoked"                    // the certificate is on a list
)

// Error is a refusal: which certificate broke which rule, or which list.
type Error struct {
	Rule Rule
	Cert string // "certificate 1 (serial 4d2)": position from the leaf; "" when it is a list alone
	Err  error  // more, or nil
}

func (e *Error) Error() string {
	s := "crl: "
	if e.Cert != "" {
		s += e.Cert + ": "
	}
	s += "rule \"" + string(e.Rule) + "\" broken"
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

func broken(rule Rule, format string, args ...any) *Error {
	e := &Error{Rule: rule}
	if format != "" {
		e.Err = fmt.Errorf(format, args...)
	}
	return e
}
