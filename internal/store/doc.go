// Package store implements the issuer's Store (service/issuer) on SQLite, the
// default on one machine, and on PostgreSQL. Tables and rules:
// docs/spec/issuer-store.md.
//
// One set of plain single-table statements serves both engines. On SQLite one
// goroutine writes: what waits is committed together, with one flush, whoever of
// the callers fails. On PostgreSQL every caller has a
// connection and a transaction that is repeated when the engine asks for it; the
// licenses that several households wait for share one, by statements of its own.
//
// It knows no rule of granting and keeps no license body and no key. The
// promise: what was acknowledged is on disk (synchronous=FULL, checked at the
// start), and after the first error of disk or database nothing is acknowledged
// any more: the store is broken, the process ends, and its restart recovers.
package store
