// Package http implements the HTTP binding of the license relay protocol
// (interconnect/lrp, docs/spec/lrp.md section 6): POST of one frame, answered
// with a CBOR sequence of frames, and the courier that carries one SLTP
// exchange of a module to its end.
//
// It does not listen, does TLS only as far as the caller's http.Client and
// server do, pushes nothing (a module asks, a module answers) and reads no SLTP
// message. A lost request is repeated with the same bytes; the promise is that
// a repeat is never a second request, neither here nor inside the module.
package http
