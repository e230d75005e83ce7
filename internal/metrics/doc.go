// Package metrics implements the figures of a running issuer in the exposition
// format of Prometheus. Source: local, docs/spec/issuer-api.md section 8.
//
// It counts requests by the pattern of their path, never by the path, and what
// happens by the constant messages of the log, never by what else the log says.
// It opens no listener. The promise: no label or value names a household, a
// title, a license, a device, a key or an address.
package metrics
