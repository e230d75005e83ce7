package packager

import (
	"bytes"
	"context"
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
	protection    protection
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
		o.codec = audioCodec(e)
	}
	if typ := stsd.Children[0].Type(); o.codec == "" {
		if typ == "encv" || typ == "enca" {
			return nil, fmt.Errorf("%s: %w: the %s track is protected already", t.src.name, ErrInput, t.kind)
		}
		return nil, fmt.Errorf("%s: %w: codec %q of the %s track", t.src.name, ErrInput, typ, t.kind)
	}
	return o, nil
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

// head makes the init segment of an output, reads it, and says the codec's name.
func (p *packer) head(o *output) (raw []byte, in *content.Init, codec string, err error) {
	init, err := p.init(o)
	if err != nil {
		return nil, nil, "", err
	}
	var b bytes.Buffer
	if err := init.Encode(&b); err != nil {
		return nil, nil, "", err
	}
	if in, err = content.ParseInit(b.Bytes()); err != nil {
		return nil, nil, "", fmt.Errorf("%w: %w", ErrCheck, err)
	}
	if codec = o.codec; codec == "mp4a" {
		if codec = in.Tracks[0].Entries[0].Codec; codec == "mp4a" {
			return nil, nil, "", fmt.Errorf("%w: codec mp4a that is not AAC", ErrInput)
		}
	}
	return b.Bytes(), in, codec, nil
}

// track writes one track: its init segment and its fragments.
func (p *packer) track(ctx context.Context, o *output) (*content.TrackFiles, error) {
	raw, in, codec, err := p.head(o)
	if err != nil {
		return nil, err
	}
	files := &content.TrackFiles{
		Name: o.name, Kind: o.kind, Tier: o.tier, KID: p.keys[o.tier].periods[0].kid, Timescale: o.timescale,
		Codecs: codec, Width: o.width, Height: o.height, Rate: o.rate,
	}
	if lang := o.trak.Mdia.Mdhd.GetLanguage(); lang != "und" {
		files.Language = lang
	}
	if files.Init, err = p.write(path.Join(o.name, "init.mp4"), raw); err != nil {
		return nil, err
	}
	if p.cfg.AES128 {
		plain, err := in.Clear(raw)
		if err != nil {
			return nil, err
		}
		if err := p.also(path.Join(aesFolder, files.Init.Name), plain); err != nil {
			return nil, err
		}
	}
	if err := p.fragmentsOf(ctx, o, in, files); err != nil {
		return nil, err
	}
	return files, nil
}

// fragmentsOf writes the fragments of a track, each under the key of its time.
func (p *packer) fragmentsOf(ctx context.Context, o *output, in *content.Init, files *content.TrackFiles) error {
	var rates peak
	f := fragment{o: o, in: in}
	defer f.close()
	bounds := p.fragments(o)
	for n := 1; n < len(bounds); n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		f.n, f.from, f.to = n, bounds[n-1], bounds[n]
		start := o.ms(o.samples[f.from].dts)
		if err := f.use(p.keyAt(o.tier, start)); err != nil {
			return err
		}
		seg, err := p.fragment(&f, &rates)
		if err != nil {
			return fmt.Errorf("fragment %d: %w", n, err)
		}
		if k := p.keys[o.tier].periods[p.period(start)]; p.cfg.RotateMS > 0 && (len(files.Keys) == 0 || files.Keys[len(files.Keys)-1].KID != k.kid) {
			files.Keys = append(files.Keys, content.KeyPeriod{KID: k.kid, StartMS: seg.StartMS})
		}
		files.Segments = append(files.Segments, *seg)
	}
	files.BPS, files.Bandwidth = rates.result()
	k := p.keys[o.tier]
	k.bps = max(k.bps, files.BPS)
	return nil
}

// init makes the init segment of an output, protected.
func (p *packer) init(o *output) (*mp4.InitSegment, error) {
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
	stsd := trak.Mdia.Minf.Stbl.Stsd
	stsd.AddChild(o.trak.Mdia.Minf.Stbl.Stsd.Children[0])
	if err := p.protect(o, stsd); err != nil {
		return nil, fmt.Errorf("%w: codec %s: %w", ErrInput, o.codec, err)
	}
	pssh := &mp4.PsshBox{Version: 1, SystemID: uuid(ident.Key(cenc.CommonSystem()))}
	for _, kid := range p.kids() {
		pssh.KIDs = append(pssh.KIDs, uuid(kid))
	}
	init.Moov.AddChild(pssh)
	p.addSystems(init.Moov)
	return init, nil
}

func uuid(id ident.Key) mp4.UUID { return append(mp4.UUID(nil), id[:]...) }

// fragment is one fragment being made.
type fragment struct {
	o        *output
	in       *content.Init
	key      *key // nil: in the clear
	cipher   *cenc.Cipher
	n        int // number, from 1
	from, to int // samples

	// Of the fragment before, whose memory the next one takes: as long as a
	// fragment is, new memory costs more than to encrypt it.
	plain []byte
	out   []byte       // headroom, and the samples as they are protected
	head  bytes.Buffer // what stands before them
	same  bool         // as plain
}

