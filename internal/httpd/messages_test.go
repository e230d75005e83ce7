package httpd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	actions = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	spoken  = regexp.MustCompile(`\s(?:aria-label|alt|title|placeholder|lang|data-(?:ask|confirm|say-[a-z]+|day|line|nothing|yes|less|no|single|many))="([^"]*)"`)
	anyTag  = regexp.MustCompile(`(?s)<[^>]*>`)
	letters = regexp.MustCompile(`\pL{2,}`)
	typed   = regexp.MustCompile(`https?://\S+|/srv/films`) // of what is typed
	typedIn = regexp.MustCompile(`(?s)<code>.*?</code>`)
	notes   = regexp.MustCompile(`(?m)//.*$`)
	inCode  = regexp.MustCompile(`\b(?:say|maybe|many|Say|SayMany)(?: |\()"([^"]+)"`)
)

// prose is what a template says that does not come from the messages.
func prose(template string) []string {
	text := typedIn.ReplaceAllString(actions.ReplaceAllString(template, ""), "")
	var out []string
	for _, m := range spoken.FindAllStringSubmatch(text, -1) {
		out = append(out, letters.FindAllString(typed.ReplaceAllString(m[1], ""), -1)...)
	}
	return append(out, letters.FindAllString(anyTag.ReplaceAllString(text, ""), -1)...)
}

func TestMessages_TemplatesHaveNoProse(t *testing.T) {
	files, err := filepath.Glob("templates/*.html")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range prose(string(data)) {
			if word != "Lares" { // the name
				t.Errorf("%s says %q by itself: it belongs into %s", name, word, spokenFiles)
			}
		}
	}
	for _, bad := range []string{`<p>Hello</p>`, `<a title="Hello there">`, `<p>{{say "x"}} more</p>`, `<form data-ask="Really?">`, `<html lang="en">`} {
		if len(prose(bad)) == 0 {
			t.Errorf("%s is taken", bad)
		}
	}
}

// html/template takes a name that begins with data-on for a script's, and would put
// quotation marks around what it says.
func TestMessages_NoAttributeIsTakenForAScript(t *testing.T) {
	if m := regexp.MustCompile(`\sdata-on[a-z-]*="\{\{`).FindString(sources(t)); m != "" {
		t.Errorf("a template has %s", m)
	}
}

// Scripts say nothing by themselves: what they show has come with the page.
func TestMessages_ScriptsHaveNoProse(t *testing.T) {
	for _, name := range []string{"app.js", "live.js", "player.js", "simulator.js", "lose.js"} {
		data, err := os.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`["\x60]([A-Z][a-z]+[^"\x60]* [^"\x60]*)["\x60]`).FindAllStringSubmatch(notes.ReplaceAllString(string(data), ""), -1) {
			if !regexp.MustCompile(`^Content-Type`).MatchString(m[1]) {
				t.Errorf("%s says %q by itself", name, m[1])
			}
		}
	}
}

// sources are the texts in which messages are used.
func sources(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, pattern := range []string{"templates/*.html", "*.go", "../cli/agent.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(data)
		}
	}
	return b.String()
}

// families are keys whose ends are chosen while the program runs.
var families = regexp.MustCompile(`^(browser|reason|remedy|source|confirm|clock|tier|month|weekday|nav|said|hand|health|mark|line|step|check|fault|setup\.step|trust|closing|waits|sim\.(action|step|note)|console\.(said|state|counted|title|nav|did|times))\.|^person\.(adult|child|guest)$`)

func TestMessages_EveryKeyIsThereAndUsed(t *testing.T) {
	all, text := english(), sources(t)
	used := map[string]bool{}
	for _, m := range inCode.FindAllStringSubmatch(text, -1) {
		used[m[1]], used[m[1]+".one"], used[m[1]+".many"] = true, true, true
		if strings.HasSuffix(m[1], ".") { // a family
			continue
		}
		_, plain := all[m[1]]
		_, one := all[m[1]+".one"]
		_, more := all[m[1]+".many"]
		if !plain && (!one || !more) {
			t.Errorf("there is no message %q", m[1])
		}
	}
	if len(used) < 300 {
		t.Fatalf("%d messages are used", len(used)/3)
	}
	for key := range all {
		if !used[key] && !families.MatchString(key) {
			t.Errorf("nobody says %q", key)
		}
	}
}

func TestMessages_FileIsRead(t *testing.T) {
	text, err := messageText()
	if err != nil {
		t.Fatal(err)
	}
	if m, err := parseMessages(text); err != nil || len(m) < 800 {
		t.Errorf("%d messages, %v", len(m), err)
	}
	for _, bad := range []string{"a", "a =", "a = ", "A b = c", "a = b\na = c", "= b"} {
		if _, err := parseMessages(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if got := say("report.until", "Bob", "all", "noon"); got != "It is told Bob: all, until noon." {
		t.Errorf("say: %q", got)
	}
	if got := many("plays-left", 1) + many("plays-left", 3) + say("no.such"); got != "1 play left3 plays leftno.such" {
		t.Errorf("many: %q", got)
	}
}

// What people read has no term of the standard, but behind "Details"; operators know them.
func TestMessages_SpeakToPeople(t *testing.T) {
	terms := regexp.MustCompile(`(?i)\b(trem|licen[cs]es?|grants?|issuer|epoch|domain|generation|allowance|adapter|clear ?key|kid|sltp|lrp|revocation|sunset|entitlement|drm)\b`)
	details := regexp.MustCompile(`^(console\.|title\.details|health\.(module|level|domain|generation|epoch|wall))`)
	for key, text := range english() {
		if w := terms.FindString(text); w != "" && !details.MatchString(key) {
			t.Errorf("%s says %q", key, w)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add("# note\na.b = c {0}\n")
	f.Add("a = b\na = c")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMessages(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for key, words := range m {
			b.WriteString(key + " = " + words + "\n")
		}
		again, err := parseMessages(b.String())
		if err != nil || len(again) != len(m) {
			t.Errorf("%q is read as %v, and again as %v (%v)", text, m, again, err)
		}
	})
}

// FuzzInvitation: what is taken has an address of HTTP and a code of letters, digits and
// hyphens.
func FuzzInvitation(f *testing.F) {
	f.Add("http://ca.example:7700 3F9K-22QX", "")
	f.Add("3F9K-22QX", "http://ca.example")
	f.Add("https://ca.example/#3F9K", "")
	f.Fuzz(func(t *testing.T, text, known string) {
		authority, voucher, ok := parseInvitation(text, known)
		if !ok {
			return
		}
		if !regexp.MustCompile(`^[0-9A-Za-z-]+$`).MatchString(voucher) || authority != known && !strings.HasPrefix(authority, "http") {
			t.Errorf("%q gives %q and %q", text, authority, voucher)
		}
	})
}
