package packager

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// Names of the playlists for HLS. Source: local, docs/spec/content.md.
const (
	hlsName      = "master.m3u8"          // for every player in cenc, for shaka-player in cbcs
	hlsClearName = "master-clearkey.m3u8" // cbcs: for hls.js, which takes a key of format identity for that of a transport stream
	aesName      = "aes-128.m3u8"
	aesFolder    = "aes"
)

// Formats of keys in a playlist. Sources: RFC 8216 (identity); hls.js (the other).
const (
	identityFormat = "identity"
	clearKeyFormat = "org.w3.clearkey"
)

// hlsTemplates write playlists. Source: RFC 8216; version 7 for fMP4 segments.
var hlsTemplates = template.Must(template.New("").Parse(`
{{- define "master"}}#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
{{range .Audio}}#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="{{.Label}}",{{with .Language}}LANGUAGE="{{.}}",{{end}}DEFAULT=YES,AUTOSELECT=YES,CHANNELS="{{.Channels}}",URI="{{.URI}}"
{{end}}{{range .Subtitles}}#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs",NAME="{{.Label}}",LANGUAGE="{{.Language}}",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="{{.URI}}"
{{end}}{{range .Streams}}#EXT-X-STREAM-INF:BANDWIDTH={{.Bandwidth}},CODECS="{{.Codecs}}"{{with .Resolution}},RESOLUTION={{.}}{{end}}{{with .Audio}},AUDIO="{{.}}"{{end}}{{with .Subtitles}},SUBTITLES="{{.}}"{{end}}
{{.URI}}
{{end}}{{end}}
{{- define "media"}}#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:{{.Longest}}
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-INDEPENDENT-SEGMENTS
{{with .Init}}#EXT-X-MAP:URI="{{.}}"
{{end}}{{range .Segments}}{{range .Keys}}#EXT-X-KEY:{{.}}
{{end}}#EXTINF:{{.Seconds}},
{{.URI}}
{{end}}#EXT-X-ENDLIST
{{end}}`))

type (
	masterHLS struct {
		Audio, Subtitles []renditionHLS
		Streams          []streamHLS
	}
	renditionHLS struct {
		Label, Language, URI string
		Channels             int
	}
	streamHLS struct {
		Bandwidth                            int64
		Codecs, Resolution, Audio, Subtitles string
		URI                                  string
	}
	mediaHLS struct {
		Longest  int64 // seconds, rounded up
		Init     string
		Segments []segmentHLS
	}
	segmentHLS struct {
		Keys    []string // attributes of EXT-X-KEY, where they change
		Seconds string
		URI     string
	}
)

// hls is one way to write the playlists of a packed folder.
type hls struct {
	master string
	folder string // of the playlists and their segments, with a slash; "" for the top
	suffix string // of the media playlists' names
	keys   func(*content.TrackFiles, *content.Segment) []string
}

// hls writes every playlist: for the CMAF fragments that DASH uses too, and for
// segments under AES-128 where they are asked for.
func (p *packer) hls() error {
	cmaf := hls{master: hlsName}
	clearKey := cmaf
	if p.cfg.Scheme == cenc.SchemeCENC {
		cmaf.keys = p.sampleAES("SAMPLE-AES-CTR", identityFormat, clearKeyFormat)
	} else {
		cmaf.keys = p.sampleAES("SAMPLE-AES", identityFormat)
		clearKey.master, clearKey.suffix = hlsClearName, "-clearkey"
		clearKey.keys = p.sampleAES("SAMPLE-AES", clearKeyFormat)
	}
	f, err := p.playlists(&cmaf)
	if err != nil {
		return err
	}
	p.manifest.HLS = f
	if clearKey.keys != nil {
		if f, err = p.playlists(&clearKey); err != nil {
			return err
		}
		p.manifest.Files = append(p.manifest.Files, *f)
	}
	if !p.cfg.AES128 {
		return nil
	}
	f, err = p.playlists(&hls{
		master: aesName, folder: aesFolder + "/",
		keys: func(t *content.TrackFiles, _ *content.Segment) []string {
			return []string{fmt.Sprintf(`METHOD=AES-128,URI="%s"`, p.keyURI("../", p.keys[t.Tier].aes.kid))}
		},
	})
	if err == nil {
		p.manifest.Files = append(p.manifest.Files, *f)
	}
	return err
}

// sampleAES gives the key attributes of a fragment under Common Encryption.
func (p *packer) sampleAES(method string, formats ...string) func(*content.TrackFiles, *content.Segment) []string {
	return func(t *content.TrackFiles, s *content.Segment) []string {
		k := p.keyAt(t.Tier, s.StartMS)
		if k == nil {
			return []string{"METHOD=NONE"}
		}
		var out []string
		for _, f := range formats {
			uri, id := p.keyURI("", k.kid), ""
			if f == clearKeyFormat { // the player asks a license server for the key of this ID
				uri, id = p.cfg.LicenseURL, fmt.Sprintf(",KEYID=0x%x", k.kid[:])
			}
			out = append(out, fmt.Sprintf(`METHOD=%s,URI="%s"%s,KEYFORMAT="%s",KEYFORMATVERSIONS="1"`, method, uri, id, f))
		}
		return out
	}
}

