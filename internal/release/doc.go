// Command release builds what people install: for each platform a tarball and a
// Debian package with programs, manual pages, completions, systemd units and
// licenses; a bill of materials for each program; and one list of SHA-256 sums.
// Source: local (docs/guide/packages.md).
//
// It signs nothing and publishes nothing.
//
// The promise: the same commit, or the same files and the same SOURCE_DATE_EPOCH,
// give the same bytes in any folder, with the same version of Go.
package main
