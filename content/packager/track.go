package packager

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"path"
	"strconv"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// output is a track that is packed.
type output struct {
	*track
	name          string
	tier          content.Tier
	codec         string
	width, height int
	rate          int // audio samples a second
	channels      int
}

func newOutput(t *track) (*output, error) {
	o := &output{track: t, tier: content.Audio}
	stsd := t.trak.Mdia.Minf.Stbl.Stsd
	if len(stsd.Children) != 1 {
		return nil, fmt.Errorf("%s: %w: %d sample descriptions in the %s track", t.src.name, ErrInput, len(stsd.Children), t.kind)
	}
	switch e := stsd.Children[0].(type) {
	case *mp4.VisualSampleEntryBox:
		o.width, o.height = int(e.Width), int(e.Height)
		o.tier = content.TierOf(o.width, o.height)
		o.codec = videoCodec(e)
	case *mp4.AudioSampleEntryBox:
		o.rate, o.channels = int(e.SampleRate), int(e.ChannelCount)
		if e.Type() == "mp4a" {
			o.codec = "mp4a"
		}
	}
	if typ := stsd.Children[0].Type(); o.codec == "" {
		if typ == "encv" || typ == "enca" {
			return nil, fmt.Errorf("%s: %w: the %s track is protected already", t.src.name, ErrInput, t.kind)
		}
		return nil, fmt.Errorf("%s: %w: codec %q of the %s track", t.src.name, ErrInput, typ, t.kind)
	}
	return o, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (t *track) ms(ticks uint64) int64 {
	return int64(ticks * 1000 / uint64(t.timescale)) //nolint:gosec // below 2^53 for any film
}

// align finds where fragments begin, by the keyframes of the smallest video.
// Tracks whose keyframes lie elsewhere are cut at their own next keyframe.
func (p *packer) align() {
	for _, o := range p.tracks {
		if o.kind != "video" {
			continue
		}
		last := int64(-1 << 62)
		for _, s := range o.samples {
			if at := o.ms(s.dts); s.sync && at-last >= int64(p.cfg.FragmentMS) {
				p.cuts = append(p.cuts, at)
				last = at
			}
		}
		return
	}
	o := p.tracks[0]
	for at := o.ms(o.samples[0].dts); at <= o.ms(o.samples[len(o.samples)-1].dts); at += int64(p.cfg.FragmentMS) {
		p.cuts = append(p.cuts, at)
	}
}

// fragments gives the index of each fragment's first sample, and the end.
func (p *packer) fragments(o *output) []int {
	out := []int{0}
	next := 1
	for i, s := range o.samples {
		for next < len(p.cuts) && o.ms(s.dts) >= p.cuts[next] && (s.sync || o.kind == "audio") {
			if i > out[len(out)-1] {
				out = append(out, i)
			}
			next++
		}
	}
	return append(out, len(o.samples))
}

// track writes one track: its init segment and its fragments.
func (p *packer) track(ctx context.Context, o *output) (*content.TrackFiles, error) {
	k := p.keys[o.tier]
	init, ipd, err := p.init(o, k)
	if err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	if err := init.Encode(&raw); err != nil {
		return nil, err
	}
	in, err := content.ParseInit(raw.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheck, err)
	}
	key, err := k.key.Reveal()
	if err != nil {
		return nil, err
	}
	defer clear(key[:])
	iv := k.iv
	if p.cfg.Scheme == cenc.SchemeCBCS {
		iv = ipd.Tenc.DefaultConstantIV
	}
	enc, err := ipd.NewFragmentEncryptor(key[:], iv)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	files := &content.TrackFiles{
		Name: o.name, Kind: o.kind, Tier: o.tier, KID: k.kid, Timescale: o.timescale,
		Codecs: o.codec, Width: o.width, Height: o.height, Rate: o.rate,
	}
	if lang := o.trak.Mdia.Mdhd.GetLanguage(); lang != "und" {
		files.Language = lang
	}
	if o.codec == "mp4a" {
		files.Codecs = in.Tracks[0].Entries[0].Codec
	}
	if files.Init, err = p.write(path.Join(o.name, "init.mp4"), raw.Bytes()); err != nil {
		return nil, err
	}
	var rates peak
	bounds := p.fragments(o)
	for n := 1; n < len(bounds); n++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f := fragment{o: o, in: in, enc: enc, key: k, n: n, from: bounds[n-1], to: bounds[n]}
		seg, err := p.fragment(&f, &rates)
		if err != nil {
			return nil, fmt.Errorf("fragment %d: %w", n, err)
		}
		files.Segments = append(files.Segments, *seg)
	}
	if p.cfg.Scheme == cenc.SchemeCENC {
		k.iv = enc.IV() // the next track of this tier goes on from here
	}
	files.BPS, files.Bandwidth = rates.result()
	k.bps = max(k.bps, files.BPS)
	return files, nil
}

