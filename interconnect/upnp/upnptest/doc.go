// Package upnptest implements a media renderer for tests: it describes itself, answers
// questions of SSDP, takes AVTransport:1 and really fetches what it is told to show.
//
// It is for tests only. The promise: it shows what a test has it show, and nothing after
// the test.
package upnptest
