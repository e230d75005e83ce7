package content

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// StateName is the file name of the revocation state that travels with packed
// content (docs/spec/revocation.md, Offer). content.json does not list it: it is
// older or newer than the film, and whoever packs again may replace it.
const StateName = "state.rsl"

// ManifestName is the file name of a Manifest in a packed folder.
const ManifestName = "content.json"

// Limits of content.json. Source: local, docs/spec/content.md.
const (
	MaxManifest     = 16 << 20 // bytes
	maxTitle        = 512      // bytes
	MaxRated        = 21       // years: no rating board's highest age is above it
	maxTracksListed = 64
	maxSegments     = 1 << 16 // a track
	maxMS           = 1 << 40 // length of a piece of content, milliseconds
	maxRate         = 1 << 40 // bits or bytes a second
)

// ErrManifest is returned for a content.json that breaks its specification.
var ErrManifest = errors.New("content: bad content.json")

// Manifest is content.json: what a packed folder holds. It is for servers and
// tools; nothing in it is trusted by a TREM. Source: docs/spec/content.md.
type Manifest struct {
	Format     int           `json:"format"` // 1
	Content    ident.Content `json:"content"`
	Title      string        `json:"title"`
	Scheme     cenc.Scheme   `json:"scheme"`
	DurationMS int64         `json:"duration_ms"`
	Rated      *uint8        `json:"rated,omitempty"` // from which age it is, years; 0: for everybody; nil: nobody says
	MPD        File          `json:"mpd"`
	HLS        *File         `json:"hls,omitempty"`
	Poster     *File         `json:"poster,omitempty"`
	Tracks     []TrackFiles  `json:"tracks"`

	Subtitles []Subtitle `json:"subtitles,omitempty"`
	Chapters  []Chapter  `json:"chapters,omitempty"`
	Files     []File     `json:"files,omitempty"` // further ones to serve: playlists, and segments under AES-128
}

// TrackFiles is one track of a packed folder: an init segment and fragments.
type TrackFiles struct {
	Name      string    `json:"name"` // folder of its files, ID of its DASH Representation
	Kind      string    `json:"kind"` // "video" or "audio"
	Tier      Tier      `json:"tier"`
	KID       ident.Key `json:"kid"`
	BPS       uint64    `json:"bps"`       // peak protected bytes a second
	Bandwidth int64     `json:"bandwidth"` // peak bits a second, boxes included
	Codecs    string    `json:"codecs"`    // RFC 6381
	Timescale uint32    `json:"timescale"`
	Width     int       `json:"width,omitempty"`
	Height    int       `json:"height,omitempty"`
	Rate      int       `json:"sample_rate,omitempty"` // audio samples a second
	Language  string    `json:"language,omitempty"`

	Keys []KeyPeriod `json:"keys,omitempty"` // where keys rotate: all of them, KID first

	Init     File      `json:"init"`
	Segments []Segment `json:"segments"`
}

// File is one file of a packed folder.
type File struct {
	Name   string `json:"name"` // relative to the folder, with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 Digest `json:"sha256"`
}

// Segment is one fragment file: what Init.Fragment takes whole.
type Segment struct {
	File
	StartMS    int64 `json:"start_ms"` // decode time of its first sample
	DurationMS int64 `json:"duration_ms"`
}

// Digest is a SHA-256 digest, in JSON 64 hexadecimal digits.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText prints the digest for JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (d *Digest) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != len(d) || hex.EncodeToString(raw) != string(b) {
		return fmt.Errorf("%w: digest", ErrManifest)
	}
	copy(d[:], raw)
	return nil
}

// ParseManifest reads and validates content.json.
func ParseManifest(data []byte) (*Manifest, error) {
	if len(data) > MaxManifest {
		return nil, fmt.Errorf("%w: over %d bytes", ErrManifest, MaxManifest)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var m Manifest
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if d.More() {
		return nil, fmt.Errorf("%w: more than one value", ErrManifest)
	}
	return &m, m.Validate()
}

// Encode validates the manifest and returns its file: indented, so that people
// can read it, with a newline at the end.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(m, "", " ")
	return append(b, '\n'), err
}

