package httpd_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/httpd"
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
		license.ClockBehind, license.ClockAhead, license.StateClockConflict, license.StateRolledBack, license.Region, license.OutputCode, license.KeyNotGranted,
		license.TREMLevel, license.SlotFull, license.StatusStale, license.RevokedCode, license.LockedInMove, license.LentOut, license.MovedAway,
		license.Generation, license.DestNotAllowed, license.NeedsConfirm, license.UnknownCritical, license.BadSignature, license.SubjectMismatch, license.SunsetCode, license.PersonCode,
	} {
		d.Reasons = append(d.Reasons, license.Reason{Code: c, Closed: true, Earliest: 1_800_000_000_000, Remedy: license.SyncTime, Constraint: "licence", Have: "epoch 1", Need: "epoch 2"})
	}
	for _, r := range []license.Remedy{license.Renew, license.ConnectDisplay, license.Takeover, license.MoveInstead, license.ReturnFirst, license.ResumeMove, license.WaitUntil, license.Buy, license.Contact, license.AskAdult} {
		d.Reasons = append(d.Reasons, license.Reason{Code: license.OutputCode, Closed: true, Remedy: r})
	}
	for _, x := range []license.Reason{
		{Code: license.OutputCode, Constraint: "EXPORT"},
		{Code: license.OutputCode, Constraint: "OVERLAY"},
		{Code: license.NoGrant, Constraint: "PART"},
		{Code: license.NoGrant, Constraint: "TIMELINE"},
		{Code: license.NoGrant, Constraint: "LEND_TIME"},
		{Code: license.Expired, Constraint: "RENEWAL"},
		{Code: license.NotYet, Constraint: "TRANSFER_COOLDOWN"},
		{Code: license.CountExhausted, Constraint: "COPY_COUNT"},
		{Code: license.CountExhausted, Constraint: "TRANSFER"},
		{Code: license.TREMLevel, Constraint: "DEST_LEVEL"},
		{Code: license.TREMLevel, Constraint: "DEST_ANCHOR"},
		{Code: license.DestNotAllowed, Constraint: "COUNTERSIGN"},
		{Code: license.DestNotAllowed, Constraint: "ENCRYPTION"},
		{Code: license.DestNotAllowed, Constraint: "RENDERER"},
		{Code: license.SubjectMismatch, Constraint: "MEMBERSHIP"},
		{Code: license.Region, Constraint: "UNKNOWN"},
		{Code: license.Region, Constraint: "ROAM_DAYS"},
		{Code: license.NeedsConfirm, Constraint: "METERED"},
		{Code: license.LentOut, Constraint: "LEND_COUNT"},
		{Code: license.PersonCode, Constraint: "RATING"},
		{Code: license.PersonCode, Constraint: "HOURS"},
		{Code: license.PersonCode, Constraint: "HANDLING"},
	} {
		x.Closed, x.Earliest = true, 1_800_000_000_000
		d.Reasons = append(d.Reasons, x)
	}
	for _, k := range []license.ConfirmKind{license.StartsInterval, license.LastPlay, license.Metered} {
		d.Confirm = append(d.Confirm, license.Confirm{Kind: k, Until: 1_800_000_000_000, What: "MINUTES", To: "the shop"})
	}
	return d
}

// Every constraint that has words of its own is said by them, not by its code's.
func TestWords_ConstraintsAreSaidExactly(t *testing.T) {
	said := map[string]bool{}
	d := everything()
	for _, r := range d.Reasons {
		w := httpd.WordsOf(r)
		if w.Sentence == "" || internalWords.MatchString(w.Sentence+" "+w.Help) {
			t.Errorf("%s/%s: %q %q", r.Code, r.Constraint, w.Sentence, w.Help)
		}
		said[w.Sentence] = true
	}
	if len(said) != 29+22 {
		t.Errorf("%d different sentences for 29 codes and 22 constraints", len(said))
	}
	if got := strings.Join(httpd.ConfirmsOf(&d), " "); !strings.Contains(got, "It is told the shop: how many minutes you watch, until ") {
		t.Errorf("confirms: %s", got)
	}
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
	for _, want := range []string{"Rental", "I do not know the time: connect to the house once.", "This player was set back", "1 play left"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the title's page lacks %q", want)
		}
	}
}
