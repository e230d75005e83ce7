package scenario_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/scenario"
)

// oneDay in ms.
const oneDay = int64(24 * 60 * 60 * 1000)

// teller is a test, or a property of one.
type teller interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func timeline(t teller, text string, ahead int64) (*scenario.Scenario, *scenario.Timeline) {
	t.Helper()
	s, err := scenario.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	line, err := s.Timeline(ahead)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s, line
}

// A rental that is begun on its last evening: it may begin, it runs, it is over.
func TestTimeline_RentalBegunOnTheLastEvening(t *testing.T) {
	_, line := timeline(t, `title: rental
license: PLAY; INTERVAL=48h; CHARGE=RENTAL
policy: storage_duration=30d, duration_ms=2h
day 29 23:00  start confirm
then          watch 60s
then          stop
`, 3*oneDay)
	want := `day 0 00:00      to day 29 23:00     PLAY: yes HD
day 29 23:00     to day 29 23:01     PLAY: yes HD
day 29 23:01     to day 31 23:00     PLAY: yes HD
day 31 23:00     to day 32 23:01     PLAY: no INTERVAL_OVER(INTERVAL)
`
	if diff := cmp.Diff(line.Text(), want); diff != "" {
		t.Error(diff)
	}
	first, run := line.Segments[0], line.Segments[2]
	if line.When(first.Holds) != "day 30 00:00" || len(first.Decision.Confirm) != 1 {
		t.Errorf("not begun: it holds until %s, confirm %v; want day 30 and one", line.When(first.Holds), first.Decision.Confirm)
	}
	if run.Holds != run.Until || run.Step != 2 || first.Step != -1 || line.Segments[3].Holds != 0 {
		t.Errorf("segments %+v", line.Segments)
	}
	if len(line.Events) != 3 || line.Until != line.Zero+32*oneDay+23*60*60_000+60_000 {
		t.Errorf("%d events, until %s", len(line.Events), line.When(line.Until))
	}
}

