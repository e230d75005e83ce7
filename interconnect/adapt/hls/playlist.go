package hls

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lares-drm/lares/content"
)

// Method is how segments are encrypted. Source: RFC 8216, 4.3.2.4.
type Method string

// The methods.
const (
	AES128    Method = "AES-128"    // whole segments, AES-128-CBC
	SampleAES Method = "SAMPLE-AES" // samples; of fragmented MP4 the scheme cbcs
)

// dir is the method's name in a path.
func (m Method) dir() string { return strings.ToLower(string(m)) }

// Limits of a playlist that is read. Source: local, docs/spec/hls.md.
const (
	MaxPlaylist = 1 << 20 // bytes
	maxKeys     = 1024    // key tags
)

// ErrPlaylist is returned for bytes that are no playlist.
var ErrPlaylist = errors.New("hls: not a playlist")

// KeyTag is what an EXT-X-KEY or EXT-X-SESSION-KEY tag says.
type KeyTag struct {
	Method  string // NONE, AES-128, SAMPLE-AES or another
	URI     string
	Format  string // KEYFORMAT; identity where it is absent
	Session bool   // of an EXT-X-SESSION-KEY
}

// ParseKeys reads the key tags of a playlist. Attribute lists are read as RFC
// 8216, 4.2 has them: an attribute twice, or a value of another form, is an error.
func ParseKeys(data []byte) ([]KeyTag, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if len(data) > MaxPlaylist || !strings.HasPrefix(text, "#EXTM3U") || !utf8.ValidString(text) {
		return nil, ErrPlaylist
	}
	var tags []KeyTag
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if strings.ContainsFunc(line, unicode.IsControl) {
			return nil, ErrPlaylist // RFC 8216, 4.1
		}
		list, session := strings.CutPrefix(line, "#EXT-X-SESSION-KEY:")
		if !session {
			var key bool
			if list, key = strings.CutPrefix(line, "#EXT-X-KEY:"); !key {
				continue
			}
		}
		a, err := attributes(list)
		if err != nil || len(tags) >= maxKeys {
			return nil, ErrPlaylist
		}
		t := KeyTag{Method: a["METHOD"], URI: a["URI"], Format: a["KEYFORMAT"], Session: session}
		if t.Format == "" {
			t.Format = "identity"
		}
		if t.Method == "" || (t.Method == "NONE") == (t.URI != "") {
			return nil, ErrPlaylist
		}
		tags = append(tags, t)
	}
	return tags, nil
}

// attributes reads an attribute list: NAME=value or NAME="value", by commas.
func attributes(s string) (map[string]string, error) {
	out := map[string]string{}
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if !ok || name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return nil, ErrPlaylist
		}
		var value string
		if quoted, isQuoted := strings.CutPrefix(rest, `"`); isQuoted {
			if value, rest, ok = strings.Cut(quoted, `"`); !ok {
				return nil, ErrPlaylist
			}
		} else {
			i := strings.IndexByte(rest, ',')
			if i < 0 {
				i = len(rest)
			}
			value, rest = rest[:i], rest[i:]
			if value == "" || strings.ContainsAny(value, "\" \t") {
				return nil, ErrPlaylist
			}
		}
		if _, twice := out[name]; twice {
			return nil, ErrPlaylist
		}
		out[name] = value
		if rest == "" {
			break
		}
		if s, ok = strings.CutPrefix(rest, ","); !ok || s == "" {
			return nil, ErrPlaylist
		}
	}
	return out, nil
}

// Media is the media playlist of a track of a session. The initialization
// section stands before the key: it is not encrypted.
func Media(m Method, t *content.TrackFiles) string {
	var b strings.Builder
	longest := int64(1000)
	for _, s := range t.Segments {
		longest = max(longest, s.DurationMS)
	}
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n", (longest+999)/1000)
	fmt.Fprintf(&b, "#EXT-X-MAP:URI=\"%s/init.mp4\"\n#EXT-X-KEY:METHOD=%s,URI=\"%s/key\",KEYFORMAT=\"identity\"\n", t.Name, m, t.Name)
	for i, s := range t.Segments {
		fmt.Fprintf(&b, "#EXTINF:%d.%03d,\n%s/%d.m4s\n", s.DurationMS/1000, s.DurationMS%1000, t.Name, i)
	}
	b.WriteString("#EXT-X-ENDLIST\n")
	return b.String()
}

// Master is the multivariant playlist of a session: one variant for each picture
// track, with the first sound track.
func Master(tracks []*content.TrackFiles) string {
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n")
	var sound *content.TrackFiles
	pictures := 0
	for _, t := range tracks {
		switch {
		case t.Kind == "audio" && sound == nil:
			sound = t
			fmt.Fprintf(&b, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"sound\",DEFAULT=YES,AUTOSELECT=YES,URI=\"%s.m3u8\"\n", t.Name)
		case t.Kind == "video":
			pictures++
		}
	}
	for _, t := range tracks {
		if t.Kind != "video" && (t != sound || pictures > 0) {
			continue
		}
		rate, codecs := t.BPS*8, t.Codecs
		if sound != nil && t != sound {
			rate, codecs = rate+sound.BPS*8, codecs+","+sound.Codecs
		}
		fmt.Fprintf(&b, "#EXT-X-STREAM-INF:BANDWIDTH=%d,CODECS=\"%s\"", rate, codecs)
		if t.Kind == "video" {
			fmt.Fprintf(&b, ",RESOLUTION=%dx%d", t.Width, t.Height)
		}
		if sound != nil {
			b.WriteString(`,AUDIO="sound"`)
		}
		fmt.Fprintf(&b, "\n%s.m3u8\n", t.Name)
	}
	return b.String()
}
