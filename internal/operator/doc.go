// Package operator implements who may do what at an issuer: the owner's token,
// API keys, people who sign in, their roles, the rule that two of them revoke,
// and the log of what they did. Source: local, docs/spec/operators.md.
//
// It decides and remembers; it serves no HTTP (internal/issuerapi and
// internal/httpd do) and does none of the things that it allows. It keeps hashes
// of secrets, no secret. The promise: nobody acts at an issuer without a right to
// it that stands now, and what was done stands in the log.
package operator