// use changes the key, where it is another one.
func (f *fragment) use(k *key) (err error) {
	if k == f.key {
		return nil
	}
	f.close()
	if f.key = k; k != nil {
		f.cipher, err = cenc.NewCipher(k.key)
	}
	return err
}

func (f *fragment) close() {
	if f.cipher != nil {
		f.cipher.Close()
		f.cipher = nil
	}
}

// only gives the fragment's own key, and no other.
func (f *fragment) only(kid ident.Key) (cenc.ContentKey, error) {
	if f.key == nil || kid != f.key.kid {
		return cenc.ContentKey{}, fmt.Errorf("%w: key ID", ErrCheck)
	}
	return f.key.key, nil
}

// fragment writes one fragment, or takes what an earlier run has written of it.
func (p *packer) fragment(f *fragment, rates *peak) (*content.Segment, error) {
	name := path.Join(f.o.name, strconv.Itoa(f.n)+".m4s")
	l, ok := p.resumed(f, name)
	if !ok {
		var err error
		if l, err = p.newFragment(f, name); err != nil {
			return nil, err
		}
	}
	if l.AES != nil {
		p.manifest.Files = append(p.manifest.Files, *l.AES)
	}
	rates.add(l.Protected, l.Bytes, l.DurationMS)
	for _, s := range f.o.samples[f.from:f.to] {
		p.done += int64(s.size)
	}
	p.cfg.Progress(p.done, p.total)
	return &l.Segment, nil
}

// newFragment makes a fragment, writes it, and holds what it wrote against the source.
func (p *packer) newFragment(f *fragment, name string) (l doneLine, err error) {
	frag, err := f.build()
	if err != nil {
		return l, err
	}
	raw, err := f.whole(frag)
	if err != nil {
		return l, err
	}
	if l.File, err = p.write(name, raw); err != nil {
		return l, err
	}
	c, err := f.check(raw)
	if err != nil {
		return l, err
	}
	l.Protected = c.Bytes()
	l.StartMS, l.DurationMS = c.Time()
	if p.cfg.AES128 {
		if l.AES, err = p.aes128(f, name, raw); err != nil {
			return l, err
		}
	}
	if p.journal != nil {
		err = p.journal.write(l)
	}
	return l, err
}

// build makes the fragment, protected. What its samples were stays in f.plain.
func (f *fragment) build() (frag *mp4.Fragment, err error) {
	if frag, err = mp4.CreateFragment(uint32(f.n), 1); err != nil { //nolint:gosec // a count of fragments
		return nil, err
	}
	var data [][]byte
	if data, f.plain, err = f.o.read(f.plain, f.from, f.to); err != nil {
		return nil, err
	}
	if need := headroom + len(f.plain); cap(f.out) < need {
		f.out = make([]byte, need)
	}
	frag.Mdat.Data = f.out[headroom:headroom]
	for i, s := range f.o.samples[f.from:f.to] {
		frag.AddFullSample(mp4.FullSample{
			Sample:     mp4.Sample{Flags: s.flags, Dur: s.dur, Size: s.size, CompositionTimeOffset: s.cto},
			DecodeTime: s.dts, Data: data[i],
		})
	}
	// Before encryption: saio counts on the final size of the boxes before senc.
	if err := frag.Moof.Traf.OptimizeTfhdTrun(); err != nil {
		return nil, err
	}
	// The samples stand in mdat, one after the other.
	rest := frag.Mdat.Data
	for i := range data {
		n := len(data[i])
		data[i], rest = rest[:n:n], rest[n:]
	}
	return frag, f.encrypt(frag, data)
}

// headroom is for what stands before the samples of a fragment, bytes; a longer
// one costs a copy. Source: local.
const headroom = 1 << 17

// whole puts the boxes before the samples, where they lie.
func (f *fragment) whole(frag *mp4.Fragment) ([]byte, error) {
	data := frag.Mdat.Data
	f.same = bytes.Equal(data, f.plain)
	frag.Mdat.Data = nil
	frag.Mdat.SetLazyDataSize(uint64(len(data)))
	f.head.Reset()
	if err := frag.Encode(&f.head); err != nil {
		return nil, err
	}
	head := f.head.Bytes()
	if len(head) > headroom {
		return append(bytes.Clone(head), data...), nil
	}
	raw := f.out[headroom-len(head) : headroom+len(data)]
	copy(raw, head)
	return raw, nil
}

// peak finds the highest rate over whole fragments of at least a second; a
// shorter one counts together with the one before it.
type peak struct {
	bps, bandwidth  int64
	bytes, size, ms int64 // the fragment before
}

func (r *peak) add(protected int, size, ms int64) {
	b, s := int64(protected), size
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
