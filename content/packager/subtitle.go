package packager

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lares-drm/lares/content"
)

// maxSubtitle bounds a WebVTT file, in bytes. Source: local.
const maxSubtitle = 8 << 20

// Subtitle is a WebVTT file to pack. It stays in the clear.
type Subtitle struct {
	Path     string
	Language string // RFC 5646 or ISO 639-2; required
	Label    string // for people; default: the language
}

// subtitles copies the WebVTT files into the folder.
func (p *packer) subtitles() error {
	for _, s := range p.cfg.Subtitles {
		b, err := os.ReadFile(s.Path)
		if err != nil {
			return err
		}
		if err := webVTT(b); err != nil {
			return fmt.Errorf("%s: %w", s.Path, err)
		}
		if s.Label == "" {
			s.Label = s.Language
		}
		base := "subs/" + strings.ToLower(s.Language)
		name := base + ".vtt"
		for n := 2; ; n++ {
			if _, used := p.manifest.File(name); !used {
				break
			}
			name = base + "-" + strconv.Itoa(n) + ".vtt"
		}
		f, err := p.write(name, b)
		if err != nil {
			return err
		}
		p.manifest.Subtitles = append(p.manifest.Subtitles, content.Subtitle{File: f, Language: s.Language, Label: s.Label})
	}
	return nil
}

// webVTT checks that a file begins as WebVTT does; what its cues say is the
// player's to read. Source: W3C WebVTT, 4.1.
func webVTT(b []byte) error {
	switch head := bytes.TrimPrefix(b, []byte("\ufeff")); {
	case len(b) > maxSubtitle:
		return fmt.Errorf("%w: subtitles over %d bytes", ErrInput, maxSubtitle)
	case !utf8.Valid(b) || !bytes.HasPrefix(head, []byte("WEBVTT")) || len(head) > 6 && !bytes.ContainsAny(head[6:7], " \t\r\n"):
		return fmt.Errorf("%w: not WebVTT subtitles", ErrInput)
	}
	return nil
}
