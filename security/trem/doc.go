// Package trem implements the trusted and reliable execution module (IEC TS
// 62224, security model) as it is seen from outside: the commands that a host
// may give to a lares-trem process, the replies, and the client that sends them.
//
// The host is a courier. Commands carry SLTP messages, sealed bodies, protected
// fragments and questions; no reply carries a title key, a key bundle or a
// secret of the module. The three exceptions are stated where they stand: clear
// fragments of an open session, the session keys of a link-encrypted one, and the
// recovery code of a house, which is shown to its owner once.
//
// It does not decide anything (security/trem/internal/core does), starts no
// process and knows no transport beyond a stream. The layout of the stream is
// docs/spec/trem.md. The promise: a reply that is not a refusal is an effect
// that is already durable.
package trem
