package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/internal/care"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// demoTitle is one title of the demo's shop.
type demoTitle struct {
	id     ident.Content
	title  string
	scheme string
	terms  string
	kind   string
	uhd    bool // packed with the UHD tier
}

// The demo's titles: the same film under eight rights.
const (
	bought     = ident.Content("lares-film")           // until a day
	rented     = ident.Content("lares-film-rental")    // not begun
	running    = ident.Content("lares-film-running")   // begun
	lastPlay   = ident.Content("lares-film-last-play") // one play left
	shared     = ident.Content("lares-film-shared")    // lent to the tablet
	borrowed   = ident.Content("lares-film-borrowed")  // until Sunday
	boughtCBCS = ident.Content("lares-film-cbcs")      // UHD on protected screens only
	stranded   = ident.Content("lares-film-stranded")  // moved to a device that was revoked then
)

// What the shop says of them. %s are times.
const (
	purchase    = "PLAY; END_TIME=%s; EXPORT=clearkey"
	rental      = "PLAY; START_TIME=%s; END_TIME=%s; PLAY_COUNT=2; INTERVAL=48h; EXPORT=clearkey; MIN_ANCHOR=0"
	loan        = "PLAY; END_TIME=%s; CHARGE=LOAN; EXPORT=clearkey; MIN_ANCHOR=0"
	single      = "PLAY; PLAY_COUNT=1; EXPORT=clearkey; MIN_ANCHOR=0"
	sharing     = "PLAY; MOVE=DOMAIN; LEND; TRANSFER=1; EXPORT=clearkey; MIN_ANCHOR=0"
	screens     = "PLAY; OUTPUT_PROTECTION=HDCP_2_2; PLAY; RESOLUTION<=576p; EXPORT=clearkey"
	rentalPlays = 2
)

// demoTitles are the titles as the shop sells them at a time.
func demoTitles(now time.Time) []demoTitle {
	later := now.AddDate(2, 0, 0).UTC().Format(time.RFC3339)
	month := rentalTerms(now)
	return []demoTitle{
		{id: bought, title: film.Title, scheme: "cenc", terms: fmt.Sprintf(purchase, later), kind: "purchase"},
		{id: boughtCBCS, title: film.Title + " (cbcs)", scheme: "cbcs", terms: screens, kind: "purchase", uhd: true},
		{id: rented, title: film.Title + ", rented", scheme: "cenc", terms: month, kind: "rental"},
		{id: running, title: film.Title + ", begun", scheme: "cenc", terms: month, kind: "rental"},
		{id: lastPlay, title: film.Title + ", one more time", scheme: "cenc", terms: single, kind: "rental"},
		{id: shared, title: film.Title + ", to lend and move", scheme: "cenc", terms: sharing, kind: "purchase"},
		{id: borrowed, title: film.Title + ", borrowed", scheme: "cenc", terms: fmt.Sprintf(loan, sunday(now).UTC().Format(time.RFC3339)), kind: "loan"},
		{id: stranded, title: film.Title + ", taken along", scheme: "cenc", terms: sharing, kind: "purchase"},
	}
}

// rentalTerms are those of a rental of this month.
func rentalTerms(now time.Time) string {
	return fmt.Sprintf(rental, now.AddDate(0, 0, -1).UTC().Format(time.RFC3339), now.AddDate(0, 0, 30).UTC().Format(time.RFC3339))
}

// sunday is nine in the evening of the next Sunday that is more than a day away.
func sunday(now time.Time) time.Time {
	now = now.Local()
	days := (7 - int(now.Weekday())) % 7
	if days < 2 {
		days += 7
	}
	return time.Date(now.Year(), now.Month(), now.Day()+days, 21, 0, 0, 0, now.Location())
}

// titleKeys counts the keys that the titles are packed under, one a tier.
func titleKeys(sources map[string][32]byte) (n int) {
	for _, t := range demoTitles(time.Time{}) {
		n += len(sources)
		if t.uhd {
			n++
		}
	}
	return n
}

