// Package pki implements the certificate part of the security model of IEC TS
// 62224: certification authorities by class, the X.509 profile of
// docs/spec/certificates.md, and the one function that turns a chain of
// certificates into a checked party, Verifier.Verify.
//
// # What crypto/x509 does and what this package does
//
// crypto/x509 parses DER, builds the path to a root, checks signatures,
// validity at the given time, name chaining, basic constraints, path lengths
// and the certificate policy tree. This package adds what it does not do or
// does not name: P-256 with SHA-256 and nothing else, RSA aside as a key of
// kind 3; no unknown critical extension; the private role EKU, exactly one in a
// leaf and nested in every CA above; one security level and one anchor as policies, each granted by
// every CA above (the policy tree alone is content when one of the two is);
// the serial number's key kind, class and index, equal to the private
// extension; the class range of each CA; who may sign directly under the root;
// the longest validity of each role; revocation, through Status. Each
// rejection is a *RuleError that names the certificate and the rule.
//
// It does not read a clock, fetch anything or keep revocation state: now is an
// argument, and a zero now is refused, because crypto/x509 would read the
// clock instead. It makes certificates (Issue) but holds no CA state: that is
// security/pki/authority.
//
// A Cache saves the signatures of a chain that held before; time and revocation
// are judged every time.
//
// The promise: a *Peer comes from Verify only, so whoever holds one holds a
// party whose chain, role, class and revocation status were checked.
package pki
