package httpd

import (
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/trem"
)

// closingWords says what becomes of what the house has of a title when the shop
// is gone. Where its license says nothing, it keeps what it has.
func closingWords(held []trem.Held) []string {
	var out []string
	for _, h := range held {
		lic, err := license.Parse(h.Bytes)
		if err != nil || lic.Info().Parent != nil {
			continue
		}
		out = append(out, sunsetWords(lic.Info().Sunset)...)
	}
	return out
}

// sunsetWords puts a sunset into words: what it gives, and when.
func sunsetWords(s *license.Sunset) []string {
	if s == nil {
		return nil
	}
	mode := "bind"
	if s.Mode == license.SunsetRelease {
		mode = "file"
	}
	out := []string{say("closing."+mode, period(s.SilenceMS)) + " " + say("closing.time")}
	if s.FreeAfter != 0 {
		out = append([]string{say("closing."+mode+".day", dayOf(time.UnixMilli(s.FreeAfter).UTC()))}, out...)
	}
	return out
}
