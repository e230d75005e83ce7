package license_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

var updateSunset = flag.Bool("update-sunset", false, "write testdata/sunset.json")

// scalar is the P-256 key whose scalar is 32 times a byte.
func scalar(t testing.TB, b byte) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// spring is 2027-03-01T00:00:00Z, from which the notices of these tests stand.
const spring = int64(1803859200000)

func signedNotice(t testing.TB, n license.Notice) []byte {
	t.Helper()
	data, err := license.SignNotice(scalar(t, 7), n)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func standingOf(t testing.TB, notice []byte, since int64) []byte {
	t.Helper()
	data, err := license.SignStanding(scalar(t, 1), []byte("certificate"), notice, since)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func noticeVectors(t testing.TB) (point, notice, withdrawal, standing []byte) {
	t.Helper()
	point, err := license.NoticeKey(scalar(t, 7).Public())
	if err != nil {
		t.Fatal(err)
	}
	notice = signedNotice(t, license.Notice{Issuer: "shop.example", Scope: []ident.Content{"film-1"}, Effective: spring + license.NoticeAhead})
	if withdrawal, err = license.SignWithdrawal(scalar(t, 7), notice); err != nil {
		t.Fatal(err)
	}
	return point, notice, withdrawal, standingOf(t, notice, spring)
}

// TestSunset_WorkedExample: the page and the code make the same bytes.
func TestSunset_WorkedExample(t *testing.T) {
	text, err := os.ReadFile("../docs/spec/sunset.md")
	if err != nil {
		t.Fatal(err)
	}
	point, notice, withdrawal, standing := noticeVectors(t)
	for name, want := range map[string][]byte{"key": point, "notice": notice, "withdrawal": withdrawal, "standing": standing} {
		m := regexp.MustCompile("(?s)```hex " + name + "\n(.*?)```").FindSubmatch(text)
		if m == nil {
			t.Errorf("the page has no block %q: %x", name, want)
			continue
		}
		if got := strings.Join(strings.Fields(string(m[1])), ""); got != hex.EncodeToString(want) {
			t.Errorf("%s: the page says %s, the code %x", name, got, want)
		}
	}
	signer := scalar(t, 1)
	n, since, err := license.ParseStanding(standing, signer.Public())
	if err != nil || since != spring || n.Verify(point) != nil || n.Withdrawn(withdrawal, point) != nil {
		t.Errorf("%+v since %d: %v, %v", n, since, err, n.Withdrawn(withdrawal, point))
	}
}

// sunsetVector is a license's sunset, what is known, and whether it has come.
type sunsetVector struct {
	Name   string `json:"name"`
	Mode   uint64 `json:"mode"`
	Silent int64  `json:"silence_ms"`
	Free   int64  `json:"free_after"`

	Time     int64  `json:"time"`
	Head     int64  `json:"head"`
	Listed   bool   `json:"listed"`
	LastSeen int64  `json:"last_seen"`
	Flag     bool   `json:"flag"`
	Standing string `json:"standing"` // hexadecimal; empty = none

	Cause string `json:"cause"` // empty: not come
	From  int64  `json:"from"`  // known to come; 0 = not in sight
}

const year = int64(365 * 86400_000)

func sunsetVectors(t testing.TB) []sunsetVector {
	t.Helper()
	hexOf := func(n license.Notice, since int64) string {
		return hex.EncodeToString(standingOf(t, signedNotice(t, n), since))
	}
	all := license.Notice{Issuer: "shop.example", Effective: spring + license.NoticeAhead}
	film := all
	film.Scope = []ident.Content{"film-1"}
	other := all
	other.Scope = []ident.Content{"film-2"}
	foreign := all
	foreign.Issuer = "other.example"
	at := all.Effective
	base := func(name string, edit func(*sunsetVector)) sunsetVector {
		v := sunsetVector{Name: name, Mode: 2, Silent: year, Time: at, Head: at, Listed: true, LastSeen: spring, Flag: true, Standing: hexOf(all, spring)}
		edit(&v)
		return v
	}
	out := []sunsetVector{
		base("nothing is known", func(v *sunsetVector) { *v = sunsetVector{Mode: 1, Silent: year} }),
		base("a day before the date", func(v *sunsetVector) { v.Flag, v.Standing, v.Free = false, "", at+1 }),
		base("the date", func(v *sunsetVector) { v.Flag, v.Standing, v.Free = false, "", at }),
		base("the notice", func(*sunsetVector) {}),
		base("the notice, of this title", func(v *sunsetVector) { v.Standing = hexOf(film, spring) }),
		base("the notice, a state of a millisecond before", func(v *sunsetVector) { v.Head = at - 1 }),
		base("the notice, the time alone has come", func(v *sunsetVector) { v.Head, v.Time = spring, at+year }),
		base("the notice, without the flag", func(v *sunsetVector) { v.Flag = false }),
		base("the notice, of another day than the leaf says", func(v *sunsetVector) { v.LastSeen = spring + 1 }),
		base("the notice, of another title", func(v *sunsetVector) { v.Standing = hexOf(other, spring) }),
		base("the notice, of another issuer", func(v *sunsetVector) { v.Standing = hexOf(foreign, spring) }),
		base("silence of a year less a millisecond", func(v *sunsetVector) { v.Flag, v.Standing, v.Head = false, "", spring+year-1 }),
		base("silence of a year", func(v *sunsetVector) { v.Flag, v.Standing, v.Head = false, "", spring+year }),
		base("an issuer that is not listed", func(v *sunsetVector) {
			v.Flag, v.Standing, v.Head, v.Listed, v.LastSeen = false, "", spring+2*year, false, 0
		}),
		base("no state for two years less a millisecond", func(v *sunsetVector) { v.Flag, v.Standing, v.Head, v.Time = false, "", spring, spring+2*year-1 }),
		base("no state for two years", func(v *sunsetVector) { v.Flag, v.Standing, v.Head, v.Time = false, "", spring, spring+2*year }),
	}
	for i := range out {
		cause, _, from := out[i].judge(t)
		out[i].Cause, out[i].From = string(cause), from
	}
	return out
}

// judge is what the code says of a vector.
func (v *sunsetVector) judge(t testing.TB) (license.SunsetCause, bool, int64) {
	t.Helper()
	point, err := license.NoticeKey(scalar(t, 7).Public())
	if err != nil {
		t.Fatal(err)
	}
	info := license.Info{Issuer: "shop.example", Content: "film-1", Sunset: &license.Sunset{Mode: v.Mode, SilenceMS: v.Silent, NoticeKey: point, FreeAfter: v.Free}}
	e := license.SunsetEvidence{Time: v.Time, Head: v.Head, Listed: v.Listed, LastSeen: v.LastSeen, Flag: v.Flag}
	if v.Standing != "" {
		data, err := hex.DecodeString(v.Standing)
		if err == nil {
			e.Notice, e.Since, err = license.ParseStanding(data, scalar(t, 1).Public())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cause, ok := info.SunsetBy(e)
	return cause, ok, info.SunsetFrom(e)
}

// TestSunset_2_Vectors: what proves a sunset, and what does not.
func TestSunset_2_Vectors(t *testing.T) {
	const name = "testdata/sunset.json"
	type file struct {
		Source  string         `json:"source"`
		About   string         `json:"about"`
		Vectors []sunsetVector `json:"vectors"`
	}
	if *updateSunset {
		data, err := json.MarshalIndent(file{
			Source: "docs/spec/sunset.md", About: "Whether the sunset of a license of issuer shop.example for film-1 has come, by what is known; keys as in the worked example.", Vectors: sunsetVectors(t),
		}, "", " ")
		if err == nil {
			err = os.WriteFile(name, append(data, '\n'), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(name)
	var f file
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	causes := map[string]int{}
	for _, v := range f.Vectors {
		cause, ok, from := v.judge(t)
		if string(cause) != v.Cause || ok != (v.Cause != "") || from != v.From {
			t.Errorf("%s: %q %v from %d, want %q from %d", v.Name, cause, ok, from, v.Cause, v.From)
		}
		causes[v.Cause]++
	}
	want := map[string]int{"": 11, "FREE_AFTER": 1, "NOTICE": 2, "SILENCE": 1, "NO_STATE": 1}
	for cause, n := range want {
		if causes[cause] != n {
			t.Errorf("%d vectors of cause %q, want %d", causes[cause], cause, n)
		}
	}
}

// TestSunset_3_NoticesThatDoNotHold are refused when they are read.
func TestSunset_3_NoticesThatDoNotHold(t *testing.T) {
	point, notice, withdrawal, standing := noticeVectors(t)
	other, err := license.NoticeKey(scalar(t, 8).Public())
	if err != nil {
		t.Fatal(err)
	}
	n, err := license.ParseNotice(notice)
	if err != nil {
		t.Fatal(err)
	}
	signer := scalar(t, 1).Public()
	soon := standingOf(t, notice, spring+1)
	for name, got := range map[string]error{
		"another key":          n.Verify(other),
		"no key":               n.Verify(nil),
		"withdrawal by notice": n.Withdrawn(notice, point),
		"withdrawn by another": n.Withdrawn(withdrawal, other),
		"in less than 30 days": errOf(license.ParseStanding(soon, signer)),
		"another authority":    errOf(license.ParseStanding(standing, scalar(t, 2).Public())),
		"cut":                  errOf(license.ParseStanding(standing[:len(standing)-1], signer)),
		"a notice":             errOf(license.ParseStanding(notice, signer)),
	} {
		if !errors.Is(got, license.ErrNotice) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, x := range map[string]license.Notice{
		"no issuer": {Effective: 1}, "no time": {Issuer: "a"}, "too many titles": {Issuer: "a", Effective: 1, Scope: make([]ident.Content, license.MaxScope+1)},
	} {
		if _, err := license.SignNotice(scalar(t, 7), x); !errors.Is(err, license.ErrNotice) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func errOf(_ *license.SignedNotice, _ int64, err error) error { return err }

// TestSunset_4_ReboundIsForOneDevice: what a house may derive, and what a module takes.
func TestSunset_4_ReboundIsForOneDevice(t *testing.T) {
	key := scalar(t, 7)
	derive := func(terms string, mode uint64) (*license.Info, error) {
		info := newInfo(t, terms)
		if info.Policy.Duration = hour; mode != 0 {
			point, err := license.NoticeKey(key.Public())
			if err != nil {
				t.Fatal(err)
			}
			info.Sunset = &license.Sunset{Mode: mode, SilenceMS: year, NoticeKey: point}
		}
		data, err := license.Sign(key, []byte("certificate"), info)
		if err != nil {
			t.Fatal(err)
		}
		lic, err := license.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		return license.Derive(lic, license.Derivation{Kind: license.KindRebind, Device: ident.Device{1}, Index: 3, Now: day0 + 1})
	}
	child, err := derive("PLAY; COPY=FREE; MOVE=DOMAIN; LEND; EXPORT=clearkey", license.SunsetRebind)
	if err != nil {
		t.Fatal(err)
	}
	u, err := child.Units()
	if err != nil || u.Text() != "PLAY" || child.Subject != license.DeviceSubject(ident.Device{1}) || child.Sunset != nil || child.Parent.Index != 3 {
		t.Errorf("%s for %v, %v", u.Text(), child.Subject, err)
	}
	for name, tc := range map[string]struct {
		terms string
		mode  uint64
	}{
		"without a sunset": {"PLAY", 0}, "released, not re-bound": {"PLAY", license.SunsetRelease}, "counted": {"PLAY; PLAY_COUNT=2", 1},
		"accumulated": {"PLAY; ACCUMULATED=1h", 1}, "from the first use": {"PLAY; INTERVAL=48h", 1},
	} {
		if _, err := derive(tc.terms, tc.mode); !errors.Is(err, license.ErrNoRight) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzNotice: what is read is signed again to the same bytes but for the signature.
func FuzzNotice(f *testing.F) {
	_, notice, withdrawal, standing := noticeVectors(f)
	for _, b := range [][]byte{notice, withdrawal, standing, {}, {0x84}} {
		f.Add(b)
	}
	signer, point := scalar(f, 1).Public(), []byte(nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := license.ParseNotice(data); err == nil {
			if again := signedNotice(t, n.Notice); len(again) != len(data) {
				t.Errorf("%x", data)
			}
			_ = n.Verify(point)
			_ = n.Withdrawn(data, point)
		}
		_, _, _ = license.ParseStanding(data, signer)
	})
}
