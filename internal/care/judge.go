package care

import (
	"fmt"
	"strings"
	"time"
)

// Mark is what a check came to.
type Mark string

// The marks. A warning is something that works now and may not later.
const (
	OK   Mark = "ok"
	Warn Mark = "warn"
	Fail Mark = "fail"
)

// Row is one check: what was found and, unless it is ok, what to do.
type Row struct {
	Check string `json:"check"`
	Mark  Mark   `json:"mark"`
	Found string `json:"found"`
	Do    string `json:"do,omitempty"`
}

// The names of the checks, in the order of Judge.
const (
	CheckClock       = "clock"
	CheckRights      = "rights of files"
	CheckSpace       = "space"
	CheckFlush       = "flush time"
	CheckPort        = "port"
	CheckDiscovery   = "discovery"
	CheckCertificate = "certificate"
	CheckState       = "safety list"
	CheckReach       = "shop and authority"
	CheckWalls       = "walls of the player"
	CheckWhole       = "databases"
	noDumpWall       = "no dump"
)

// Bars of the checks. Source: local (docs/guide/doctor.md).
const (
	clockWarn = 5 * time.Minute // the machine's clock may be off by so much
	clockFail = 24 * time.Hour

	spaceWarn = 1 << 30 // bytes that are free
	spaceFail = 64 << 20

	flushWarn = 100 * time.Millisecond // a play waits for a flush
	flushFail = 2 * time.Second

	daysWarn = 30 // of the certificate; renewal begins 60 days before its end
	day      = 24 * time.Hour
	// daysEndless: a device's certificate may have the end that stands for none
	// (RFC 5280, 4.1.2.5: 99991231235959Z).
	daysEndless = 100 * 365

	stateWarn = 7 * day // since the revocation state was issued
	stateFail = 90 * day
)

// Judge gives a row for every check that concerns the folder.
func Judge(f *Facts) []Row {
	rows := []Row{f.clock(), f.rights(), f.space(), f.flush()}
	if f.Port != nil {
		rows = append(rows, f.port())
	}
	if f.Discovery != nil {
		rows = append(rows, f.discovery())
	}
	rows = append(rows, f.certificate(), f.state())
	if len(f.Peers) > 0 {
		rows = append(rows, f.reach())
	}
	if f.Player != nil {
		rows = append(rows, f.walls())
	}
	return append(rows, f.whole())
}

// Worst is the worst mark of the rows.
func Worst(rows []Row) Mark {
	worst := OK
	for _, r := range rows {
		if r.Mark == Fail || r.Mark == Warn && worst == OK {
			worst = r.Mark
		}
	}
	return worst
}

// Offset is how far the machine's clock is ahead of the proven time; ok is false
// when no time is proven.
func (f *Facts) Offset() (ahead time.Duration, ok bool) {
	switch {
	case f.Kind == Authority && !f.State.IssuedAt.IsZero():
		return min(f.Now.Sub(f.State.IssuedAt), 0), true // it cannot be before its own statement
	case f.Player == nil || f.Player.Status.Clock.Est == 0 || f.Player.Status.Clock.Quality == "UNSET":
		return 0, false
	}
	return f.Now.Sub(time.UnixMilli(f.Player.Status.Clock.Est)), true
}

func (f *Facts) clock() Row {
	ahead, ok := f.Offset()
	if !ok {
		return warn(CheckClock, "there is no proven time to compare with", "Connect to the house or the authority once; until then what depends on the time does not play.")
	}
	off, way := ahead.Abs(), "ahead of"
	if ahead < 0 {
		way = "behind"
	}
	found := fmt.Sprintf("the machine's clock is %s %s the proven time", rough(off), way)
	set := "Set the machine's clock: timedatectl set-ntp true, or by hand."
	switch {
	case off > clockFail:
		return fail(CheckClock, found, set)
	case off > clockWarn:
		return warn(CheckClock, found, set)
	}
	return good(CheckClock, "the machine's clock agrees with the proven time")
}

