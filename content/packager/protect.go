package packager

import (
	"bytes"
	"fmt"

	"github.com/Eyevinn/mp4ff/av1"
	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
)

// clearEntry is the sample description of a clear lead, behind the protected
// one. Source: what shaka-packager writes.
const clearEntry = 2

// minClear is what stays clear of a VP9 frame, in bytes: its uncompressed header,
// which has at most 65, as that of AVC and HEVC. Source: local, docs/spec/content.md.
const minClear = 96

// ranges says which bytes of a sample are protected; none: all of them. It is
// called for every sample in decode order: what AV1 protects depends on the
// frames before.
type ranges func(sample []byte) ([]mp4.SubSamplePattern, error)

// rangesOf returns the rule of a track's codec under a scheme.
func rangesOf(entry mp4.Box, scheme string) (ranges, error) {
	e, ok := entry.(*mp4.VisualSampleEntryBox)
	if !ok {
		return func([]byte) ([]mp4.SubSamplePattern, error) { return nil, nil }, nil
	}
	switch {
	case e.AvcC != nil:
		sps, pps := map[uint32]*avc.SPS{}, map[uint32]*avc.PPS{}
		for _, n := range e.AvcC.SPSnalus {
			s, err := avc.ParseSPSNALUnit(n, false)
			if err != nil {
				return nil, err
			}
			sps[s.ParameterID] = s
		}
		for _, n := range e.AvcC.PPSnalus {
			p, err := avc.ParsePPSNALUnit(n, sps)
			if err != nil {
				return nil, err
			}
			pps[p.PicParameterSetID] = p
		}
		return func(b []byte) ([]mp4.SubSamplePattern, error) { return mp4.GetAVCProtectRanges(sps, pps, b, scheme) }, nil
	case e.HvcC != nil:
		return hevcRanges(e.HvcC, scheme)
	case e.Av1C != nil:
		head, err := e.Av1C.SequenceHeader()
		if err != nil {
			return nil, err
		}
		dec, err := av1.NewFrameHeaderDecoder(head)
		if err != nil {
			return nil, err
		}
		return func(b []byte) ([]mp4.SubSamplePattern, error) { return mp4.GetAV1ProtectRanges(dec, b, scheme) }, nil
	}
	return func(b []byte) ([]mp4.SubSamplePattern, error) { return vp9Ranges(b, scheme) }, nil
}

func hevcRanges(c *mp4.HvcCBox, scheme string) (ranges, error) {
	sps, pps := map[uint32]*hevc.SPS{}, map[uint32]*hevc.PPS{}
	for _, n := range c.GetNalusForType(hevc.NALU_SPS) {
		s, err := hevc.ParseSPSNALUnit(n)
		if err != nil {
			return nil, err
		}
		sps[uint32(s.SpsID)] = s
	}
	for _, n := range c.GetNalusForType(hevc.NALU_PPS) {
		p, err := hevc.ParsePPSNALUnit(n, sps)
		if err != nil {
			return nil, err
		}
		pps[p.PicParameterSetID] = p
	}
	return func(b []byte) ([]mp4.SubSamplePattern, error) { return mp4.GetHEVCProtectRanges(sps, pps, b, scheme) }, nil
}

// vp9Ranges protects each frame of a VP9 sample behind its first bytes. A
// sample with several frames, a superframe, ends with an index of their sizes,
// which stays clear. Source: VP9 Bitstream Specification, Annex B.
func vp9Ranges(b []byte, scheme string) ([]mp4.SubSamplePattern, error) {
	sizes := vp9Frames(b)
	var out []mp4.SubSamplePattern
	pos, last := 0, 0
	for _, n := range sizes {
		protected := n - minClear
		if scheme == "cenc" {
			protected &^= cenc.BlockSize - 1
		}
		pos += n
		if protected >= cenc.BlockSize {
			out = mp4.AppendProtectRange(out, uint32(pos-protected-last), uint32(protected)) //nolint:gosec // parts of a sample
			last = pos
		}
	}
	if last < len(b) || len(out) == 0 {
		out = mp4.AppendProtectRange(out, uint32(len(b)-last), 0) //nolint:gosec // parts of a sample
	}
	return out, nil
}

