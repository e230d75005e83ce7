// Package content implements protected content as Lares stores and serves it:
// fragmented MP4 with Common Encryption (ISO/IEC 14496-12 and 23001-7, as
// cited in the sources of Eyevinn/mp4ff), the content.json beside it, and the
// sealed blob in which a packer hands content keys to an issuer's TREM.
//
// For a TREM, an init segment is parsed once; each fragment is then decrypted or
// re-encrypted in place. For tools and servers, a View is the clear form of a whole
// file, fragmented or progressive, read at any place in a few MB of memory, and
// View.Protect makes a protected file of a clear one. No box is ever removed: those
// that describe the protection are renamed to free, so sizes, indexes and byte
// ranges stay valid.
//
// It makes no films (content/packager does), fetches nothing and checks no license.
//
// The promise: no input makes it panic or allocate more than a small multiple
// of its length, and a fragment is worked on whole and right or not at all:
// everything is checked and every key is at hand before the first byte changes.
package content
