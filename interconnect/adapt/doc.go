// Package adapt implements the DRM adaptation layer of the interconnection
// model of IEC TS 62224: what every translation between Lares and another
// system promises. Source of the contract: local, docs/spec/adapt.md.
//
// An Adapter turns foreign rights into a proposal of a permission code, and a
// license into something the other system understands. It lists every right
// that gets narrower or is lost on the way. It never holds a key: what a player
// of the other system needs to decrypt is made inside the trusted module, under
// the license's data export condition, for one session. Relay is the whole way
// of a license to another system: narrowed, debited at its source, then written.
//
// It knows no system itself (packages below it do) and carries nothing
// (interconnect/lrp does). The promise: a license without the export condition
// for a system is never exported to it, nothing is ever widened, and what is
// counted is debited before an artifact leaves. Package adapttest checks this
// for every adapter.
package adapt
