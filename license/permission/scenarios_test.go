package permission_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/permission"
)

// scenario is a line of testdata/scenarios.txt: a usage of IEC TR 62636 in the
// words of the list, its text form, and a sentence for people.
type scenario struct{ name, text, sentence string }

func scenarios(t *testing.T) []scenario {
	t.Helper()
	data, err := os.ReadFile("testdata/scenarios.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []scenario
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 || f[0] == "" || !strings.HasSuffix(f[2], ".") {
			t.Fatalf("%q is not a name, a text form and a sentence", line)
		}
		out = append(out, scenario{f[0], f[1], f[2]})
	}
	return out
}

// Each scenario's text parses, encodes, decodes, and prints back as it stands.
func TestCode_TR62636_Scenarios(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.name, func(t *testing.T) {
			u, err := permission.Parse(encode(t, s.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := u.Text(); got != s.text {
				t.Errorf("got  %s\nwant %s", got, s.text)
			}
			again, err := permission.ParseText(u.Text())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(u, again); d != "" {
				t.Error(d)
			}
			if bad := u.UnknownCritical(0); len(bad) > 0 {
				t.Errorf("unknown: %v", bad)
			}
			if len(u.Words()) == 0 {
				t.Error("no words")
			}
		})
	}
}

// Each scenario grants what it says and nothing else, and none is missing.
func TestTR62636_Scenarios(t *testing.T) {
	want := map[string]string{
		"content purchase": "PLAY MOVE TRANSFER LEND", "rental with time limit": "PLAY", "rental with play limit": "PLAY", "subscription": "PLAY", "direct retrieval from a device": "PLAY",
		"unlimited play": "PLAY", "preview": "PLAY", "several permissions for one multipart content": "PLAY RENDER", "inheritance": "PLAY COPY TRANSFER LEND",
		"export of OMA DRM content": "PLAY EXPORT", "combined constraints": "PLAY", "FairPlay-style rules": "PLAY MOVE EXPORT", "CPRM-style rules": "PLAY COPY MOVE", "SAFIA-style rules": "PLAY MOVE",
		"ringtones": "PLAY", "download free with advertising": "PLAY COPY", "streaming free with advertising": "PLAY", "giveaways": "PLAY COPY MOVE TRANSFER", "coupons or points": "PLAY",
		"disclosure of private data": "PLAY RENDER", "nine copies with unlimited moves": "PLAY COPY MOVE", "game subscription": "",
	}
	got := map[string]string{}
	for _, s := range scenarios(t) {
		u, err := permission.Parse(encode(t, s.text))
		if err != nil {
			t.Fatal(err)
		}
		var grants []string
		for p := permission.Play; p <= permission.Export; p++ {
			if u.Grants(p) {
				grants = append(grants, p.String())
			}
		}
		got[s.name] = strings.Join(grants, " ")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
