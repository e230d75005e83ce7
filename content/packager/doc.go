// Package packager implements `lares pack`: MP4 files in, a folder of protected
// CMAF fragments with a DASH manifest, HLS playlists and content.json out (ISO/IEC
// 23000-19, 23001-7 and 23009-1, as implemented in Eyevinn/mp4ff; RFC 8216).
//
// It is the only package that imports mp4ff, behind a recover. It
// encodes no pictures and packs what it is given: H.264, HEVC, AV1, VP9, AAC, Opus,
// FLAC, AC-3 and E-AC-3; another codec is refused by name, and an AV1 stream whose
// tiles mp4ff does not find. Content keys are made here and leave in memory only;
// content.SealKeys seals them to the issuer's TREM. The one exception is the file
// that Config.Resume names: who has it has the keys.
//
// The promise: every fragment written was decrypted again with this project's
// own engine and compared with its source; no initialization vector is used
// twice under one key, except the constant one of a cbcs track; the folder
// appears whole or not at all.
package packager
