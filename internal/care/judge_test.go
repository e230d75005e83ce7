package care

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// healthy are the facts about a folder in order.
func healthy(k Kind) *Facts {
	f := &Facts{
		Kind: k, Dir: "/x", Now: noon, Files: Files{Seen: 7}, Disk: Disk{Free: 9 << 30, Total: 90 << 30, Flush: time.Millisecond},
		State: State{IssuedAt: noon.Add(-time.Hour)}, Until: noon.Add(200 * day), Stores: []Store{{Name: "the records"}},
	}
	if k != Authority {
		f.Player = &Player{Status: trem.Status{
			Level: 1, Clock: trem.ClockStatus{Est: noon.UnixMilli(), Quality: "SECURE"}, Walls: []trem.Wall{{Name: "no dump", Stands: true}, {Name: "hardware"}},
		}}
	}
	if k != Module {
		f.Peers = []Peer{{Name: "authority", URL: "http://ca"}}
	}
	if k == Home || k == Device {
		f.Discovery = &Discovery{Seen: true, Belongs: true}
	}
	if k != Module && k != Device {
		f.Port = &Port{Serves: true, Addr: "http://127.0.0.1:7710"}
	}
	return f
}

// TestDoctor_EveryCheckHasARow: a check that concerns a folder is never left out.
func TestDoctor_EveryCheckHasARow(t *testing.T) {
	common := []string{CheckClock, CheckRights, CheckSpace, CheckFlush, CheckCertificate, CheckState, CheckWhole}
	for kind, more := range map[Kind][]string{
		Home: {CheckPort, CheckDiscovery, CheckReach, CheckWalls}, Device: {CheckDiscovery, CheckReach, CheckWalls},
		Issuer: {CheckPort, CheckReach, CheckWalls}, Authority: {CheckPort, CheckReach}, Module: {CheckWalls},
	} {
		rows := Judge(healthy(kind))
		if len(rows) != len(common)+len(more) {
			t.Errorf("%s has %d rows, want %d", kind, len(rows), len(common)+len(more))
		}
		for _, want := range append(more, common...) {
			if r := rowOf(rows, want); r.Mark != OK || r.Found == "" || r.Do != "" {
				t.Errorf("%s, %s: %+v", kind, want, r)
			}
		}
		if Worst(rows) != OK {
			t.Errorf("%s: the worst is %s", kind, Worst(rows))
		}
	}
}

func rowOf(rows []Row, check string) Row {
	for _, r := range rows {
		if r.Check == check {
			return r
		}
	}
	return Row{}
}

