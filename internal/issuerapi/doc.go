// Package issuerapi implements the HTTP side of a license issuer: the JSON API
// of its operators and of what households ask, described by an OpenAPI 3.1
// document, and the doors beside it. Source: local, docs/spec/issuer-api.md.
//
// It translates between HTTP, service/issuer and internal/operator and decides
// nothing. Errors are problem documents (RFC 9457) with stable codes. It opens no
// listener and serves no page of its own. The promise: what docs/api/issuer.json
// says is what is served, nobody changes anything without a right to it, and
// no answer tells what went wrong inside.
package issuerapi
