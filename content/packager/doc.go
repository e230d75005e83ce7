// Package packager implements `lares pack`: MP4 files in, a folder of protected
// CMAF fragments with a DASH manifest and content.json out (ISO/IEC 23000-19,
// 23001-7 and 23009-1, as implemented in Eyevinn/mp4ff).
//
// It is the only package that imports mp4ff, behind a recover. It
// encodes no pictures and packs what it is given: H.264, HEVC, AV1 and AAC;
// another codec is refused by name. Content keys are made here and leave in memory
// only; content.SealKeys seals them to the issuer's TREM.
//
// The promise: every fragment written was decrypted again with this project's
// own engine and compared with its source; no initialization vector is used
// twice under one key, except the constant one of a cbcs track; the folder
// appears whole or not at all.
package packager