// begin watches a title to its end in a browser, with a yes to what it asks, so that
// its viewing time runs.
func (d *demo) begin(ctx context.Context, id ident.Content) error {
	s, err := d.watch(ctx, httpd.PlayBody{Content: id, Confirm: true})
	if err != nil {
		return err
	}
	t, err := d.track(id, content.SD)
	if err != nil {
		return err
	}
	for i := range t.Segments {
		if _, err := fetch(ctx, http.DefaultClient, fmt.Sprintf("%s/%s/%d", s.base, t.Name, i)); err != nil {
			return err
		}
	}
	res, err := request(ctx, http.MethodDelete, d.homeURL+"/api/v1/sessions/"+s.ID, nil)
	if err == nil && res.status >= 300 {
		err = fmt.Errorf("the house ends no session: HTTP %d", res.status)
	}
	return err
}

// useRights does what makes the titles differ: one is begun, one goes to a device.
func (d *demo) useRights(ctx context.Context, device string) error {
	if err := d.begin(ctx, running); err != nil {
		return err
	}
	_, err := d.must(ctx, "device", "move", string(stranded), "--here", "--dir", d.path(device))
	return err
}

// settle leaves a house as people find theirs: something is lent, and an old device is
// not trusted any more.
func (d *demo) settle(ctx context.Context) error {
	const old = "old-player"
	if err := d.makeDevice(ctx, old, "third player"); err != nil {
		return err
	}
	if err := d.useRights(ctx, old); err != nil {
		return err
	}
	if _, err := d.must(ctx, "home", "lend", string(shared), "--to", "tablet", "--for", "72h", "--dir", d.path("home")); err != nil {
		return err
	}
	return d.revokeClass(ctx, old)
}

// revokeClass revokes the device class of a device, and has the house hear of it.
func (d *demo) revokeClass(ctx context.Context, device string) error {
	class, err := d.classOf(ctx, device)
	if err != nil {
		return err
	}
	if _, err := d.must(ctx, "ca", "class", "revoke", "--dir", d.path("ca"), fmt.Sprint(class)); err != nil {
		return err
	}
	res, err := request(ctx, http.MethodPost, d.homeURL+"/api/v1/learn", map[string]any{})
	if err == nil && res.status >= 300 {
		err = fmt.Errorf("the house learns nothing: HTTP %d", res.status)
	}
	return err
}

// titleOf is what the house's page says of a title.
func (d *demo) titleOf(ctx context.Context, id ident.Content) (v httpd.TitleView, err error) {
	data, err := fetch(ctx, http.DefaultClient, d.homeURL+"/api/v1/library/"+url.PathEscape(string(id)))
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(data, &v)
}

// right is what the house has to say of a title.
type right struct {
	id    ident.Content
	holds func(*httpd.TitleView) bool
}

// rights are the titles that are not lent.
func rights() []right {
	left := func(v *httpd.TitleView, n uint64) bool {
		p := v.Browser.Counters.PlaysLeft
		return p != nil && *p == n
	}
	return []right{
		{bought, func(v *httpd.TitleView) bool {
			return v.Browser.Allow && v.Browser.ValidUntil > 0 && len(v.Words.Confirm) == 0
		}},
		{rented, func(v *httpd.TitleView) bool {
			return v.Browser.Allow && asks(v, license.StartsInterval) && left(v, rentalPlays)
		}},
		{running, func(v *httpd.TitleView) bool {
			return v.Browser.Allow && !asks(v, license.StartsInterval) && v.Browser.ValidUntil > 0
		}},
		{lastPlay, func(v *httpd.TitleView) bool { return v.Browser.Allow && asks(v, license.LastPlay) && left(v, 1) }},
		{borrowed, func(v *httpd.TitleView) bool {
			return v.Browser.Allow && v.Browser.ValidUntil > 0 && isLoan(v)
		}},
		{boughtCBCS, func(v *httpd.TitleView) bool {
			return v.Browser.Allow && v.Browser.Tier == license.TierSD && slices.ContainsFunc(v.Browser.Reasons, func(r license.Reason) bool {
				return r.Code == license.OutputCode && r.Constraint == license.TierUHD.String()
			})
		}},
		{stranded, func(v *httpd.TitleView) bool { return !v.Browser.Allow && v.Browser.Has(license.MovedAway) }},
	}
}

