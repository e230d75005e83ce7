// Package recovery implements what brings a household back when its home
// server is lost (IEC TS 62579, a domain whose manager is replaced): the printed
// code of 24 words, the keys that follow from it, the RESTORE statement that
// members check, and the file of a backup.
//
// Source: local, docs/spec/backup.md. It stores nothing, decides no license and
// does not know what is inside a backup's parts: security/trem/internal/core
// writes and reads them. The word list is that of BIP-39 (words.txt; see words.go
// for its source), of which no other part is used.
//
// The promise: without the code no part of a backup opens and no RESTORE holds;
// a backup that was changed in any byte is refused with the reason.
package recovery