// Validate reports the first rule of docs/spec/content.md that m breaks.
func (m *Manifest) Validate() error {
	switch {
	case m.Format != 1:
		return fmt.Errorf("%w: format %d", ErrManifest, m.Format)
	case m.Content == "" || len(m.Content) > ident.MaxOpaque:
		return fmt.Errorf("%w: content ID", ErrManifest)
	case m.Title == "" || len(m.Title) > maxTitle:
		return fmt.Errorf("%w: title", ErrManifest)
	case !m.Scheme.Known():
		return fmt.Errorf("%w: scheme", ErrManifest)
	case m.DurationMS <= 0 || m.DurationMS > maxMS:
		return fmt.Errorf("%w: duration", ErrManifest)
	case m.Rated != nil && *m.Rated > MaxRated:
		return fmt.Errorf("%w: rating", ErrManifest)
	case len(m.Tracks) == 0 || len(m.Tracks) > maxTracksListed:
		return fmt.Errorf("%w: %d tracks", ErrManifest, len(m.Tracks))
	}
	names := map[string]bool{ManifestName: true}
	for _, f := range []*File{&m.MPD, m.HLS, m.Poster} {
		if f != nil {
			if err := f.validate(names); err != nil {
				return err
			}
		}
	}
	for i := range m.Tracks {
		if err := m.Tracks[i].validate(names); err != nil {
			return fmt.Errorf("track %d: %w", i, err)
		}
	}
	return m.extras(names)
}

func (t *TrackFiles) validate(names map[string]bool) error {
	switch {
	case !plainName(t.Name) || strings.Contains(t.Name, "/"):
		return fmt.Errorf("%w: track name", ErrManifest)
	case t.Kind != "video" && t.Kind != "audio" || (t.Kind == "audio") != (t.Tier == Audio):
		return fmt.Errorf("%w: kind and tier", ErrManifest)
	case t.BPS == 0 || t.BPS > maxRate || t.Bandwidth <= 0 || t.Bandwidth > maxRate:
		return fmt.Errorf("%w: rate", ErrManifest)
	case t.Timescale == 0 || t.Codecs == "" || t.Width < 0 || t.Height < 0 || t.Rate < 0:
		return fmt.Errorf("%w: codec", ErrManifest)
	case len(t.Segments) == 0 || len(t.Segments) > maxSegments:
		return fmt.Errorf("%w: %d segments", ErrManifest, len(t.Segments))
	}
	if err := t.Init.validate(names); err != nil {
		return err
	}
	last := int64(-1)
	for i := range t.Segments {
		s := &t.Segments[i]
		if err := s.validate(names); err != nil {
			return err
		}
		if s.StartMS <= last || s.StartMS > maxMS || s.DurationMS <= 0 || s.DurationMS > maxMS {
			return fmt.Errorf("%w: times of segment %d", ErrManifest, i)
		}
		last = s.StartMS
	}
	return t.periods()
}

func (f *File) validate(names map[string]bool) error {
	if !plainName(f.Name) || f.Bytes <= 0 {
		return fmt.Errorf("%w: file name or size", ErrManifest)
	}
	if names[f.Name] {
		return fmt.Errorf("%w: file %s listed twice", ErrManifest, f.Name)
	}
	names[f.Name] = true
	return nil
}

// plainName reports whether a name stays below its folder on every system:
// letters, digits, dot, dash and underscore between single slashes, no part
// that begins with a dot.
func plainName(s string) bool {
	if !fs.ValidPath(s) || len(s) > 255 || s == "." {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part[0] == '.' {
			return false
		}
	}
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/") == ""
}

// Best returns the video track of the highest tier up to most, of it the one
// with the most pixels; or the audio track when most is Audio.
func (m *Manifest) Best(most Tier) (*TrackFiles, bool) {
	var best *TrackFiles
	for i := range m.Tracks {
		t := &m.Tracks[i]
		if t.Tier > most || (t.Tier == Audio) != (most == Audio) {
			continue
		}
		if best == nil || t.Tier > best.Tier || t.Tier == best.Tier && t.Width*t.Height > best.Width*best.Height {
			best = t
		}
	}
	return best, best != nil
}

// Track returns the track of a name.
func (m *Manifest) Track(name string) (*TrackFiles, bool) {
	for i := range m.Tracks {
		if m.Tracks[i].Name == name {
			return &m.Tracks[i], true
		}
	}
	return nil, false
}

// File returns the listed file of a name; nothing else may be served.
func (m *Manifest) File(name string) (File, bool) {
	for _, f := range []*File{&m.MPD, m.HLS, m.Poster} {
		if f != nil && f.Name == name {
			return *f, true
		}
	}
	for _, s := range m.Subtitles {
		if s.Name == name {
			return s.File, true
		}
	}
	for _, f := range m.Files {
		if f.Name == name {
			return f, true
		}
	}
	for i := range m.Tracks {
		t := &m.Tracks[i]
		if t.Init.Name == name {
			return t.Init, true
		}
		for k := range t.Segments {
			if t.Segments[k].Name == name {
				return t.Segments[k].File, true
			}
		}
	}
	return File{}, false
}