func (f *Facts) rights() Row {
	switch {
	case f.Files.Err != nil:
		return fail(CheckRights, fmt.Sprintf("the folder cannot be read: %v", f.Files.Err), "Run this as the user that the server runs as.")
	case len(f.Files.Exposed) > 0:
		return fail(CheckRights, fmt.Sprintf("other users may read or change %s", some(f.Files.Exposed)), "Run: chmod -R go= "+f.Dir)
	case len(f.Files.Foreign) > 0:
		return warn(CheckRights, fmt.Sprintf("somebody else owns %s", some(f.Files.Foreign)), "Run this as the user that the server runs as, or: chown -R that user "+f.Dir)
	}
	return good(CheckRights, fmt.Sprintf("%d files, for their owner only", f.Files.Seen))
}

func (f *Facts) space() Row {
	found := fmt.Sprintf("%s of %s are free", size(f.Disk.Free), size(f.Disk.Total))
	switch {
	case f.Disk.Total == 0:
		return fail(CheckSpace, fmt.Sprintf("the free space is not known: %v", f.Disk.Err), "Look whether the disk is mounted.")
	case f.Disk.Free < spaceFail:
		return fail(CheckSpace, found, "Make room now: without it nothing can be counted, and so nothing plays.")
	case f.Disk.Free < spaceWarn:
		return warn(CheckSpace, found, "Make room.")
	}
	return good(CheckSpace, found)
}

func (f *Facts) flush() Row {
	found := "a flushed write takes " + f.Disk.Flush.Round(10*time.Microsecond).String()
	switch {
	case f.Disk.Err != nil:
		return fail(CheckFlush, f.Disk.Err.Error(), "Look at the disk: dmesg, smartctl -a; is it full, or mounted read-only?")
	case f.Disk.Flush > flushFail:
		return fail(CheckFlush, found, "The disk is failing or overloaded: look at dmesg, and move the folder to another disk.")
	case f.Disk.Flush > flushWarn:
		return warn(CheckFlush, found, "Plays wait for it. Move the folder to a faster disk.")
	case f.Disk.Memory:
		return warn(CheckFlush, "the folder is in memory: a power cut takes everything in it", "Move it to a disk.")
	}
	return good(CheckFlush, found)
}

func (f *Facts) port() Row {
	switch p := f.Port; {
	case p.Serves:
		return good(CheckPort, "serves at "+p.Addr)
	case p.Err != nil:
		return fail(CheckPort, fmt.Sprintf("nothing can serve at %s: %v", p.Addr, p.Err), "See who has the port (ss -ltnp), or serve at another: --listen.")
	default:
		return good(CheckPort, p.Addr+" is free; no server of this folder is known to run")
	}
}

func (f *Facts) discovery() Row {
	d := f.Discovery
	ask := "Let multicast DNS through (UDP 5353) on this network, or tell devices the address."
	switch {
	case d.Seen:
		return good(CheckDiscovery, "the house answers in this network")
	case f.Kind == Home && !d.Open:
		return good(CheckDiscovery, "the house is served on this machine only: there is nothing to find")
	case f.Kind == Device && !d.Belongs:
		return good(CheckDiscovery, "this device belongs to no house yet")
	case f.Kind == Device && d.Open:
		return good(CheckDiscovery, "the house is silent, and reached by the address that this device knows")
	case d.Err != nil:
		return warn(CheckDiscovery, fmt.Sprintf("the network cannot be asked: %v", d.Err), ask)
	}
	return warn(CheckDiscovery, "the house does not answer in this network", ask)
}

// Days is how long the certificate is good for, in whole days.
func (f *Facts) Days() int { return int(f.Until.Sub(f.Now) / day) }

func (f *Facts) certificate() Row {
	renew := "Let the server run with its authority reachable: it renews by itself. By hand: lares trem renew."
	if f.Kind == Authority {
		renew = "Let it run (lares ca serve): its signers renew by themselves. A root is followed by lares ca root rotate."
	}
	switch {
	case f.Until.IsZero() && f.Player != nil && f.Player.Busy:
		return warn(CheckCertificate, "not seen, because another command uses the player", "Ask again when that is done.")
	case f.Until.IsZero():
		return fail(CheckCertificate, "there is no certificate", "Get one: "+initOf(f.Kind)+".")
	case !f.Until.After(f.Now):
		return fail(CheckCertificate, "it ended on "+f.Until.UTC().Format(time.DateOnly), renew)
	case f.Days() < daysWarn:
		return warn(CheckCertificate, fmt.Sprintf("%d days left", f.Days()), renew)
	}
	if f.Days() > daysEndless {
		return good(CheckCertificate, "it has no end")
	}
	return good(CheckCertificate, fmt.Sprintf("%d days left", f.Days()))
}

