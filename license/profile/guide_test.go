package profile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/license/profile"
)

const (
	guide   = "docs/guide/profiles.md"
	stories = "testdata/scenario/"
)

// timed is a license with an end, of a charge model.
func timed(t *testing.T, charge permission.Charge) *license.License {
	t.Helper()
	code, err := (&permission.Units{
		Profile: permission.Profile1, Version: 1, Classification: &permission.ClassificationUnit{Charge: charge},
		Usage: []permission.UsageUnit{{Kind: permission.Playback, EndTime: 1 << 50}},
	}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat("\x07", 32)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := license.Sign(key, []byte("certificate"), &license.Info{
		Format: license.Format, ID: ident.License{1}, Issuer: "shop.example", IssuedAt: 1, Content: "film-1", Version: 1, Subject: license.DeviceSubject(ident.Device{1}), Code: code,
		Keys: []license.KeyRef{{KID: ident.Key{1}, Tier: license.TierHD}},
	})
	if err != nil {
		t.Fatal(err)
	}
	lic, err := license.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return lic
}

// section is what the guide says of a profile.
func section(t *testing.T, name string) string {
	t.Helper()
	_, text, ok := strings.Cut(read(t, guide), "\n## "+name+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", guide, name)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// figures is the line of figures that a section begins with.
func figures(p *profile.Profile) string {
	out := []string{
		fmt.Sprintf("level SL%d", p.Level), fmt.Sprintf("anchor A%d", p.Anchor),
		fmt.Sprintf("grace %d h for subscriptions and %d h for rentals", p.Grace[permission.ChargeSubscription]/hour, p.Grace[permission.ChargeRental]/hour),
		fmt.Sprintf("offline %d h", p.Offline/hour),
	}
	if p.RTC {
		out = append(out, "RTC")
	} else {
		out = append(out, "no RTC")
	}
	if p.PowerCut {
		out = append(out, "power cuts")
	}
	out = append(out, "region judged at "+string(p.Region))
	switch p.Households {
	case 0:
		out = append(out, "any number of households")
	case 1:
		out = append(out, "1 household")
	default:
		out = append(out, fmt.Sprintf("%d households", p.Households))
	}
	if p.Alone {
		out = append(out, "alone")
	}
	if p.Sale == profile.WithDevice {
		out = append(out, "sold with its licenses")
	}
	return "Figures: " + strings.Join(out, ", ") + "."
}

// The figures of the guide are the data, in the line and in the prose.
func TestGuide_FiguresAreTheData(t *testing.T) {
	spans := regexp.MustCompile(`(\d+) (hours?|days?)\b`)
	for _, p := range profile.All() {
		text := section(t, p.Name)
		if !strings.HasPrefix(strings.TrimSpace(text), figures(&p)+"\n") {
			t.Errorf("the section on %s does not begin with\n%s", p.Name, figures(&p))
		}
		have := []int64{p.Offline, p.Grace[permission.ChargeSubscription], p.Grace[permission.ChargeRental]}
		prose := regexp.MustCompile(`(?m)^\|.*$`).ReplaceAllString(text, "") // a story has figures of its own
		for _, m := range spans.FindAllStringSubmatch(prose, -1) {
			n, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if n *= hour; m[2][0] == 'd' {
				n *= 24
			}
			if !slices.Contains(have, n) {
				t.Errorf("the section on %s says %q, which is no figure of the profile", p.Name, m[0])
			}
		}
	}
}

// Each story of a profile is in its section, under its own title, and is told
// with that profile; what the guide names otherwise is there, too.
func TestGuide_StoriesAreThere(t *testing.T) {
	whole := read(t, guide)
	for _, m := range regexp.MustCompile(`lares license simulate (\S+?)[\x60\n]`).FindAllStringSubmatch(whole, -1) {
		if _, err := os.Stat("../../" + m[1]); err != nil || !strings.HasPrefix(m[1], stories) {
			t.Errorf("the guide runs %s: %v", m[1], err)
		}
	}
	for _, p := range profile.All() {
		text := section(t, p.Name)
		if !strings.Contains(text, "Try first: `lares license simulate "+stories+"profile-"+p.Name+"-") {
			t.Errorf("%s has no story to try first", p.Name)
		}
		told := map[string]string{}
		for _, m := range regexp.MustCompile(`(?m)^\| \[[a-z-]+\]\(\.\./\.\./(\S+\.txt)\) \| (.*) \|$`).FindAllStringSubmatch(text, -1) {
			told[m[1]] = m[2]
		}
		files, err := filepath.Glob("../../" + stories + "profile-" + p.Name + "-*.txt")
		if err != nil || len(files) < 10 || len(files) != len(told) {
			t.Errorf("%s: %d stories, %d in the guide; want the same, at least 10 (%v)", p.Name, len(files), len(told), err)
		}
		for _, f := range files {
			name := stories + filepath.Base(f)
			story := read(t, name)
			if told[name] == "" || !strings.HasPrefix(story, "title: "+told[name]+"\n") {
				t.Errorf("%s: the guide calls it %q", name, told[name])
			}
			if !strings.Contains(story, "\nprofile: "+p.Name+"\n") {
				t.Errorf("%s is not told with the profile", name)
			}
			if _, err := os.Stat(strings.TrimSuffix(f, ".txt") + ".json"); err != nil {
				t.Error(err)
			}
		}
	}
}
