// Package film implements the Lares demo film: one minute in two tiers with sound, its
// title card in a third, and a poster, so that the demo and the tests need no tool and no network.
//
// The film is in the public domain; make.sh makes it from nothing but ffmpeg's
// own generators. README.md has the SHA-256 of the files, which a test checks.
//
// It packs and plays nothing. The promise: the files in the binary are those
// that README.md names.
package film

import "embed"

// Files holds SD, HD, UHD and Poster.
//
//go:embed sd.mp4 hd.mp4 uhd.mp4 poster.jpg
var Files embed.FS

// The names in Files.
const (
	SD     = "sd.mp4"     // H.264 640x360, no sound
	HD     = "hd.mp4"     // H.264 1280x720 and AAC
	UHD    = "uhd.mp4"    // H.264 3840x2160, the title card, no sound
	Poster = "poster.jpg" // 640x360
)

// Title of the film, as its title card has it.
const Title = "Lares demo film"
