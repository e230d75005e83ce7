// Package clearkey implements the adapter to W3C Clear Key, the key system
// that every browser has (Encrypted Media Extensions, "Clear Key"): license
// requests in, session keys out, and what a license loses on the way.
//
// A browser gets the keys of one link-encrypted session. The content's own keys
// never leave the trusted module; it re-encrypts each fragment for the session
// and stops when the license does. Clear Key itself enforces nothing: after
// the session key everything in the browser is unprotected, and the adapter's
// losses say so. docs/spec/clearkey.md has the formats with a worked example.
//
// It serves no HTTP, opens no session and asks no module. The promise: no
// input makes it panic, an answer holds only keys that were asked for and
// belong to the session, and there is no answer without a key.
package clearkey
