package trembench

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// SegmentTime is the length of a segment of a reel.
const SegmentTime = 4 * time.Second

// perSegment is how many pictures a segment has, clearHead how many bytes of
// each are in the clear, as a NAL unit's header is. Source: local.
const (
	perSegment = 100
	clearHead  = 96
)

// Reel makes a protected film, segment by segment: one track of pictures in
// cenc, whose samples are noise.
type Reel struct {
	key    cenc.ContentKey
	kid    ident.Key
	cipher *cenc.Cipher
}

func u16(n int) []byte  { return binary.BigEndian.AppendUint16(nil, uint16(n)) } //nolint:gosec // sizes of this file
func u32(n int) []byte  { return binary.BigEndian.AppendUint32(nil, uint32(n)) } //nolint:gosec // sizes of this file
func u64(n int) []byte  { return binary.BigEndian.AppendUint64(nil, uint64(n)) } //nolint:gosec // sizes of this file
func zero(n int) []byte { return make([]byte, n) }

// box is a box of ISO/IEC 14496-12; full is one with version and flags.
func box(typ string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return bytes.Join([][]byte{u32(8 + len(body)), []byte(typ), body}, nil)
}

func full(typ string, version, flags int, parts ...[]byte) []byte {
	return box(typ, append([][]byte{u32(version<<24 | flags)}, parts...)...)
}

// Init is the initialization segment; its timescale is 1000.
func (r *Reel) Init() []byte {
	tenc := full("tenc", 0, 0, []byte{0, 0, 1, 8}, r.kid[:])
	sinf := box("sinf", box("frma", []byte("avc1")), full("schm", 0, 0, []byte("cenc"), u32(0x10000)), box("schi", tenc))
	entry := box("encv", zero(78), box("avcC", []byte{1, 0x64, 0, 0x1f}), sinf)
	tkhd := full("tkhd", 0, 7, zero(8), u32(1), zero(4+4+8+8+36), u32(1920<<16), u32(1080<<16))
	mdhd := full("mdhd", 0, 0, zero(8), u32(1000), zero(8))
	hdlr := full("hdlr", 0, 0, zero(4), []byte("vide"), zero(13))
	stbl := box("stbl", full("stsd", 0, 0, u32(1), entry))
	trex := full("trex", 0, 0, u32(1), u32(1), u32(int(SegmentTime.Milliseconds())/perSegment), zero(8))
	return append(box("ftyp", []byte("cmfc\x00\x00\x00\x00iso6")), box("moov",
		full("mvhd", 0, 0, zero(96)), box("trak", tkhd, box("mdia", mdhd, hdlr, box("minf", stbl))), box("mvex", trex))...)
}

// Segment is one segment of so many bytes of pictures, rounded down, protected.
func (r *Reel) Segment(number, size int) ([]byte, error) {
	one := size / perSegment
	data := zero(one * perSegment)
	for i := range data {
		data[i] = byte(i*7 + i>>8 + number) //nolint:gosec // noise
	}
	var sizes, infos [][]byte
	for i := range perSegment {
		iv := u64(number*perSegment + i + 1)
		sub := []cenc.Subsample{{Clear: clearHead, Protected: uint32(one - clearHead)}} //nolint:gosec // a picture's size
		s := cenc.Sample{Scheme: cenc.SchemeCENC, IV: cenc.IV(append(iv, zero(8)...)), Subsamples: sub, Data: data[i*one : (i+1)*one]}
		if err := r.cipher.Encrypt(&s); err != nil {
			return nil, err
		}
		sizes = append(sizes, u32(one))
		infos = append(infos, iv, u16(1), u16(clearHead), u32(one-clearHead))
	}
	at := number * int(SegmentTime.Milliseconds())
	boxes := func(offset int) []byte {
		return box("moof", full("mfhd", 0, 0, u32(number+1)), box("traf",
			full("tfhd", 0, 0x20000, u32(1)), full("tfdt", 1, 0, u64(at)),
			full("trun", 0, 0x201, u32(perSegment), u32(offset), bytes.Join(sizes, nil)),
			full("senc", 0, 2, u32(perSegment), bytes.Join(infos, nil))))
	}
	moof := boxes(0)
	return append(boxes(len(moof)+8), box("mdat", data)...), nil
}

// KID is the key ID of the track.
func (r *Reel) KID() ident.Key { return r.kid }

// ClearInit is the initialization segment as clear content has it.
func (r *Reel) ClearInit() ([]byte, error) {
	in, err := content.ParseInit(r.Init())
	if err != nil {
		return nil, err
	}
	return in.Clear(r.Init())
}

// Clear is a segment decrypted, ClearBy one that is protected by another key.
func (r *Reel) Clear(seg []byte) ([]byte, error) { return r.ClearBy(r.key, seg) }

// ClearBy decrypts a copy of a segment.
func (r *Reel) ClearBy(key cenc.ContentKey, seg []byte) ([]byte, error) {
	in, err := content.ParseInit(r.Init())
	if err != nil {
		return nil, err
	}
	seg = bytes.Clone(seg)
	f, err := in.Fragment(seg)
	if err != nil {
		return nil, err
	}
	return seg, f.Decrypt(func(ident.Key) (cenc.ContentKey, error) { return key, nil })
}
