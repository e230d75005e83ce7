// Package profile implements the device profiles of evaluator E18 as data: the
// defaults that a device of a kind brings where a license says nothing.
//
// IEC TS 62224 calls its model extensible to mobile devices, automotive
// telematics and cloud media services; these are the settings by which one
// evaluator serves them. The values are local.
//
// It decides nothing and overrides no license: a clock grace that a license
// names wins, and loans and live content have none whatever a profile says. It
// knows no license.Env: who makes one (the trusted module, a story) copies Grace,
// Level, Anchor and Alone into it, and asks Output for the class of a connector.
//
// The promise: profiles are values, equal ones behave equally, and every value
// is in docs/spec/profile.md.
package profile
