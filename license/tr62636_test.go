package license_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// The usages of IEC TR 62636: each is built from its line of scenarios.txt,
// signed, read back, and asked what it means at its limits. What must come out
// is derived from docs/spec/evaluation.md.

const usages = "permission/testdata/scenarios.txt"

// usageLine finds the text form of a usage.
func usageLine(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(usages)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(line, "\t"); f[0] == name && len(f) == 3 {
			return f[1]
		}
	}
	t.Fatalf("%s has no usage %q", usages, name)
	return ""
}

// usage signs the license of a usage; what is read back says the same.
func usage(t *testing.T, name string, edit ...func(*license.Info)) *license.License {
	t.Helper()
	text := usageLine(t, name)
	lic := newLicense(t, text, edit...)
	if got := lic.Units().Text(); got != text {
		t.Fatalf("read back: %s\nwant %s", got, text)
	}
	return lic
}

// want compares the closed reasons, each as "CODE/CONSTRAINT REMEDY"; none
// means that it is allowed.
func want(t *testing.T, d license.Decision, reasons ...string) {
	t.Helper()
	var got []string
	for _, r := range d.Reasons {
		if r.Closed {
			got = append(got, strings.TrimSpace(string(r.Code)+"/"+r.Constraint+" "+string(r.Remedy)))
		}
	}
	if diff := cmp.Diff(reasons, got); diff != "" || d.Allow != (len(reasons) == 0) {
		t.Fatalf("allow %v; -want +got %s", d.Allow, diff)
	}
}

// do is an input in which an action is asked for; edits say how.
func do(now int64, p permission.Permission, edit ...func(*license.Input)) license.Input {
	in := at(now)
	in.Request.Action = p
	for _, f := range edit {
		f(&in)
	}
	return in
}

func with(s license.State) func(*license.Input) { return func(in *license.Input) { in.State = s } }

func part(b ...byte) func(*license.Input) { return func(in *license.Input) { in.Request.Part = b } }

// to is a destination of a domain, signed for by that domain.
func to(d ident.Domain) func(*license.Input) {
	return func(in *license.Input) {
		in.Request.Dest = &license.Dest{Device: ident.Device{9}, Domain: d, Level: 1, Anchor: 1}
		in.Request.Countersigned = license.CountersignDomain
	}
}

func system(name string, clear bool) func(*license.Input) {
	return func(in *license.Input) { in.Request.Dest = &license.Dest{System: name, Clear: clear} }
}

func lasts(ms int64) func(*license.Input) { return func(in *license.Input) { in.Request.For = ms } }

// film is what counted licenses need: how long the content is.
func film(i *license.Info) { i.Policy.Duration = 2 * hour }

var (
	neighbours = ident.Domain{0: 0xd0, 15: 2}
	christmas  = time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC).UnixMilli()
	yearEnd    = time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC).UnixMilli()
)

