// Package conform implements the judging of a server by its answers: an issuer, a home
// server or an authority, ours or another maker's. It sends what docs/spec says, right and
// wrong, and reports clause by clause what holds, what does not with what was
// expected and seen, and what does not apply and why.
//
// It needs no secret of the server. What only an operator can see or do, such as to
// grant something, it judges when it is given an operator's key, and else lists as not
// run. It does not measure speed, and judges no module behind the server: lares trem
// conform does.
//
// The promise: a server that fails a check breaks the named clause.
package conform
