package cli

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/trem"
)

// standardWords are the standard's terms that people need not know: the home
// and device commands do not say them outside --json.
// Source: docs/spec/home-api.md, "Words for people".
var standardWords = regexp.MustCompile(`(?i)\b(trem|licen[cs]es?|grants?|issuers?|epochs?|domains?|generation|allowances?|adapter|clear ?key|kids?|sltp|lrp|revocation|sunset|entitlement|drm|play_count|end_time)\b`)

// programNames are names that stay what they are in a text for people: of a
// program, of a flag, and codes in capitals in front of a sentence.
var programNames = regexp.MustCompile(`lares-trem|--issuer\b|(?m)^\s*[A-Z_]+: `)

func peopleRead(t *testing.T, where, text string) {
	t.Helper()
	if w := standardWords.FindString(programNames.ReplaceAllString(text, "")); w != "" {
		t.Errorf("%s says %q: %s", where, w, text)
	}
}

// TestWords_HelpOfHomeAndDevice reads every help text of both groups.
func TestWords_HelpOfHomeAndDevice(t *testing.T) {
	n := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		n++
		for _, text := range []string{c.Use, c.Short, c.Long, c.Example} {
			peopleRead(t, c.CommandPath(), text)
		}
		peopleRead(t, c.CommandPath()+" flags", c.LocalFlags().FlagUsages())
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	env := &Env{Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer)}
	walk(newHomeCmd(env))
	walk(newDeviceCmd(env))
	if n < 15 {
		t.Errorf("%d commands were read", n)
	}
}

// TestWords_Decisions puts every code, remedy and thing to confirm into words.
func TestWords_Decisions(t *testing.T) {
	left := uint64(1)
	d := license.Decision{Tier: license.Tier(3), Counters: license.Counters{PlaysLeft: &left}}
	codes := []license.Code{
		license.NoGrant, license.NotYet, license.Expired, license.IntervalOver, license.CountExhausted, license.TimeExhausted, license.ClockStale,
		license.ClockBehind, license.ClockAhead, license.StateClockConflict, license.StateRolledBack, license.Region, license.OutputCode, license.KeyNotGranted,
		license.TREMLevel, license.SlotFull, license.StatusStale, license.RevokedCode, license.LockedInMove, license.LentOut, license.MovedAway,
		license.Generation, license.DestNotAllowed, license.NeedsConfirm, license.UnknownCritical, license.BadSignature, license.SubjectMismatch, license.SunsetCode, license.PersonCode,
	}
	unknown := httpd.WordsOf(license.Reason{Code: "NOBODY_KNOWS"}).Sentence
	for _, c := range codes {
		r := license.Reason{Code: c, Constraint: "REV_MIN_EPOCH", Have: "domain generation 1", Need: "a license that grants it", Closed: true}
		if c == license.ClockAhead {
			r.Have = "the system's clock says 2026-01-05T00:00:00Z, the last proven time is 2026-01-01T00:00:00Z" // it is said
		}
		if httpd.WordsOf(r).Sentence == unknown {
			t.Errorf("%s has no words", c)
		}
		d.Reasons = append(d.Reasons, r)
	}
	for _, m := range []license.Remedy{
		license.SyncTime, license.Renew, license.ConnectDisplay, license.Takeover, license.MoveInstead, license.ReturnFirst, license.ResumeMove,
		license.WaitUntil, license.Buy, license.Contact, license.AskAdult,
	} {
		if httpd.WordsOf(license.Reason{Remedy: m}).Help == "" {
			t.Errorf("%s has no words", m)
		}
		d.Reasons = append(d.Reasons, license.Reason{Code: license.NotYet, Closed: true, Remedy: m, Earliest: 1_800_000_000_000})
	}
	for _, k := range []license.ConfirmKind{license.StartsInterval, license.LastPlay, license.Metered} {
		d.Confirm = append(d.Confirm, license.Confirm{Kind: k, Until: 1_800_000_000_000})
	}
	for _, allow := range []bool{false, true} {
		d.Allow = allow
		var out bytes.Buffer
		if err := explain(&out, &d); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			peopleRead(t, "explain", line)
		}
		for _, c := range codes {
			if !strings.Contains(out.String(), string(c)+": ") {
				t.Errorf("%s does not stand in front of its sentence", c)
			}
		}
		if !strings.Contains(out.String(), "Add --yes to begin.") || !strings.Contains(out.String(), "Plays left: 1.") {
			t.Errorf("it says: %s", out.String())
		}
	}
}

// TestWords_RefusedRequests puts every code of a source's refusal into words.
func TestWords_RefusedRequests(t *testing.T) {
	seen := map[string]bool{}
	for c := sltp.ErrorCode(1); !strings.HasPrefix(c.String(), "ERROR_"); c++ {
		s := httpd.SourceWords(c.String())
		peopleRead(t, c.String(), s)
		if seen[s] {
			t.Errorf("%s has the words of another: %s", c, s)
		}
		seen[s] = true
	}
	if len(seen) < 13 {
		t.Errorf("%d codes were read", len(seen))
	}
}

// TestWords_DeviceList says what is held, without its permission code.
func TestWords_DeviceList(t *testing.T) {
	one, two := uint64(1), uint64(2)
	var out bytes.Buffer
	err := listHeld(&out, []trem.Held{
		{Content: "film", Terms: "PLAY; EXPORT=clearkey"},
		{Content: "rental", Terms: "PLAY; PLAY_COUNT=2; INTERVAL=48h", Counters: license.Counters{PlaysLeft: &two}},
		{Content: "aside", Kind: 3, Terms: "PLAY; PLAY_COUNT=1", Counters: license.Counters{PlaysLeft: &one}, License: ident.License{1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		peopleRead(t, "device list", line)
	}
	for _, want := range []string{"film ", "no limit ", "Your copy\n", "2 plays left ", "Rental\n", "1 play left ", "Plays set aside for this device\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the list lacks %q: %s", want, out.String())
		}
	}
}