// vp9Frames gives the sizes of the frames in a sample: what its index says if
// it has one that is right, else the sample's own.
func vp9Frames(b []byte) []int {
	if len(b) == 0 {
		return nil
	}
	marker := b[len(b)-1]
	count, width := int(marker&7)+1, int(marker>>3&3)+1
	index := 2 + count*width
	if marker>>5 != 0b110 || index > len(b) || b[len(b)-index] != marker {
		return []int{len(b)}
	}
	var sizes []int
	sum := 0
	for i := range count {
		n := 0
		for k := range width {
			n |= int(b[len(b)-index+1+i*width+k]) << (8 * k)
		}
		sizes = append(sizes, n)
		sum += n
	}
	if sum > len(b)-index {
		return []int{len(b)}
	}
	return sizes
}

// protection is how a track is protected, whatever the key.
type protection struct {
	scheme      cenc.Scheme
	crypt, skip uint8
	iv          []byte // cbcs: constant, 16 bytes
	ranges      ranges
}

// protect turns the init segment's sample description into a protected one. With
// a clear lead its clear twin stands behind it.
func (p *packer) protect(o *output, stsd *mp4.StsdBox) error {
	entry := stsd.Children[0]
	twin, err := copyBox(entry)
	if err != nil {
		return err
	}
	if o.protection.ranges, err = rangesOf(entry, p.cfg.Scheme.String()); err != nil {
		return err
	}
	pr := &o.protection
	pr.scheme = p.cfg.Scheme
	kid := p.keys[o.tier].periods[0].kid
	tenc := &mp4.TencBox{DefaultIsProtected: 1, DefaultKID: uuid(kid)}
	if pr.scheme == cenc.SchemeCBCS {
		if pr.iv, err = p.derive(cenc.BlockSize, "cbcs/"+o.name); err != nil {
			return err
		}
		if o.kind == "video" {
			pr.crypt, pr.skip = 1, 9
		}
		tenc.Version, tenc.DefaultCryptByteBlock, tenc.DefaultSkipByteBlock, tenc.DefaultConstantIV = 1, pr.crypt, pr.skip, pr.iv
	} else {
		tenc.DefaultPerSampleIVSize = 8
	}
	schi := &mp4.SchiBox{}
	schi.AddChild(tenc)
	sinf := &mp4.SinfBox{}
	sinf.AddChild(&mp4.FrmaBox{DataFormat: entry.Type()})
	sinf.AddChild(&mp4.SchmBox{SchemeType: pr.scheme.String(), SchemeVersion: 0x10000})
	sinf.AddChild(schi)
	switch e := entry.(type) {
	case *mp4.VisualSampleEntryBox:
		e.SetType("encv")
		e.AddChild(sinf)
	case *mp4.AudioSampleEntryBox:
		e.SetType("enca")
		e.AddChild(sinf)
	}
	if p.cfg.ClearLeadMS > 0 {
		stsd.AddChild(twin)
	}
	return nil
}

// copyBox copies a box by way of its bytes.
func copyBox(b mp4.Box) (mp4.Box, error) {
	var raw bytes.Buffer
	if err := b.Encode(&raw); err != nil {
		return nil, err
	}
	return mp4.DecodeBox(0, &raw)
}