func (f *Facts) state() Row {
	learn := "Connect to the authority or to a house that can: it comes by itself, with the films too."
	if f.Kind == Authority {
		learn = "Publish: let lares ca serve run, or lares ca publish."
	}
	age := f.Now.Sub(f.State.IssuedAt)
	switch {
	case f.State.IssuedAt.IsZero() && f.Player != nil && f.Player.Busy:
		return warn(CheckState, "not seen, because another command uses the player", "Ask again when that is done.")
	case f.State.IssuedAt.IsZero():
		return fail(CheckState, "there is none", learn)
	case age > stateFail:
		return fail(CheckState, fmt.Sprintf("it is %s old", rough(age)), learn)
	case age > stateWarn || !f.State.NextUpdate.IsZero() && f.Now.After(f.State.NextUpdate):
		return warn(CheckState, fmt.Sprintf("it is %s old", rough(age)), learn)
	}
	return good(CheckState, fmt.Sprintf("it is %s old", rough(max(age, 0))))
}

func (f *Facts) reach() Row {
	var away, there []string
	for _, p := range f.Peers {
		if p.Err != nil {
			away = append(away, p.Name+" "+p.URL)
			continue
		}
		there = append(there, p.Name)
	}
	if len(away) > 0 {
		return warn(CheckReach, "no answer from "+strings.Join(away, ", "), "What is in the house goes on. To get new titles and the safety list: look at the cable and the name server, or ask who runs it.")
	}
	return good(CheckReach, strings.Join(there, ", ")+" answer")
}

func (f *Facts) walls() Row {
	p := f.Player
	switch {
	case p.Busy:
		return warn(CheckWalls, "not seen, because another command uses the player", "Ask again when that is done.")
	case p.Err != nil:
		return fail(CheckWalls, fmt.Sprintf("the secure player does not start: %v", p.Err), "Read what it said above. If the folder is damaged: lares device heal, or lares home restore.")
	}
	var open []string
	dump := false
	for _, w := range p.Status.Walls {
		if !w.Stands && w.Name != "hardware" { // a module in software says so in its certificate
			open = append(open, w.Name+" ("+w.Detail+")")
		}
		dump = dump || w.Name == noDumpWall && w.Stands
	}
	switch {
	case !dump:
		return fail(CheckWalls, "other programs of this user can read the player's memory", "Use a kernel with PR_SET_DUMPABLE, and no debugger or wrapper around lares-trem.")
	case len(open) > 0:
		return warn(CheckWalls, "not standing: "+strings.Join(open, ", "), "See lares trem status and SECURITY.md; a newer kernel or the systemd unit of the package helps.")
	}
	return good(CheckWalls, fmt.Sprintf("%d stand, level SL%d", len(p.Status.Walls), p.Status.Level))
}

func (f *Facts) whole() Row {
	if p := f.Player; p != nil && p.Status.SetBack {
		return fail(CheckWhole, "this folder was put back from an older copy; what is counted waits", healOf(f.Kind))
	}
	for _, s := range f.Stores {
		if s.Err != nil {
			return fail(CheckWhole, fmt.Sprintf("%s is damaged: %v", s.Name, s.Err), "Stop the server, keep the folder as it is, and bring back a backup.")
		}
	}
	if p := f.Player; p != nil && p.Err == nil && len(p.Status.Twins) > 0 {
		return warn(CheckWhole, fmt.Sprintf("%d members of the house exist twice", len(p.Status.Twins)), "A folder was copied and both are used: remove one (lares home remove).")
	}
	if p := f.Player; p != nil && p.Busy {
		return warn(CheckWhole, "not seen, because another command uses the player", "Ask again when that is done.")
	}
	names := make([]string, 0, len(f.Stores))
	for _, s := range f.Stores {
		names = append(names, s.Name)
	}
	return good(CheckWhole, "whole: "+strings.Join(names, ", "))
}
