package packager

import (
	"crypto/sha256"
	"fmt"
)

// StreamHashes returns, for each track of an MP4 file, progressive or
// fragmented, SHA-256 of its samples one after another, keyed by "video" or
// "audio" (a later track of a kind has its number behind it). Two files with
// the same hash hold the same stream, however it is packed. The boxes are read
// by mp4ff, not by the engine that decrypts.
func StreamHashes(path string) (hashes map[string][32]byte, err error) {
	defer func() {
		if r := recover(); r != nil { // mp4ff panics on some damaged files
			err = fmt.Errorf("%w: %v", ErrInput, r)
		}
	}()
	src, err := open(path)
	if err != nil {
		return nil, err
	}
	defer src.f.Close() //nolint:errcheck // read only
	hashes = map[string][32]byte{}
	var buf []byte
	for i, t := range src.tracks {
		h := sha256.New()
		for k := range t.samples {
			if _, buf, err = t.read(buf, k, k+1); err != nil {
				return nil, err
			}
			h.Write(buf)
		}
		name := t.kind
		if _, twice := hashes[name]; twice {
			name = fmt.Sprintf("%s%d", t.kind, i)
		}
		hashes[name] = [32]byte(h.Sum(nil))
	}
	return hashes, nil
}
