package httpd_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// lived is a house that people live in: eight titles, each with a right of its own, three
// devices of which one was away for long, a fourth that asks, a loan, a move, and a
// request that waits because neither shop nor authority is reached.
type lived struct {
	*httptest.Server
	h      *home.Home
	module *keeping
	now    time.Time
	orders chan trem.HandOver
}

// keeping is the stand-in for a module that can be backed up.
type keeping struct {
	*hometest.Module
	coded bool
}

func (k *keeping) RecoveryCode(context.Context) ([]byte, error) { return make([]byte, 32), nil }

func (k *keeping) Backup(_ context.Context, o trem.BackupOrder, _ []byte) (trem.Backup, []byte, error) {
	k.coded = k.coded || len(o.Code) > 0
	return trem.Backup{Generation: 1, Made: 1_795_000_000_000}, []byte("the house"), nil
}

func (k *keeping) Restore(context.Context, trem.RestoreOrder, []byte) (trem.Restored, []byte, error) {
	return trem.Restored{}, nil, errors.New("no")
}

func (k *keeping) Succession(context.Context) (trem.Succession, error) {
	return trem.Succession{Code: k.coded}, nil
}

func (k *keeping) Follow(context.Context, trem.Succession) (trem.Following, error) {
	return trem.Following{}, errors.New("no")
}

// away is an authority that does not answer.
type away struct{}

func (away) State(context.Context, uint64) (trem.Learned, error) {
	return trem.Learned{}, errors.New("away")
}

func (away) Time(context.Context, []byte) (trem.Learned, error) {
	return trem.Learned{}, errors.New("away")
}

// livedTitles are named by what is told of them; poster is whether they have one.
var livedTitles = []struct {
	id, title, terms string
	poster           bool
}{
	{"bought", "Metropolis", "PLAY; MOVE=DOMAIN; LEND; COPY=2; EXPORT=clearkey", true},
	{"rented", "Nosferatu", "PLAY; START_TIME=FROM; END_TIME=TO; PLAY_COUNT=2; INTERVAL=48h; EXPORT=clearkey", false},
	{"fresh", "The General", "PLAY; START_TIME=FROM; END_TIME=TO; PLAY_COUNT=2; INTERVAL=48h; EXPORT=clearkey", false},
	{"lent", "Safety Last!", "PLAY; LEND; EXPORT=clearkey", false},
	{"library", "The Gold Rush", "CHARGE=LOAN; PLAY; END_TIME=TO; EXPORT=clearkey", false},
	{"moving", "Sherlock Jr.", "PLAY; MOVE=DOMAIN; EXPORT=clearkey", false},
	{"over", "Faust", "PLAY; START_TIME=FROM; END_TIME=TO; INTERVAL=48h; EXPORT=clearkey", false},
	{"device", "Häxan", "PLAY; MOVE=DOMAIN", false},
}

func (l *lived) in(days int, hour int) int64 {
	t := l.now.Local().AddDate(0, 0, days)
	return time.Date(t.Year(), t.Month(), t.Day(), hour, 0, 0, 0, time.Local).UnixMilli()
}

// decide is what each of the titles allows.
func (l *lived) decide(a trem.Ask) license.Decision {
	d := license.Decision{Action: a.Action}
	refuse := func(code license.Code, earliest int64, remedy license.Remedy, constraint string) license.Decision {
		d.Reasons = append(d.Reasons, license.Reason{Code: code, Constraint: constraint, Closed: true, Earliest: earliest, Remedy: remedy})
		return d
	}
	play, one, two := a.Action == permission.Play, uint64(1), uint64(2)
	switch a.Content {
	case "bought":
		if a.Action == permission.Transfer {
			return refuse(license.NoGrant, 0, license.MoveInstead, "TRANSFER")
		}
	case "rented":
		d.Counters.PlaysLeft, d.ValidUntil = &one, l.in(1, 21)
	case "fresh":
		d.Counters.PlaysLeft, d.ValidUntil = &two, l.in(21, 12)
		d.Confirm = []license.Confirm{{Kind: license.StartsInterval, Until: l.in(2, 20)}}
	case "lent":
		return refuse(license.LentOut, l.in(3, 21), license.WaitUntil, "LEND_COUNT")
	case "library":
		d.ValidUntil = l.in(5, 21)
	case "moving":
		return refuse(license.LockedInMove, 0, license.ResumeMove, "")
	case "over":
		refuse(license.IntervalOver, 0, license.Buy, "")
		return refuse(license.StatusStale, 0, license.SyncTime, "")
	case "device":
		if play && a.Output == trem.OutputLink {
			return refuse(license.OutputCode, 0, license.MoveInstead, "EXPORT")
		}
	}
	if !play && a.Content != "bought" {
		return refuse(license.NoGrant, 0, "", permissionWord(a.Action))
	}
	d.Allow = true
	return d
}