// keyURI is where a player gets the 16 bytes of a key. Relative addresses are
// relative to the folder, which is up from the playlist.
func (p *packer) keyURI(up string, kid ident.Key) string {
	if strings.Contains(p.cfg.KeyURL, ":") || strings.HasPrefix(p.cfg.KeyURL, "/") {
		up = ""
	}
	return up + p.cfg.KeyURL + "/" + kid.String()
}

// playlists writes a master playlist and one for each track and subtitle.
func (p *packer) playlists(h *hls) (*content.File, error) {
	var m masterHLS
	sound, codec := int64(0), ""
	for i := range p.manifest.Tracks {
		t := &p.manifest.Tracks[i]
		name := h.folder + t.Name + h.suffix + ".m3u8"
		if err := p.playlist(h, name, t); err != nil {
			return nil, err
		}
		if t.Kind == "audio" && len(p.manifest.Tracks) > 1 {
			m.Audio = append(m.Audio, renditionHLS{Label: "Sound", Language: t.Language, URI: name, Channels: p.tracks[i].channels})
			sound, codec = t.Bandwidth, ","+t.Codecs
			continue
		}
		s := streamHLS{Bandwidth: t.Bandwidth + sound, Codecs: t.Codecs + codec, URI: name}
		if t.Width > 0 {
			s.Resolution = fmt.Sprintf("%dx%d", t.Width, t.Height)
		}
		if len(m.Audio) > 0 {
			s.Audio = "audio"
		}
		if len(p.manifest.Subtitles) > 0 {
			s.Subtitles = "subs"
		}
		m.Streams = append(m.Streams, s)
	}
	for i := range p.manifest.Subtitles {
		s := &p.manifest.Subtitles[i]
		uri, err := p.subtitlePlaylist(s)
		if err != nil {
			return nil, err
		}
		m.Subtitles = append(m.Subtitles, renditionHLS{Label: attribute(s.Label), Language: s.Language, URI: uri})
	}
	return p.template("master", h.master, m)
}

func (p *packer) playlist(h *hls, name string, t *content.TrackFiles) error {
	m := mediaHLS{Init: t.Init.Name}
	var last []string
	for i := range t.Segments {
		s := &t.Segments[i]
		ms := s.DurationMS
		if i+1 < len(t.Segments) {
			ms = t.Segments[i+1].StartMS - s.StartMS
		}
		m.Longest = max(m.Longest, (ms+999)/1000)
		seg := segmentHLS{Seconds: seconds(ms), URI: s.Name}
		if keys := h.keys(t, s); !slices.Equal(keys, last) && (i > 0 || keys[0] != "METHOD=NONE") {
			seg.Keys = keys
			last = keys
		} else if i == 0 {
			last = keys
		}
		m.Segments = append(m.Segments, seg)
	}
	f, err := p.template("media", name, m)
	if err == nil {
		p.manifest.Files = append(p.manifest.Files, *f)
	}
	return err
}

// subtitlePlaylist lists a WebVTT file as one segment, and is written once.
func (p *packer) subtitlePlaylist(s *content.Subtitle) (string, error) {
	name := strings.TrimSuffix(s.Name, path.Ext(s.Name)) + ".m3u8"
	if _, ok := p.manifest.File(name); ok {
		return name, nil
	}
	ms := p.manifest.DurationMS
	f, err := p.template("media", name, mediaHLS{Longest: (ms + 999) / 1000, Segments: []segmentHLS{{Seconds: seconds(ms), URI: path.Base(s.Name)}}})
	if err != nil {
		return "", err
	}
	p.manifest.Files = append(p.manifest.Files, *f)
	return name, nil
}

func (p *packer) template(kind, name string, data any) (*content.File, error) {
	var b bytes.Buffer
	if err := hlsTemplates.ExecuteTemplate(&b, kind, data); err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	f, err := p.write(name, b.Bytes())
	return &f, err
}

func seconds(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64) }

// attribute makes a quoted attribute's value of a text for people.
func attribute(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' || r < ' ' {
			return '\''
		}
		return r
	}, s)
}

// aes128 writes a segment of the clear view, encrypted whole: AES-128-CBC with
// PKCS #7 padding, its vector the media sequence number, which is its own number.
// Source: RFC 8216, 5.2.
func (p *packer) aes128(f *fragment, name string, view []byte) (*content.File, error) {
	block, err := p.keys[f.o.tier].aes.key.Block()
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(view)%aes.BlockSize
	b := append(bytes.Clone(view), bytes.Repeat([]byte{byte(pad)}, pad)...)
	iv := make([]byte, aes.BlockSize)
	for n, i := f.n, len(iv)-1; n > 0; n, i = n>>8, i-1 {
		iv[i] = byte(n)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(b, b)
	file, err := p.write(path.Join(aesFolder, name), b)
	return &file, err
}

// also writes a file that content.json lists as a further one.
func (p *packer) also(name string, data []byte) error {
	f, err := p.write(name, data)
	p.manifest.Files = append(p.manifest.Files, f)
	return err
}
