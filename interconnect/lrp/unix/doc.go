// Package unix implements the Unix socket binding of the license relay protocol
// (interconnect/lrp, docs/spec/lrp.md section 12): couriers of one machine that
// speak over a stream socket in the file system.
//
// A connection is a link. It does no more than carry frames: who may connect is
// said by the permissions of the socket's folder, and who is behind a connection by
// its HELLO. The promise: a peer cannot make this package hold more than one request
// and one answer for each of MaxConns connections.
package unix