// TestDoctor_EachRowFailsForItsReason breaks one thing at a time: the row of that
// thing says so and what to do, and no other row changes.
func TestDoctor_EachRowFailsForItsReason(t *testing.T) {
	broken := errors.New("it is broken")
	for _, tc := range []struct {
		name  string
		kind  Kind
		harm  func(*Facts)
		check string
		mark  Mark
		says  string
	}{
		{"clock days behind", Home, func(f *Facts) { f.Player.Status.Clock.Est = noon.Add(72 * time.Hour).UnixMilli() }, CheckClock, Fail, "3 days behind"},
		{"clock minutes ahead", Home, func(f *Facts) { f.Player.Status.Clock.Est = noon.Add(-10 * time.Minute).UnixMilli() }, CheckClock, Warn, "10 minutes ahead of"},
		{"clock unset", Device, func(f *Facts) { f.Player.Status.Clock = trem.ClockStatus{Quality: "UNSET"} }, CheckClock, Warn, "no proven time"},
		{"rights", Home, func(f *Facts) { f.Files.Exposed = []string{"a", "b", "c", "d", "e"} }, CheckRights, Fail, "a, b, c and 2 more"},
		{"folder", Home, func(f *Facts) { f.Files.Err = broken }, CheckRights, Fail, "cannot be read"},
		{"owner", Home, func(f *Facts) { f.Files.Foreign = []string{"a"} }, CheckRights, Warn, "somebody else"},
		{"space gone", Home, func(f *Facts) { f.Disk.Free = 1 << 20 }, CheckSpace, Fail, "1.0 MB of 90.0 GB"},
		{"space short", Home, func(f *Facts) { f.Disk.Free = 500 << 20 }, CheckSpace, Warn, "500.0 MB"},
		{"flush refused", Home, func(f *Facts) { f.Disk.Err = broken }, CheckFlush, Fail, "it is broken"},
		{"flush fails", Home, func(f *Facts) { f.Disk.Flush = 3 * time.Second }, CheckFlush, Fail, "3s"},
		{"flush slow", Home, func(f *Facts) { f.Disk.Flush = 200 * time.Millisecond }, CheckFlush, Warn, "200ms"},
		{"memory", Home, func(f *Facts) { f.Disk.Memory = true }, CheckFlush, Warn, "in memory"},
		{"port", Issuer, func(f *Facts) { f.Port = &Port{Addr: ":1", Err: broken} }, CheckPort, Fail, "nothing can serve at :1"},
		{"discovery", Home, func(f *Facts) { f.Discovery = &Discovery{Open: true} }, CheckDiscovery, Warn, "does not answer"},
		{"discovery, no network", Device, func(f *Facts) { f.Discovery = &Discovery{Belongs: true, Err: broken} }, CheckDiscovery, Warn, "cannot be asked"},
		{"no certificate", Device, func(f *Facts) { f.Until = time.Time{} }, CheckCertificate, Fail, "there is no certificate"},
		{"certificate ended", Issuer, func(f *Facts) { f.Until = noon.Add(-day) }, CheckCertificate, Fail, "2026-11-27"},
		{"certificate ends", Issuer, func(f *Facts) { f.Until = noon.Add(10 * day) }, CheckCertificate, Warn, "10 days left"},
		{"no list", Home, func(f *Facts) { f.State = State{} }, CheckState, Fail, "there is none"},
		{"list old", Home, func(f *Facts) { f.State.IssuedAt = noon.Add(-100 * day) }, CheckState, Fail, "100 days old"},
		{"list aging", Home, func(f *Facts) { f.State.IssuedAt = noon.Add(-8 * day) }, CheckState, Warn, "8 days old"},
		{"list overdue", Authority, func(f *Facts) { f.State.NextUpdate = noon.Add(-time.Minute) }, CheckState, Warn, "60 minutes old"},
		{"away", Home, func(f *Facts) { f.Peers[0].Err = broken }, CheckReach, Warn, "no answer from authority http://ca"},
		{"player broken", Device, func(f *Facts) { f.Player.Err = broken }, CheckWalls, Fail, "does not start"},
		{"player open", Device, func(f *Facts) { f.Player.Status.Walls[0].Stands = false }, CheckWalls, Fail, "can read the player's memory"},
		{"player half open", Device, func(f *Facts) {
			f.Player.Status.Walls = append(f.Player.Status.Walls, trem.Wall{Name: "landlock", Detail: "old kernel"})
		}, CheckWalls, Warn, "landlock (old kernel)"},
		{"set back", Device, func(f *Facts) { f.Player.Status.SetBack = true }, CheckWhole, Fail, "put back from an older copy"},
		{"twins", Home, func(f *Facts) { f.Player.Status.Twins = []ident.Device{{1}} }, CheckWhole, Warn, "exist twice"},
		{"database", Issuer, func(f *Facts) { f.Stores[0].Err = broken }, CheckWhole, Fail, "the records is damaged: it is broken"},
	} {
		f := healthy(tc.kind)
		tc.harm(f)
		for _, r := range Judge(f) {
			switch {
			case r.Check != tc.check && r.Mark != OK:
				t.Errorf("%s: also %+v", tc.name, r)
			case r.Check == tc.check && (r.Mark != tc.mark || !strings.Contains(r.Found, tc.says) || r.Do == ""):
				t.Errorf("%s: %+v, want %s with %q and what to do", tc.name, r, tc.mark, tc.says)
			}
		}
		if Worst(Judge(f)) != tc.mark {
			t.Errorf("%s: the worst is %s", tc.name, Worst(Judge(f)))
		}
	}
}

// TestDoctor_ABusyPlayerIsAWarning: somebody is watching; nothing is wrong.
func TestDoctor_ABusyPlayerIsAWarning(t *testing.T) {
	f := healthy(Device)
	f.Player, f.Until, f.State = &Player{Busy: true}, time.Time{}, State{}
	if rows := Judge(f); Worst(rows) != Warn {
		t.Errorf("%+v", rows)
	}
}
