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
	what := "your house can bind it to its new devices by itself, four a year, and the recovery code brings it back after a loss."
	day := "Your house needs the shop no more"
	if s.Mode == license.SunsetRelease {
		what = "your house can make an ordinary file of it, which plays everywhere and asks nobody."
		day = "It becomes an ordinary file"
	}
	out := []string{
		"When the shop announces its end, or is not heard of for " + period(s.SilenceMS) + ", " + what +
			" Only a signed time counts for this, not the clock of the house.",
	}
	if s.FreeAfter != 0 {
		out = append([]string{day + " on " + time.UnixMilli(s.FreeAfter).UTC().Format("2 Jan 2006") + ", whatever the shop does."}, out...)
	}
	return out
}
