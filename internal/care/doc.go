// Package care implements the check-up of an installation: what `lares doctor`
// says of a state folder, and what `lares support-bundle` may tell a stranger
// of it. Source: local (docs/guide/doctor.md).
//
// Facts are collected by the caller and by this package's looks at files and
// disk; Judge is a function of them alone. It repairs nothing, opens no vault
// and asks no network.
//
// The promise: every check of a kind of folder has a row, a row that is not ok
// says what to do, and a report holds numbers and words of fixed lists only: no
// title, name, address, identifier, path or secret.
package care