// isLoan says that a title is held as what a library lends.
func isLoan(v *httpd.TitleView) bool {
	return slices.ContainsFunc(v.Held, func(h trem.Held) bool {
		units, err := permission.ParseText(h.Terms)
		return err == nil && units.Classification != nil && units.Classification.Charge == permission.ChargeLoan
	})
}

func asks(v *httpd.TitleView, kind license.ConfirmKind) bool {
	return slices.ContainsFunc(v.Browser.Confirm, func(c license.Confirm) bool { return c.Kind == kind })
}

// proveRights looks at what the house says of each title, in words too.
func (d *demo) proveRights(ctx context.Context) (string, error) {
	if err := d.useRights(ctx, "phone"); err != nil {
		return "", err
	}
	var said []string
	for _, r := range rights() {
		v, err := d.titleOf(ctx, r.id)
		if err != nil {
			return "", err
		}
		words := slices.Concat(v.Words.Left, v.Words.Confirm)
		for _, w := range v.Words.Why {
			words = append(words, w.Sentence)
		}
		if !r.holds(&v) || len(words) == 0 {
			return "", fmt.Errorf("%s: the house says %q, %+v of %+v", r.id, words, v.Browser, v.Held)
		}
		said = append(said, fmt.Sprintf("%s (%s)", strings.TrimPrefix(string(r.id), "lares-"), words[0]))
	}
	if err := d.screensDecide(ctx); err != nil {
		return "", err
	}
	return "the house says of each why: " + strings.Join(said, ", "), nil
}

// screensDecide opens the title whose better pictures want a protected screen: without
// and with one.
func (d *demo) screensDecide(ctx context.Context) error {
	for hdcp, want := range map[string]string{"": "360", "2.2": "360 720 2160"} {
		s, err := d.watch(ctx, httpd.PlayBody{Content: boughtCBCS, HDCP: hdcp})
		if err != nil {
			return err
		}
		mpd, err := fetch(ctx, http.DefaultClient, s.base+"/manifest.mpd")
		if err != nil {
			return err
		}
		var got []string
		for _, height := range []string{"360", "720", "2160"} {
			if strings.Contains(string(mpd), `height="`+height+`"`) {
				got = append(got, height)
			}
		}
		if all := strings.Join(got, " "); all != want {
			return fmt.Errorf("a browser whose screen has HDCP %q is shown pictures %s high, not %s", hdcp, all, want)
		}
		if _, err := d.must(ctx, "home", "stop", s.ID, "--dir", d.path("home")); err != nil {
			return err
		}
	}
	return nil
}

// proveDoctor has the doctor look at every folder of the house.
func (d *demo) proveDoctor(ctx context.Context) (string, error) {
	args := []string{"doctor", "--ca", d.caURL, "--json"}
	for _, name := range []string{"ca", "shop", "home", "tablet"} {
		args = append(args, "--dir", d.path(name))
	}
	a, err := d.run(ctx, args...)
	if err != nil {
		return "", err
	}
	var seen []examined
	if err := json.Unmarshal([]byte(a.stdout), &seen); err != nil {
		return "", fmt.Errorf("the doctor: status %d, %s: %w", a.code, firstLine(a.stderr), err)
	}
	rows := 0
	var bad, warn []string
	for _, f := range seen {
		for _, r := range f.Rows {
			rows++
			switch r.Mark {
			case care.OK: // nothing to say
			case care.Fail:
				bad = append(bad, fmt.Sprintf("%s: %s: %s", f.Kind, r.Check, r.Found))
			case care.Warn:
				warn = append(warn, fmt.Sprintf("%s of the %s", r.Check, f.Kind))
			}
		}
	}
	if a.code != 0 || len(bad) > 0 || len(seen) != 4 {
		return "", fmt.Errorf("status %d: %s", a.code, strings.Join(bad, "; "))
	}
	proved := fmt.Sprintf("%d checks of authority, shop, house and tablet, and none fails", rows)
	if len(warn) > 0 {
		proved += "; it warns of " + strings.Join(warn, ", ")
	}
	return proved, nil
}
