// Package hls implements the adapter for HTTP Live Streaming players without
// Encrypted Media Extensions: RFC 8216, the methods AES-128 and SAMPLE-AES with
// the identity key format. Choices: docs/spec/hls.md.
//
// A player gets what a browser gets: the stream of one session of the trusted
// module, encrypted anew for that session. With SAMPLE-AES the segments are
// those of the session as they are, with AES-128 the handler takes the session's
// encryption off and encrypts each segment whole, because that is all such
// players know. The key that a player is given opens this session's stream only.
//
// It makes no title key, keeps no session (the house does) and writes no
// playlist of packaged content (content/packager does). The promise: who has no
// session gets no key, and nothing is served behind a session's end.
package hls