func permissionWord(p permission.Permission) string {
	return map[permission.Permission]string{permission.Move: "MOVE", permission.Copy: "COPY", permission.Lend: "LEND", permission.Transfer: "TRANSFER"}[p]
}

// stocked puts the demo film into the library under each of the names.
func stocked(t *testing.T, h *home.Home, now time.Time) {
	t.Helper()
	folder, _, _ := hometest.Pack(t, cenc.SchemeCENC)
	manifest, err := os.ReadFile(filepath.Join(folder, content.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range livedTitles {
		dir := filepath.Join(t.TempDir(), x.id)
		if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(strings.ReplaceAll(string(manifest), "urn:lares:film:demo", x.id), "Lares demo film", x.title)
		if !x.poster {
			m, err := content.ParseManifest([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			m.Poster = nil
			data, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			text = string(data)
		}
		if err := os.WriteFile(filepath.Join(dir, content.ManifestName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Add(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func livedHouse(t *testing.T) *lived {
	t.Helper()
	l := &lived{now: time.Now(), orders: make(chan trem.HandOver, 4)}
	l.module = &keeping{Module: hometest.New(t, nil)}
	l.module.State.Licenses = len(livedTitles)
	l.module.Decide = l.decide
	l.module.OnHandOver = func(o trem.HandOver) (trem.Handed, error) {
		l.orders <- o
		return trem.Handed{}, nil
	}
	dir := t.TempDir()
	secret, err := home.OpenTLS(dir, ident.Device{1}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l.h, err = home.New(home.Config{
		Dir: dir, Module: l.module, Authority: away{}, TLS: secret, Now: time.Now,
		Courier: func(context.Context, string, ident.Device, trem.Opened) ([]trem.Event, error) {
			return nil, errors.New("away")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stocked(t, l.h, l.now)
	for _, x := range livedTitles {
		from, to := l.in(-2, 12), l.in(28, 21)
		if x.id == "library" {
			to = l.in(5, 21)
		}
		stamp := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
		terms := strings.NewReplacer("FROM", stamp(from), "TO", stamp(to)).Replace(x.terms)
		l.module.Held = append(l.module.Held, trem.Held{License: ident.License{byte(len(x.id))}, Content: ident.Content(x.id), Issuer: "shop.example", Terms: terms})
	}
	handler, err := httpd.New(httpd.Config{
		Home: l.h, Frames: http.NotFoundHandler(), TLS: secret, Address: func() string { return "http://192.168.7.9:7710" },
		Claim:   func(context.Context, string) (string, error) { return "", nil },
		Return:  func(context.Context, ident.Content) error { return nil },
		Examine: func(context.Context) ([]httpd.Check, error) { return doctored(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Server = httptest.NewUnstartedServer(nil)
	l.Config = httpd.NewServer(t.Context(), handler)
	l.Start()
	t.Cleanup(l.Close)
	l.moveIn(t)
	return l
}

// doctored are rows as the doctor gives them.
func doctored() []httpd.Check {
	return []httpd.Check{
		{Name: "Clock", State: "ok", Found: "The machine's clock agrees with the proven time."},
		{Name: "Space", State: "warn", Found: "812 MB of 32 GB are free.", Do: "Make room."},
		{Name: "Databases", State: "ok", Found: "Whole: the player's log, the house's files."},
	}
}

// moveIn pairs the devices, and begins what is on its way.
func (l *lived) moveIn(t *testing.T) {
	t.Helper()
	for _, name := range []string{"Living room", "Phone", "Tablet"} {
		done, code := pair(t, l.URL, name)
		if _, err := l.h.Approve(t.Context(), "", code); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	devices := l.h.Devices()
	l.module.Lock()
	l.module.Roll = []trem.Member{
		{Device: devices[0].ID, Seen: l.in(0, 0), Aside: []trem.Aside{{Content: "bought", Plays: 2}}},
		{Device: devices[1].ID, Seen: l.in(-1, 20)},
		{Device: devices[2].ID, Seen: l.in(-40, 9), Lapsed: true, Aside: []trem.Aside{{Content: "rented", Plays: 1}}},
	}
	transfer := func(n uint64) ident.Transfer {
		return ident.Transfer{Src: l.module.State.Device, Dst: devices[1].ID, Seq: n}
	}
	l.module.Moving = []trem.Transfer{
		{ID: transfer(1), Op: "LEND", Stage: trem.StageLent, Peer: devices[1].ID, Content: "lent", Until: l.in(3, 21)},
		{ID: transfer(2), Op: "MOVE", Stage: trem.StageSent, Peer: devices[2].ID, Content: "moving", HoldUntil: l.in(9, 9)},
	}
	l.module.Unlock()
	pair(t, l.URL, "Kitchen")
	_, _ = l.h.Fetch(t.Context(), home.Wanted{Content: "over", URL: "https://shop.example", Issuer: "shop.example"}) // the shop is away: it waits
	_ = l.h.Learn(t.Context())                                                                                       // and so is the authority
}