// encrypt protects the samples of a fragment in place and adds the boxes that
// say how: senc with saiz and saio, and for a later key of the tier its seig group.
func (f *fragment) encrypt(frag *mp4.Fragment, data [][]byte) error {
	traf, pr := frag.Moof.Traf, &f.o.protection
	senc, saiz, saio := mp4.NewSencBox(len(data), len(data)), mp4.NewSaizBox(len(data)), mp4.NewSaioBox()
	for _, b := range data {
		subs, err := pr.ranges(b)
		if err != nil {
			return fmt.Errorf("%w: codec %s: %w", ErrInput, f.o.codec, err)
		}
		if f.key == nil { // the clear lead: only the codec's state goes on
			continue
		}
		s := cenc.Sample{Scheme: pr.scheme, Crypt: pr.crypt, Skip: pr.skip, Data: b}
		iv := pr.iv
		var stored []byte
		if pr.scheme == cenc.SchemeCENC {
			stored = f.key.next()
			iv = stored
		}
		copy(s.IV[:], iv)
		for _, sub := range subs {
			s.Subsamples = append(s.Subsamples, cenc.Subsample{Clear: uint32(sub.BytesOfClearData), Protected: sub.BytesOfProtectedData})
		}
		if err := f.cipher.Encrypt(&s); err != nil {
			return fmt.Errorf("%w: codec %s: %w", ErrInput, f.o.codec, err)
		}
		if err := senc.AddSample(mp4.SencSample{IV: stored, SubSamples: subs}); err != nil {
			return err
		}
		if err := saiz.AddSampleInfo(stored, subs); err != nil {
			return fmt.Errorf("%w: codec %s: a sample of too many parts: %w", ErrInput, f.o.codec, err)
		}
	}
	if f.key == nil {
		traf.Tfhd.Flags |= mp4.TfhdSampleDescriptionIndexPresentFlag
		traf.Tfhd.SampleDescriptionIndex = clearEntry
		return nil
	}
	return f.boxes(traf, senc, saiz, saio, len(data))
}

func (f *fragment) boxes(traf *mp4.TrafBox, senc *mp4.SencBox, saiz *mp4.SaizBox, saio *mp4.SaioBox, n int) error {
	var add []mp4.Box
	if f.key.later {
		pr := &f.o.protection
		seig := &mp4.SeigSampleGroupEntry{CryptByteBlock: pr.crypt, SkipByteBlock: pr.skip, IsProtected: 1, KID: uuid(f.key.kid), ConstantIV: pr.iv}
		if pr.scheme == cenc.SchemeCENC {
			seig.PerSampleIVSize = 8
		}
		add = append(add,
			&mp4.SgpdBox{Version: 1, GroupingType: "seig", DefaultLength: uint32(seig.Size()), SampleGroupEntries: []mp4.SampleGroupEntry{seig}}, //nolint:gosec // 20 to 37
			&mp4.SbgpBox{GroupingType: "seig", SampleCounts: []uint32{uint32(n)}, GroupDescriptionIndices: []uint32{0x10001}},                    //nolint:gosec // samples of a fragment
		)
	}
	if len(senc.IVs) > 0 || len(senc.SubSamples) > 0 {
		add = append(add, saiz, saio, senc)
	}
	for _, b := range add {
		if err := traf.AddChild(b); err != nil {
			return err
		}
	}
	// From the moof box to the first entry of senc: two headers, mfhd, what is before
	// senc in traf, and senc's own head of 16 bytes.
	off := uint64(8 + 16 + 8 + 16)
	for _, b := range traf.Children {
		if b == mp4.Box(senc) {
			break
		}
		off += b.Size()
	}
	saio.SetOffset(int64(off))
	return nil
}

// check holds a fragment against its source: it is decrypted in place with our own
// engine and compared.
func (f *fragment) check(raw []byte) (*content.Fragment, error) {
	c, err := f.in.Fragment(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheck, err)
	}
	if err := c.Decrypt(f.only); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheck, err)
	}
	if got := raw[len(raw)-len(f.plain):]; !bytes.Equal(got, f.plain) || f.key == nil && !f.same || f.key != nil && c.Bytes() > 64 && f.same {
		return nil, ErrCheck
	}
	return c, nil
}
