// Package cenc implements the ciphers of Common Encryption, ISO/IEC 23001-7
// (facts as cited in the sources of Eyevinn/mp4ff and shaka-packager): the
// four protection schemes cenc, cens, cbc1 and cbcs over one sample with its
// subsample map, content keys, initialization vectors and pssh boxes.
//
// On AMD64 it uses the processor's AES instructions itself, for decryption in CBC
// mode and for counters; elsewhere, and for all else, the standard library.
//
// It knows no file: boxes are read by package content, files are made by
// content/packager. It checks no license.
//
// The promise: a sample comes out either whole and right or untouched with an
// error, the counter of a CTR scheme wraps in its own 64 bits, and no key is
// ever printed, compared in variable time or marshalled by accident.
package cenc
