package content

import (
	"fmt"
	"strings"

	"github.com/lares-drm/lares/license/ident"
)

// What a packed folder may hold besides its tracks. Limits: local, docs/spec/content.md.
const (
	maxPeriods   = 64 // keys of a track
	maxSubtitles = 64
	maxChapters  = 1024
	maxFiles     = 1 << 17 // further files
	maxLabel     = 256     // bytes
)

// KeyPeriod says from when a key counts in a track whose keys rotate.
type KeyPeriod struct {
	KID     ident.Key `json:"kid"`
	StartMS int64     `json:"start_ms"` // decode time of the first segment under it
}

// Subtitle is a WebVTT file: subtitles are in the clear.
type Subtitle struct {
	File
	Language string `json:"language"` // RFC 5646 or ISO 639-2
	Label    string `json:"label,omitempty"`
}

// Chapter is a place in the film that has a name.
type Chapter struct {
	StartMS int64  `json:"start_ms"`
	Title   string `json:"title"`
}

// extras checks what is listed besides the tracks.
func (m *Manifest) extras(names map[string]bool) error {
	if len(m.Subtitles) > maxSubtitles || len(m.Chapters) > maxChapters || len(m.Files) > maxFiles {
		return fmt.Errorf("%w: too many subtitles, chapters or files", ErrManifest)
	}
	for i := range m.Subtitles {
		s := &m.Subtitles[i]
		if err := s.validate(names); err != nil {
			return err
		}
		if !Language(s.Language) || len(s.Label) > maxLabel {
			return fmt.Errorf("%w: subtitle %d", ErrManifest, i)
		}
	}
	last := int64(-1)
	for i, c := range m.Chapters {
		if c.StartMS <= last || c.StartMS >= m.DurationMS || c.Title == "" || len(c.Title) > maxLabel {
			return fmt.Errorf("%w: chapter %d", ErrManifest, i)
		}
		last = c.StartMS
	}
	for i := range m.Files {
		if err := m.Files[i].validate(names); err != nil {
			return err
		}
	}
	return nil
}

// periods checks the keys of a track that rotate: in order, the first of them
// the track's own.
func (t *TrackFiles) periods() error {
	if len(t.Keys) == 0 {
		return nil
	}
	if len(t.Keys) > maxPeriods || t.Keys[0].KID != t.KID {
		return fmt.Errorf("%w: keys of a track", ErrManifest)
	}
	for i := 1; i < len(t.Keys); i++ {
		if t.Keys[i].StartMS <= t.Keys[i-1].StartMS {
			return fmt.Errorf("%w: keys of a track", ErrManifest)
		}
	}
	return nil
}

// Language reports whether a name can be a language tag: letters and digits in
// parts with a dash between, 2 to 35 bytes. Source: RFC 5646 (its syntax only).
func Language(s string) bool {
	return len(s) >= 2 && len(s) <= 35 && s[0] != '-' && s[len(s)-1] != '-' &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
