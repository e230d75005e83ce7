// Package example implements the adapter for VendorX Rights, a fictional
// proprietary format, as a worked case: docs/guide/adapter.md builds it step by
// step, and its code is the code of this package.
//
// A VendorX document is text: a first line "VendorX-Rights: 1" and then a field
// a line. Title says what it is about, Until when it ends, Plays how often it may
// be played, Quality how good the picture may be (sd, hd or uhd), Guests whether
// guests may watch. A field whose name begins with '!' must be understood.
//
// It is no part of any product, so `lares adapt list` does not show it. The
// promise: it passes the conformance suite that every adapter passes.
package example