// What stands in a segment, and what a story asks.
func TestTimeline_AsksWhatTheStoryAskedLast(t *testing.T) {
	for _, tc := range []struct{ name, story, want string }{
		{"nothing", "license: PLAY; END_TIME=2026-01-03T00:00:00Z", "day 0 00:00      to day 2 00:00      PLAY: yes HD\nday 2 00:00      to day 4 00:00      PLAY: no EXPIRED(END_TIME)\n"},
		{"another action", "license: PLAY; COPY=FREE\nday 1 ask COPY dest=home", "day 0 00:00      to day 1 00:00      COPY: yes\nday 1 00:00      to day 5 00:00      COPY: yes\n"},
		{"reserve", "license: PLAY\nthen reserve dest=home", "day 0 00:00      to day 4 00:00      COPY: no NO_GRANT(COPY)\n"},
		{"a tier", "license: PLAY\nthen ask tier=AUDIO", "day 0 00:00      to day 4 00:00      PLAY: yes AUDIO\n"},
		{
			"the better of two", "license: PLAY; END_TIME=2026-01-03T00:00:00Z\nlicense b: PLAY; END_TIME=2026-01-02T00:00:00Z\nthen choose",
			"day 0 00:00      to day 1 00:00      PLAY: yes HD\nday 1 00:00      to day 2 00:00      PLAY: yes HD\nday 2 00:00      to day 4 00:00      PLAY: no EXPIRED(END_TIME)\n",
		},
		{
			"one that comes later", "license: PLAY; LEND\nday 1 derive loan as out subject=domain:home for=1d\nthen ask with out",
			"day 1 00:00      to day 2 00:00      PLAY: yes HD\nday 2 00:00      to day 5 00:00      PLAY: no EXPIRED(HARD_END)\n",
		},
		{
			"below a parent", "license: PLAY; END_TIME=2026-01-02T00:00:00Z\nlicense b: PLAY\nthen ask with b under film",
			"day 0 00:00      to day 1 00:00      PLAY: yes HD\nday 1 00:00      to day 4 00:00      PLAY: no EXPIRED(PARENT)\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, line := timeline(t, "title: t\n"+tc.story+"\n", 4*oneDay)
			if diff := cmp.Diff(line.Text(), tc.want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What goes on as the story has it: the age of the revocation state, a machine's
// clock that is behind, and a time that is ahead because an issuer has signed it.
func TestTimeline_GoesOnAsTheStorysClockDoes(t *testing.T) {
	for _, tc := range []struct{ name, story, want string }{
		{
			"age", "license: PLAY\ninfo: rev_max_age=2d\npolicy: stale=DENY\nday 0 status age=12h",
			"day 0 00:00      to day 1 12:00:00.001 PLAY: yes HD\nday 1 12:00:00.001 to day 5 00:00      PLAY: no STATUS_STALE(REV_MAX_AGE)\n",
		},
		{
			"no age", "license: PLAY\ninfo: rev_max_age=1ms\nday 0 ask", "day 0 00:00      to day 5 00:00      PLAY: yes HD\n",
		},
		{
			"behind", "license: PLAY\nday 1 clock lost back 3h",
			"day 0 00:00      to day 1 00:00      PLAY: yes HD\nday 1 00:00      to day 1 02:55      PLAY: yes HD CLOCK_BEHIND(CLOCK)\nday 1 02:55      to day 6 00:00      PLAY: yes HD\n",
		},
		{
			"ahead", "license: PLAY; END_TIME=2026-01-04T00:00:00Z\nday 0 issuer-time 2026-01-03T00:00:00Z",
			"day 0 00:00      to day 3 00:00      PLAY: yes HD\nday 3 00:00      to day 5 00:00      PLAY: no EXPIRED(END_TIME)\n",
		},
		{
			"ahead and not proven", "license: PLAY; END_TIME=2026-01-04T00:00:00Z\nday 0 issuer-time 2026-01-03T00:00:00Z\nday 0 clock free",
			"day 0 00:00      to day 1 00:00:00.001 PLAY: yes HD\nday 1 00:00:00.001 to day 3 00:00      PLAY: no CLOCK_STALE(CLOCK_GRACE)\n" +
				"day 3 00:00      to day 5 00:00      PLAY: no CLOCK_STALE(CLOCK_GRACE) EXPIRED(END_TIME)\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, line := timeline(t, "title: t\n"+tc.story+"\n", 5*oneDay)
			if diff := cmp.Diff(line.Text(), tc.want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTimeline_IsBounded(t *testing.T) {
	s, line := timeline(t, "title: t\nlicense: PLAY\n"+strings.Repeat("+1s ask\n", 499), 0)
	if line.Cut || len(line.Segments) != 499 {
		t.Errorf("%d segments, cut %v; want 499, and all of it", len(line.Segments), line.Cut)
	}
	for _, days := range []int64{-1, scenario.MaxAhead + 1} {
		if _, err := s.Timeline(days); err == nil {
			t.Errorf("%d ms ahead are taken", days)
		}
	}
	// Every day is looked at: a stay abroad may change its meaning at midnight.
	abroad := "title: t\nlicense: PLAY; TERRITORY=CH\npolicy: region.phase=EACH_USE\nday 0 region CH by=ISSUER\nthen start\nthen stop\nthen region FR by=ISSUER\n"
	if _, line = timeline(t, abroad, scenario.MaxAhead); line.Cut || len(line.Segments) != 1 {
		t.Errorf("ten years abroad: %d segments, cut %v", len(line.Segments), line.Cut)
	}
	var many strings.Builder
	for i := range 500 {
		fmt.Fprintf(&many, "+40s plug tv DIGITAL plugged=now # %d\n", i)
	}
	_, line = timeline(t, "title: t\nlicense: PLAY\nkeys: AUDIO 16000, SD 250000, HD 1000000 digital=HDCP_1\n"+many.String(), oneDay)
	if !line.Cut || len(line.Segments) != scenario.MaxSegments || line.Until != line.Segments[scenario.MaxSegments-1].Until {
		t.Errorf("%d segments, cut %v, until %s", len(line.Segments), line.Cut, line.When(line.Until))
	}
	if !strings.HasSuffix(line.Text(), "the time line is cut here\n") {
		t.Error("the text does not say that it is cut")
	}
}

// fresh asks the story's question at a time in a run of its own: the steps in
// front of it, and then an ask. ok is false inside of a step that lasts.
func fresh(t teller, s *scenario.Scenario, line *scenario.Timeline, step int, at int64) (*license.Decision, bool) {
	t.Helper()
	ask := "ask"
	for _, e := range line.Events {
		words := strings.Fields(e.Text)
		switch words[0] {
		case "start":
			words[0] = "ask"
		case "reserve":
			words[0] = "ask"
			if len(words) < 2 || words[1] != strings.ToUpper(words[1]) {
				words[0] = "ask COPY"
			}
		case "ask", "choose":
		default:
			continue
		}
		ask = ""
		for _, w := range words {
			if key, _, _ := strings.Cut(w, "="); key != "from" && key != "again" && key != "takeover" {
				ask += w + " "
			}
		}
	}
	lines := strings.Split(strings.TrimSpace(s.Text()), "\n")
	lines = lines[:len(lines)-len(line.Events)+step+1]
	text := strings.Join(lines, "\n") + "\n" + time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z07:00") + " " + ask + "\n"
	one, err := scenario.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	res, err := scenario.Run(one)
	if err != nil {
		if !strings.Contains(err.Error(), "the step before") {
			t.Fatalf("%v\n%s", err, text)
		}
		return nil, false
	}
	return res.Events[len(res.Events)-1].Decision, true
}

func brief(d *license.Decision) string {
	out := fmt.Sprint(d.Allow, d.Tier, d.Notes, d.Blocked)
	for _, r := range d.Reasons {
		out += fmt.Sprintf(" %s(%s)%v", r.Code, r.Constraint, r.Closed)
	}
	return out
}

// holds compares segments with fresh runs: at their first and last ms, and at a
// time in between. It returns how many times were compared.
func holds(t teller, s *scenario.Scenario, line *scenario.Timeline, between func(from, until int64) int64) int {
	t.Helper()
	n := 0
	for i := range line.Segments {
		x := &line.Segments[i]
		if x.From >= x.Until || i > 0 && x.From < line.Segments[i-1].Until {
			t.Fatalf("segment %d: %+v", i, x)
		}
		for _, at := range []int64{x.From, between(x.From, x.Until), x.Until - 1} {
			d, ok := fresh(t, s, line, x.Step, at)
			if !ok {
				continue
			}
			n++
			if got, want := brief(x.Decision), brief(d); got != want {
				t.Errorf("%s: at %s the time line says %s, asked it is %s\n%s", s.Title(), line.When(at), got, want, line.Text())
			}
			if line.At(at) != x {
				t.Errorf("%s: At(%s) is another segment", s.Title(), line.When(at))
			}
		}
	}
	return n
}

// I9: decisions flip only at the times listed; so at every time inside of a
// segment a fresh evaluation says what the segment says.
func TestTimeline_E16_I9_HoldsInAllStories(t *testing.T) {
	needs.Long(t)
	files, err := filepath.Glob("../../testdata/scenario/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d stories: %v", len(files), err)
	}
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	n := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s, line := timeline(t, string(text), 40*oneDay)
		if line.Cut || line.At(line.Until) != nil {
			t.Errorf("%s: cut %v", f, line.Cut)
		}
		if res, err := scenario.Run(s); err != nil || cmp.Diff(line.Failures(), res.Failures()) != "" || len(res.Events) != len(line.Events) {
			t.Errorf("%s: the time line tells another story than Run", f)
		}
		n += holds(t, s, line, func(from, until int64) int64 { return from + rnd.Int64N(until-from) })
	}
	if n < 3*len(files) {
		t.Errorf("%d times compared in %d stories", n, len(files))
	}
}

// The same of random stories.
func TestTimeline_E16_I9_HoldsInRandomStories(t *testing.T) {
	terms := []string{
		"PLAY", "PLAY; INTERVAL=48h; CHARGE=RENTAL", "PLAY; PLAY_COUNT=2", "PLAY; START_TIME=2026-01-03T00:00:00Z; END_TIME=2026-01-09T12:00:00Z",
		"PLAY; ACCUMULATED=600s", "PLAY; TERRITORY=CH", "PLAY; END_TIME=2026-01-06T00:00:00Z; CHARGE=SUBSCRIPTION", "PLAY; OUTPUT_PROTECTION=HDCP_1",
	}
	policies := []string{
		"duration_ms=2h", "storage_duration=5d, duration_ms=1h", "storage_duration=5d, on_first_use=CAP, duration_ms=2h", "resume_window=6h, duration_ms=2h",
		"region.phase=EACH_USE, region.roam_days=2, duration_ms=2h", "concurrency.max=1, duration_ms=2h", "clock_grace=36h, duration_ms=2h", "stale=DENY, hard_end=day 7, duration_ms=2h",
	}
	steps := []string{
		"clock lost", "clock free", "clock unset", "clock secure", "clock lost back 7h", "clock free ahead 2d", "issuer-time +2d", "issuer-time none",
		"plug tv DIGITAL plugged=now", "plug tv DIGITAL HDCP_1 plugged=now", "display DIGITAL plugged=now", "display INTERNAL", "region CH", "region FR", "region none",
		"status age=1d", "status age=3d", "slot phone", "slot phone free", "offline", "online", "sunset +2d", "sunset none", "member not_after=+3d", "leave",
		"state first_use=+1d", "state denied=+0s", "state new", "ask", "ask AUDIO", "ask tier=SD", "wait 5h",
		"start confirm", "watch 70s", "stop", "crash",
	}
	rapid.Check(t, func(rt *rapid.T) {
		pick := func(list []string, what string) string { return rapid.SampledFrom(list).Draw(rt, what) }
		text := "title: t\nlicense: " + pick(terms, "terms") + "\npolicy: " + pick(policies, "policy") + "\ninfo: rev_max_age=2d\n"
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			line := fmt.Sprintf("+%dm %s\n", rapid.SampledFrom([]int{0, 1, 50, 400, 3000}).Draw(rt, "later"), pick(steps, "step"))
			if s, err := scenario.Parse([]byte(text + line)); err == nil {
				if _, err = scenario.Run(s); err == nil { // else nothing was started, or what is running cannot start
					text += line
				}
			}
		}
		s, err := scenario.Parse([]byte(text))
		if err != nil {
			rt.Fatalf("%v\n%s", err, text)
		}
		line, err := s.Timeline(12 * oneDay)
		if err != nil {
			rt.Fatalf("%v\n%s", err, text)
		}
		if n := holds(rt, s, line, func(from, until int64) int64 { return rapid.Int64Range(from, until-1).Draw(rt, "at") }); n == 0 {
			rt.Fatalf("nothing was compared\n%s", text)
		}
	})
}
