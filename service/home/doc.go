// Package home implements the household's server (IEC TS 62224, license
// service model): the library, the licenses held for it, the devices of the
// house, playback in a browser, and what the house learns from the authority.
// Source: local, docs/spec/pairing.md and docs/spec/home-api.md.
//
// It is the host of an intermediate trusted module and no more than that: it
// asks the module, carries SLTP messages it cannot read, and keeps files. It
// holds no license, no content key and decides no use. What has to outlive a
// crash and is not in the module is kept in small JSON files that are replaced
// whole: library, devices, pairings, requests.
//
// It serves no HTTP (internal/httpd does), speaks no words to people, and
// starts no process. The promise: an answer of this package that says done is
// on disk; a request once sent to a shop keeps its ID until it is answered;
// and titles that are played are never logged.
package home
