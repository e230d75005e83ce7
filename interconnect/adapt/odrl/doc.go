// Package odrl implements the adapter for policies of the W3C Open Digital
// Rights Language: ODRL Information Model 2.2 and Vocabulary & Expression 2.2,
// in the JSON-LD serialization. Where ODRL leaves a meaning open, the reading is
// that of docs/spec/odrl.md, which is always the narrower one.
//
// Export states a license as an Agreement; Import reads a policy as a proposal.
// It is no JSON-LD processor: it reads documents that use the ODRL context as
// it stands, and fetches nothing. Duties, logical constraints and asset or party
// collections are not understood: what hangs on them is left out and named.
//
// The promise: a policy that Import accepts permits at least what the proposal
// does, and what Export writes permits at most what the license does.
package odrl
