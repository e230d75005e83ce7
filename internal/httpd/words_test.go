package httpd_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// internalWords are the standard's terms that people need not know.
// Source: docs/spec/home-api.md, "Words for people".
var internalWords = regexp.MustCompile(`(?i)\b(trem|licen[cs]e|grants?|issuer|epoch|domain|generation|allowance|adapter|clear ?key|kid|sltp|lrp|revocation|sunset|entitlement|drm)\b`)

var (
	detailsBlock = regexp.MustCompile(`(?s)<details class="tech">.*?</details>`)
	tags         = regexp.MustCompile(`(?s)<(script|style|head)\b.*?</(script|style|head)>|<[^>]*>`)
)

// pageText is what a page says outside "Details", with what screen readers say.
func pageText(body []byte) string {
	body = detailsBlock.ReplaceAll(body, nil)
	var labels []string
	for _, m := range regexp.MustCompile(`(?:aria-label|alt|title|data-confirm)="([^"]*)"`).FindAllSubmatch(body, -1) {
		labels = append(labels, string(m[1]))
	}
	return string(tags.ReplaceAll(body, []byte(" "))) + " " + strings.Join(labels, " ")
}

// everything has all reasons and confirms there are.
func everything() license.Decision {
	n, ms := uint64(1), int64(90_000)
	d := license.Decision{Counters: license.Counters{PlaysLeft: &n, MSLeft: &ms}}
	for _, c := range []license.Code{
		license.NoGrant, license.NotYet, license.Expired, license.IntervalOver, license.CountExhausted, license.TimeExhausted, license.ClockStale,
		license.ClockBehind, license.StateClockConflict, license.StateRolledBack, license.Region, license.OutputCode, license.KeyNotGranted,
		license.TREMLevel, license.SlotFull, license.StatusStale, license.RevokedCode, license.LockedInMove, license.LentOut, license.MovedAway,
		license.Generation, license.DestNotAllowed, license.NeedsConfirm, license.UnknownCritical, license.BadSignature, license.SubjectMismatch, license.SunsetCode,
	} {
		d.Reasons = append(d.Reasons, license.Reason{Code: c, Closed: true, Earliest: 1_800_000_000_000, Remedy: license.SyncTime, Constraint: "licence", Have: "epoch 1", Need: "epoch 2"})
	}
	for _, r := range []license.Remedy{license.Renew, license.ConnectDisplay, license.Takeover, license.MoveInstead, license.ReturnFirst, license.ResumeMove, license.WaitUntil, license.Buy, license.Contact} {
		d.Reasons = append(d.Reasons, license.Reason{Code: license.OutputCode, Closed: true, Remedy: r})
	}
	for _, k := range []license.ConfirmKind{license.StartsInterval, license.LastPlay, license.Metered} {
		d.Confirm = append(d.Confirm, license.Confirm{Kind: k, Until: 1_800_000_000_000})
	}
	return d
}

func TestHTTP_PagesSpeakToPeople(t *testing.T) {
	srv, h, module := house(t, cenc.SchemeCENC)
	module.Held = []trem.Held{{License: ident.License{1}, Content: filmPath, Issuer: "shop.example", Terms: "PLAY; PLAY_COUNT=2"}}
	pair(t, srv.URL, "Tablet")
	p, err := h.Play(t.Context(), home.PlayRequest{Content: filmPath})
	if err != nil {
		t.Fatal(err)
	}
	pages := []string{"/", "/title/" + filmPath, "/devices", "/sessions", "/health", "/watch/" + p.ID, "/nothing"}
	for _, allow := range []bool{true, false} {
		module.Decide = func(trem.Ask) license.Decision {
			d := everything()
			d.Allow = allow
			return d
		}
		for _, page := range pages {
			res, body := get(t, "GET", srv.URL+page, nil)
			if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
				t.Errorf("%s is %s", page, res.Header.Get("Content-Type"))
			}
			if w := internalWords.FindString(pageText(body)); w != "" {
				t.Errorf("%s (allowed %v) says %q", page, allow, w)
			}
		}
	}
	_, body := get(t, "GET", srv.URL+"/title/"+filmPath, nil)
	for _, want := range []string{"Rental", "I do not know the time: connect to the house once.", "It was brought up to date", "1 play left"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the title's page lacks %q", want)
		}
	}
}