// init makes the init segment of an output, protected.
func (p *packer) init(o *output, k *tierKey) (*mp4.InitSegment, *mp4.InitProtectData, error) {
	init := mp4.CreateEmptyInit()
	init.Moov.Mvhd.Timescale = o.timescale
	last := o.samples[len(o.samples)-1]
	init.Moov.Mvex.AddChild(&mp4.MehdBox{Version: 1, FragmentDuration: int64(last.dts + uint64(last.dur))}) //nolint:gosec // ticks of a film
	trak := init.AddEmptyTrack(o.timescale, o.kind, o.trak.Mdia.Mdhd.GetLanguage())
	trak.Tkhd.Width, trak.Tkhd.Height = o.trak.Tkhd.Width, o.trak.Tkhd.Height
	if o.edit != nil {
		trak.Edts = o.edit
		trak.Children = append([]mp4.Box{trak.Children[0], o.edit}, trak.Children[1:]...)
	}
	trak.Mdia.Minf.Stbl.Stsd.AddChild(o.trak.Mdia.Minf.Stbl.Stsd.Children[0])
	pssh := &mp4.PsshBox{Version: 1, SystemID: uuid(ident.Key(cenc.CommonSystem()))}
	for _, t := range p.order {
		pssh.KIDs = append(pssh.KIDs, uuid(p.keys[t].kid))
	}
	iv := make([]byte, 8) // cenc: says the size only
	if p.cfg.Scheme == cenc.SchemeCBCS {
		iv = random(cenc.BlockSize)
	}
	// The key is not needed for the init segment.
	ipd, err := mp4.InitProtect(init, nil, iv, p.cfg.Scheme.String(), uuid(k.kid), []*mp4.PsshBox{pssh})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return init, ipd, nil
}

func uuid(id ident.Key) mp4.UUID { return append(mp4.UUID(nil), id[:]...) }

// fragment is one fragment being made.
type fragment struct {
	o        *output
	in       *content.Init
	enc      *mp4.FragmentEncryptor
	key      *tierKey
	n        int // number, from 1
	from, to int // samples
}

func (p *packer) fragment(f *fragment, rates *peak) (*content.Segment, error) {
	frag, err := mp4.CreateFragment(uint32(f.n), 1) //nolint:gosec // a count of fragments
	if err != nil {
		return nil, err
	}
	data, err := f.o.read(f.from, f.to)
	if err != nil {
		return nil, err
	}
	var plain []byte
	for i, s := range f.o.samples[f.from:f.to] {
		plain = append(plain, data[i]...)
		frag.AddFullSample(mp4.FullSample{
			Sample:     mp4.Sample{Flags: s.flags, Dur: s.dur, Size: s.size, CompositionTimeOffset: s.cto},
			DecodeTime: s.dts, Data: data[i],
		})
	}
	// Before encryption: saio counts on the final size of the boxes before senc.
	if err := frag.Moof.Traf.OptimizeTfhdTrun(); err != nil {
		return nil, err
	}
	if err := f.enc.EncryptFragment(frag); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	var raw bytes.Buffer
	if err := frag.Encode(&raw); err != nil {
		return nil, err
	}
	c, err := f.check(bytes.Clone(raw.Bytes()), plain)
	if err != nil {
		return nil, err
	}
	file, err := p.write(path.Join(f.o.name, strconv.Itoa(f.n)+".m4s"), raw.Bytes())
	if err != nil {
		return nil, err
	}
	start, dur := c.Time()
	rates.add(c.Bytes(), raw.Len(), dur)
	p.done += int64(len(plain))
	p.cfg.Progress(p.done, p.total)
	return &content.Segment{File: file, StartMS: start, DurationMS: dur}, nil
}

// check decrypts a fragment with our own engine and compares.
func (f *fragment) check(raw, plain []byte) (*content.Fragment, error) {
	c, err := f.in.Fragment(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheck, err)
	}
	protected := bytes.Clone(raw[len(raw)-len(plain):])
	err = c.Decrypt(func(kid ident.Key) (cenc.ContentKey, error) {
		if kid != f.key.kid {
			return cenc.ContentKey{}, fmt.Errorf("%w: key ID", ErrCheck)
		}
		return f.key.key, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheck, err)
	}
	if got := raw[len(raw)-len(plain):]; !bytes.Equal(got, plain) || c.Bytes() > 64 && bytes.Equal(protected, plain) {
		return nil, ErrCheck
	}
	return c, nil
}

// peak finds the highest rate over whole fragments of at least a second; a
// shorter one counts together with the one before it.
type peak struct {
	bps, bandwidth  int64
	bytes, size, ms int64 // the fragment before
}

func (r *peak) add(protected, size int, ms int64) {
	b, s := int64(protected), int64(size)
	if ms < 1000 {
		b, s, ms = b+r.bytes, s+r.size, ms+r.ms
	}
	r.bytes, r.size, r.ms = b, s, ms
	ms = max(ms, 1000)
	r.bps = max(r.bps, (b*1000+ms-1)/ms)
	r.bandwidth = max(r.bandwidth, (s*8000+ms-1)/ms)
}

func (r *peak) result() (bps uint64, bandwidth int64) {
	return uint64(max(r.bps, 1)), max(r.bandwidth, 1) // positive
}