// handOn does an action n times, each of them allowed, and each some time
// behind the one before.
func handOn(t *testing.T, lic *license.License, p permission.Permission, n int, pause int64) license.State {
	t.Helper()
	var s license.State
	for i := range n {
		now := day0 + int64(i)*pause
		step := lic.Reserve(do(now, p, with(s), to(domain)))
		want(t, step.Decision)
		var err error
		if s, err = step.State.Commit(p, now); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// derived signs what Derive makes of a license.
func derived(t *testing.T, lic *license.License, d license.Derivation) *license.License {
	t.Helper()
	info, err := license.Derive(lic, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := license.Narrower(info, lic.Info()); err != nil {
		t.Fatal(err)
	}
	data, err := license.Sign(fixedKey(t, 7), []byte("certificate"), info)
	if err != nil {
		t.Fatal(err)
	}
	child, err := license.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return child
}

// playAll sees a film of two hours to its charge, n times, and ends each.
func playAll(t *testing.T, v *viewer, n int) {
	t.Helper()
	for range n {
		v.in.Request.Again = true
		want(t, v.begin(0))
		want(t, v.play(0, minute))
		v.end()
	}
}

// Each line of the list has its test here, and its story among the vectors.
func TestTR62636_EveryUsageIsEvaluated(t *testing.T) {
	files, err := filepath.Glob("tr62636*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var source strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(data)
	}
	list, err := os.ReadFile(usages)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(list)) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		text, sentence, _ := strings.Cut(rest, "\t")
		if n++; !strings.Contains(source.String(), "\tlic := usage(t, \""+name+"\"") {
			t.Errorf("%q is not evaluated", name)
		}
		slug := strings.ReplaceAll(strings.ToLower(name), " ", "-")
		story, err := os.ReadFile("../testdata/scenario/tr62636-" + slug + ".txt")
		if err != nil || !strings.HasPrefix(string(story), "title: "+strings.TrimSuffix(sentence, ".")+"\n") || !strings.Contains(string(story), "\nlicense: "+text+"\n") {
			t.Errorf("%q has no story of its own words and code: %v", name, err)
		}
	}
	if n != 22 {
		t.Errorf("%d usages, want 22", n)
	}
}

func TestTR62636_ContentPurchase(t *testing.T) {
	lic := usage(t, "content purchase")
	late := at(day0 + 20*365*day)
	late.Clock = license.Clock{}
	want(t, lic.Evaluate(late)) // no clock, 20 years on
	want(t, lic.Evaluate(do(day0, permission.Move, to(domain))))
	want(t, lic.Evaluate(do(day0, permission.Move, to(neighbours))), "DEST_NOT_ALLOWED/DEST")
	want(t, lic.Evaluate(do(day0, permission.Lend, to(neighbours), lasts(14*day))))
	want(t, lic.Evaluate(do(day0, permission.Lend, to(neighbours), lasts(14*day+1))), "NO_GRANT/LEND_TIME")

	friend := ident.Device{7}
	loan := derived(t, lic, license.Derivation{Kind: license.KindLoan, Subject: license.DeviceSubject(friend), For: 14 * day, Now: day0})
	theirs := func(in *license.Input) { in.Env.Device, in.Env.Domains = friend, nil }
	want(t, loan.Evaluate(do(day0+14*day-1, permission.Play, theirs)))
	want(t, loan.Evaluate(do(day0+14*day, permission.Play, theirs)), "EXPIRED/HARD_END BUY")
	want(t, loan.Evaluate(do(day0, permission.Lend, theirs, to(neighbours), lasts(day))), "NO_GRANT/LEND BUY")

	s := handOn(t, lic, permission.Transfer, 9, day)
	soon := day0 + 9*day - 1
	want(t, lic.Evaluate(do(soon, permission.Transfer, with(s), to(neighbours))), "NOT_YET/TRANSFER_COOLDOWN WAIT_UNTIL")
	unsigned := func(in *license.Input) { in.Request.Countersigned = license.CountersignNone }
	want(t, lic.Evaluate(do(soon+1, permission.Transfer, with(s), to(neighbours), unsigned)), "DEST_NOT_ALLOWED/COUNTERSIGN CONTACT")
	want(t, lic.Evaluate(do(soon+1, permission.Transfer, with(s), to(neighbours))))
	s = handOn(t, lic, permission.Transfer, 10, day)
	want(t, lic.Evaluate(do(day0+30*day, permission.Transfer, with(s), to(neighbours))), "COUNT_EXHAUSTED/TRANSFER BUY")
}

func TestTR62636_RentalWithTimeLimit(t *testing.T) {
	lic := usage(t, "rental with time limit", film)
	want(t, lic.Evaluate(at(christmas-1)))
	want(t, lic.Evaluate(at(christmas)), "EXPIRED/END_TIME BUY")

	begun := christmas - hour
	v := newViewer(t, lic, begun)
	v.in.Request.Confirm = false
	want(t, v.begin(0), "NEEDS_CONFIRM/STARTS_INTERVAL")
	v.in.Request.Confirm = true
	want(t, v.begin(0))
	want(t, v.play(0, minute))
	v.end()
	if v.in.State.FirstUse != begun {
		t.Fatalf("first use %d, want %d", v.in.State.FirstUse, begun)
	}
	// A rental begun in time has its 48 hours, Christmas Eve or not.
	want(t, lic.Evaluate(do(begun+48*hour-1, permission.Play, with(v.in.State))))
	want(t, lic.Evaluate(do(begun+48*hour, permission.Play, with(v.in.State))), "INTERVAL_OVER/INTERVAL BUY")
}

func TestTR62636_RentalWithPlayLimit(t *testing.T) {
	lic := usage(t, "rental with play limit", film)
	v := newViewer(t, lic, day0)
	playAll(t, v, 2)
	d := lic.Evaluate(do(day0+10*365*day, permission.Play, with(v.in.State))) // whenever they are
	want(t, d)
	if d.Counters.PlaysLeft == nil || *d.Counters.PlaysLeft != 1 || len(d.Confirm) != 1 || d.Confirm[0].Kind != license.LastPlay {
		t.Errorf("counters %+v, confirms %+v; want one play, the last", d.Counters, d.Confirm)
	}
	playAll(t, v, 1)
	v.in.Request.Again = false
	want(t, v.begin(minute)) // the third play goes on
	v.end()
	v.wait(12 * hour)
	want(t, v.begin(0), "COUNT_EXHAUSTED/PLAY_COUNT BUY")
}

func TestTR62636_Subscription(t *testing.T) {
	lic := usage(t, "subscription")
	want(t, lic.Evaluate(at(yearEnd-1)))
	want(t, lic.Evaluate(at(yearEnd)), "EXPIRED/END_TIME RENEW")

	v := newViewer(t, lic, yearEnd-minute)
	want(t, v.begin(0))
	want(t, v.play(0, 2*minute), "EXPIRED/END_TIME RENEW") // a subscription stops at its end
	if v.now() != yearEnd {
		t.Errorf("stopped at %d, want %d", v.now(), yearEnd)
	}
	offline := at(yearEnd - day)
	offline.Clock.Q, offline.Clock.Unsynced = license.Anchored, 72*hour
	want(t, lic.Evaluate(offline))
	offline.Clock.Unsynced++
	want(t, lic.Evaluate(offline), "CLOCK_STALE/CLOCK_GRACE SYNC_TIME")

	text := strings.Replace(usageLine(t, "subscription"), "2026-12-31", "2027-01-31", 1)
	next := newLicense(t, text, func(i *license.Info) { i.Version = 2 })
	state, err := next.Continue(lic, v.in.State)
	if err != nil {
		t.Fatal(err)
	}
	want(t, next.Evaluate(do(yearEnd+30*day, permission.Play, with(state))))
	want(t, next.Evaluate(do(yearEnd+31*day, permission.Play, with(state))), "EXPIRED/END_TIME RENEW")
}

// receiver is the party that the lines with RECEIVER name.
var receiver = ident.Device{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func TestTR62636_DirectRetrievalFromADevice(t *testing.T) {
	lic := usage(t, "direct retrieval from a device", func(i *license.Info) { i.Subject = license.DeviceSubject(receiver) })
	on := func(d ident.Device) func(*license.Input) { return func(in *license.Input) { in.Env.Device = d } }
	want(t, lic.Evaluate(do(day0, permission.Play, on(receiver))))
	want(t, lic.Evaluate(do(day0, permission.Play, on(ident.Device{9}))), "SUBJECT_MISMATCH/SUBJECT")
	want(t, lic.Evaluate(do(day0, permission.Move, on(receiver), to(domain))), "NO_GRANT/MOVE BUY")
	// Nobody signs it for another receiver than the code names.
	if _, err := license.Sign(fixedKey(t, 7), []byte("certificate"), newInfo(t, usageLine(t, "direct retrieval from a device"))); !errors.Is(err, license.ErrInvalid) {
		t.Errorf("for a household: %v", err)
	}
}

func TestTR62636_UnlimitedPlay(t *testing.T) {
	lic := usage(t, "unlimited play")
	v := newViewer(t, lic, day0)
	for range 100 {
		want(t, v.begin(hour))
		want(t, v.play(hour, hour+minute))
		v.end()
		v.wait(365 * day)
	}
	if d := lic.Evaluate(v.in); v.commits != 0 || len(d.Next) != 0 || d.Counters != (license.Counters{}) {
		t.Errorf("%d commits, next %v, counters %+v; want none", v.commits, d.Next, d.Counters)
	}
	for p := permission.Render; p <= permission.Export; p++ {
		want(t, lic.Evaluate(do(day0, p, to(domain))), "NO_GRANT/"+p.String()+" BUY")
	}
}

func TestTR62636_Preview(t *testing.T) {
	lic := usage(t, "preview")
	want(t, lic.Evaluate(do(day0, permission.Play, part(1))))
	want(t, lic.Evaluate(do(day0, permission.Play, part(2))), "NO_GRANT/PART BUY")
	want(t, lic.Evaluate(do(day0, permission.Play)), "NO_GRANT/PART BUY")
	v := newViewer(t, lic, day0)
	v.in.Request.Part = []byte{1}
	want(t, v.begin(0))
	want(t, v.play(0, minute))
	v.end()
	v.in.Request.Part = []byte{2}
	want(t, v.begin(minute), "NO_GRANT/PART BUY")
}

func TestTR62636_SeveralPermissionsForOneMultipartContent(t *testing.T) {
	lic := usage(t, "several permissions for one multipart content", film)
	printed := func(in *license.Input) { in.Request.Form = license.FormPrint }
	want(t, lic.Evaluate(do(day0, permission.Render, part(3), printed)))
	want(t, lic.Evaluate(do(day0, permission.Render, part(1), printed)), "NO_GRANT/PART BUY")
	want(t, lic.Evaluate(do(day0, permission.Play, part(3))), "NO_GRANT/PART BUY")
	v := newViewer(t, lic, day0)
	v.in.Request.Part = []byte{2}
	playAll(t, v, 1)
	want(t, v.begin(0), "COUNT_EXHAUSTED/PLAY_COUNT BUY")
	v.in.Request.Part = []byte{1} // the part without a count goes on
	playAll(t, v, 3)
	if got := v.in.State.Consumed[permission.Play]; got != 1 {
		t.Errorf("%d plays consumed, want 1", got)
	}
}

func TestTR62636_Inheritance(t *testing.T) {
	lic := usage(t, "inheritance")
	s := handOn(t, lic, permission.Copy, 2, 0)
	want(t, lic.Evaluate(do(day0, permission.Copy, with(s), to(domain))), "COUNT_EXHAUSTED/COPY_COUNT BUY")

	child := derived(t, lic, license.Derivation{Kind: license.KindCopy, Now: day0})
	want(t, child.Evaluate(at(day0)))
	want(t, child.Evaluate(do(day0, permission.Copy, to(domain))), "GENERATION/COPY")
	loan := derived(t, lic, license.Derivation{Kind: license.KindLoan, Subject: license.DomainSubject(domain, 1), For: day, Now: day0})
	want(t, loan.Evaluate(at(day0)))
	for _, p := range []permission.Permission{permission.Copy, permission.Lend, permission.Transfer} {
		want(t, loan.Evaluate(do(day0, p, to(domain), lasts(hour))), "NO_GRANT/"+p.String()+" BUY")
	}
	wide := *child.Info()
	wide.Code = code(t, "PLAY; COPY=COUNTED; COPY_COUNT=3; TRANSFER=1; LEND; LEND_TIME=14d")
	if err := license.Narrower(&wide, lic.Info()); err == nil {
		t.Error("three copies inherited of two")
	}

	heir := handOn(t, lic, permission.Transfer, 1, 0)
	want(t, lic.Evaluate(do(day0+day, permission.Transfer, with(heir), to(neighbours))), "COUNT_EXHAUSTED/TRANSFER BUY")
	if !slices.Equal(child.Info().Keys[0].KID[:], lic.Info().Keys[0].KID[:]) {
		t.Error("a copy has other keys than its original")
	}
}
