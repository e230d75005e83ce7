package content

import (
	"fmt"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// The boxes of the Protected Interoperable File Format 1.1, from which Common
// Encryption came: user types of uuid boxes. Source: FFmpeg (movenc, mov) and
// Bento4, which read and write them.
const (
	piffTrack  = "\x89\x74\xdb\xce\x7b\xe7\x4c\x51\x84\xf9\x71\x48\xf9\x88\x25\x54" // tenc
	piffSample = "\xa2\x39\x4f\x52\x5a\x9b\x4f\x14\xa2\x44\x6c\x42\x7c\x64\x8d\xf4" // senc
	piffPSSH   = "\xd0\x8a\x4f\x18\x10\xf3\x4a\x82\xb6\xc8\x32\xd8\xab\xa1\x83\xd3" // pssh
)

// schemePIFF is the scheme type of a schm box that says no cipher: the track's
// box does.
const schemePIFF cenc.Scheme = 'p'<<24 | 'i'<<16 | 'f'<<8 | 'f'

// piffProtection reads an algorithm (24 bits: 0 none, 1 AES-CTR, 2 AES-CBC), the
// length of the vectors and a key ID: of a track, or of the samples of a fragment.
func piffProtection(r *wire.Reader) (*protection, error) {
	algorithm := r.U32()
	p := &protection{IVSize: uint8(algorithm)} //nolint:gosec // its last byte
	var kid ident.Key
	copy(kid[:], r.Bytes(16))
	p.KID = kid
	switch algorithm >> 8 {
	case 0:
		return &protection{}, r.Err()
	case 1:
		p.Scheme = cenc.SchemeCENC
	case 2:
		p.Scheme = cenc.SchemeCBC1
	default:
		return nil, fmt.Errorf("%w: algorithm %d of PIFF", ErrUnsupported, algorithm>>8)
	}
	if r.Err() != nil || p.IVSize != 16 && (p.IVSize != 8 || p.Scheme != cenc.SchemeCENC) {
		return nil, fmt.Errorf("%w: protection of key %v", ErrMalformed, kid)
	}
	return p, nil
}

// piffHeader reads the pssh box of PIFF behind its user type. One that cannot be
// read is left out, as those of unknown versions are.
func piffHeader(b []byte) []cenc.PSSH {
	r := wire.NewReader(b)
	r.U32()
	var p cenc.PSSH
	copy(p.System[:], r.Bytes(16))
	p.Data = append([]byte(nil), r.Bytes(int(r.U32()))...)
	if r.End() != nil || len(b) > cenc.MaxPSSH {
		return nil
	}
	return []cenc.PSSH{p}
}
