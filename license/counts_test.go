package license_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

func counted(t testing.TB, text string, duration int64, edit ...func(*license.Policy)) *license.License {
	t.Helper()
	return newLicense(t, text, func(i *license.Info) {
		i.Policy.Duration = duration
		for _, f := range edit {
			f(&i.Policy)
		}
	})
}

func plays(s license.State) uint64 { return s.Consumed[permission.Play] }

func TestEvaluator_E17_V10_CrashResumeChargeRestart(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=1", 2*hour), day0)
	d := v.begin(0)
	v.must(d)
	if diff := cmp.Diff([]license.Confirm{{Kind: license.LastPlay}}, d.Confirm); diff != "" {
		t.Error(diff)
	}
	v.must(v.play(0, 45*second))
	v.crash()
	if p := v.durable.OpenPlay; p == nil || p.Rendered != 50*second || p.Charged {
		t.Fatalf("durable after a crash at 45 s: %+v, want 50 s, not charged", p)
	}
	v.wait(11 * hour)
	v.must(v.begin(45 * second))
	if v.in.State.OpenPlay.ID != 1 || plays(v.in.State) != 0 {
		t.Fatalf("resumed 11 h later: %+v, want the same play, nothing charged", v.in.State)
	}
	anchors := v.anchors
	v.must(v.play(45*second, 46*second)) // its slice makes 60 s
	if plays(v.durable) != 1 || !v.durable.OpenPlay.Charged || v.anchors != anchors+1 {
		t.Fatalf("slice that reaches 60 s: %+v, %d anchors; want charged, durable and anchored", v.durable, v.anchors-anchors)
	}
	v.must(v.play(46*second, 2*hour*96/100))
	d = v.fragment(sdKID, 1, 0, second)
	v.refused(d, license.CountExhausted)
	if r := d.Reasons[len(d.Reasons)-1]; r.Remedy != license.Buy {
		t.Errorf("remedy %q, want BUY", r.Remedy)
	}
	v.must(v.fragment(sdKID, 1, 2*hour*97/100, second)) // the play that is paid for goes on
	v.end()
	v.refused(v.begin(0), license.CountExhausted)
	v.must(v.begin(2 * hour * 97 / 100))
}

func TestEvaluator_E17_V11_SamplesAreBounded(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=1", 2*hour), day0)
	for i := range 3 {
		v.must(v.begin(0))
		if i < 2 {
			v.must(v.play(0, 25*second))
			if v.end(); plays(v.durable) != 0 {
				t.Fatalf("sample %d was charged", i+1)
			}
			v.wait(13 * hour) // each sample is its own play: the window lapses
			continue
		}
		v.must(v.play(0, second))
		if plays(v.durable) != 1 {
			t.Errorf("first slice of the third sample: %+v, want charged", v.durable)
		}
	}
}

func TestEvaluator_E17_V12_AccumulatedSurvivesACrash(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; ACCUMULATED=600s", 2*hour), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 595*second))
	v.crash()
	if v.durable.Acc != 600*second {
		t.Errorf("durable %d ms, want 600 s", v.durable.Acc)
	}
	v.refused(v.begin(595*second), license.TimeExhausted)
}

func TestEvaluator_E4_AccumulatedEndRefunds(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; ACCUMULATED=600s", 2*hour), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 42*second))
	v.end()
	if v.durable.Acc != 42*second || v.durable.Slice != nil {
		t.Errorf("after a clean end at 42 s: %+v", v.durable)
	}
	if d := v.lic.Evaluate(v.in); *d.Counters.MSLeft != 558*second {
		t.Errorf("ms left %d, want 558 s", *d.Counters.MSLeft)
	}
}

func TestEvaluator_E17_V28_FullSpeedRead(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; ACCUMULATED=600s", 2*hour), day0)
	v.must(v.begin(0))
	media := int64(0)
	for m := int64(0); m < 2*hour; m += 2 * second { // at peak rate, in no time
		if !v.fragment(hdKID, 2_000_000, m, 2*second).Allow {
			break
		}
		media += 2 * second
	}
	if media < 590*second || media > 630*second {
		t.Errorf("%d ms of media for 600 s, want at most 630 s", media)
	}
}

func TestEvaluator_E4_OpenPlayClosesWithItsWindow(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=2", 2*hour), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 90*second))
	v.end()
	v.wait(12*hour - 1)
	v.must(v.begin(90 * second))
	if v.in.State.OpenPlay.ID != 1 {
		t.Fatal("one ms before the window lapses: another play")
	}
	v.end()
	v.wait(12 * hour)
	v.must(v.begin(90 * second))
	if v.in.State.OpenPlay.ID != 2 || v.in.State.OpenPlay.Rendered != 0 {
		t.Errorf("at the window's end: %+v, want the second play", v.in.State.OpenPlay)
	}
}

func TestEvaluator_E4_WatchAgain(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=2", 2*hour), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 90*second))
	v.end()
	v.in.Request.Again = true
	v.must(v.begin(0))
	if v.in.State.OpenPlay.ID != 2 {
		t.Errorf("watch again: %+v, want a new play", v.in.State.OpenPlay)
	}
}

func TestEvaluator_E4_UnchargedOpenPlayHoldsTheLastUnit(t *testing.T) {
	lic := counted(t, "PLAY; PLAY_COUNT=2", 2*hour)
	v := newViewer(t, lic, day0)
	v.must(v.begin(0))
	v.must(v.play(0, 20*second))
	if _, err := lic.Give(v.durable, license.Share{Plays: 2}); err == nil {
		t.Error("both units handed out while a play is open")
	}
	if _, err := lic.Give(v.durable, license.Share{Plays: 1}); err != nil {
		t.Error(err)
	}
}

func TestEvaluator_E4_PauseIsNotUse(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; ACCUMULATED=600s", 2*hour), day0)
	v.must(v.begin(0))
	v.must(v.fragment(sdKID, 1000, 0, second))
	v.wait(hour)
	v.must(v.fragment(sdKID, 1000, second, second))
	v.wait(5 * second)
	v.end()
	if v.durable.Acc != 15*second {
		t.Errorf("10 s of the slice before the pause and 5 s behind it came to %d ms", v.durable.Acc)
	}
}

func TestEvaluator_E4_PictureTiersAddUpSoundRunsBeside(t *testing.T) {
	for _, tc := range []struct {
		name  string
		kids  []int // indexes into the license's keys: audio, SD, HD
		bytes []int64
		want  int64
	}{
		{"sound beside the picture", []int{0, 1}, []int64{160_000, 2_500_000}, 10 * second},
		{"two picture tiers", []int{1, 2}, []int64{2_500_000, 10_000_000}, 20 * second},
		{"sound alone", []int{0}, []int64{160_000}, 10 * second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := newViewer(t, counted(t, "PLAY; ACCUMULATED=600s", 2*hour), day0)
			v.must(v.begin(0))
			for i, k := range tc.kids {
				v.must(v.fragment(v.lic.Info().Keys[k].KID, tc.bytes[i], 0, 10*second))
			}
			v.end()
			if v.durable.Acc != tc.want {
				t.Errorf("used %d ms, want %d", v.durable.Acc, tc.want)
			}
		})
	}
}

// read decrypts a film's two tracks at full speed, one after the other, from a position on.
func (v *viewer) read(duration int64) license.Decision {
	for _, kid := range []int{1, 0} {
		ref := v.lic.Info().Keys[kid]
		for m := int64(0); m < duration; m += 2 * second {
			if d := v.fragment(ref.KID, int64(ref.BPS), m, 2*second); !d.Allow { // half the peak rate
				return d
			}
		}
	}
	return license.Decision{Allow: true}
}

// The third play of a short rental is refused whichever way the film is begun again.
func TestEvaluator_E4_ThirdPlayOfAShortFilm(t *testing.T) {
	const film = 75 * second
	t.Run("a session for each play", func(t *testing.T) {
		v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=2", film), day0)
		for n := uint64(1); n <= 2; n++ {
			v.must(v.begin(0))
			v.must(v.read(film))
			v.end()
			if plays(v.durable) != n {
				t.Fatalf("after play %d: %d charged", n, plays(v.durable))
			}
		}
		d := v.begin(0)
		v.refused(d, license.CountExhausted)
		if len(d.Reasons) != 1 || d.Reasons[0].Remedy != license.Buy || *d.Counters.PlaysLeft != 0 {
			t.Errorf("%+v, want one reason, remedy BUY, nothing left", d)
		}
	})
	t.Run("all in one session", func(t *testing.T) {
		v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=2", film), day0)
		v.must(v.begin(0))
		v.must(v.read(film))
		v.must(v.read(film))
		if plays(v.durable) != 2 {
			t.Fatalf("%d charged, want 2", plays(v.durable))
		}
		v.refused(v.read(film), license.CountExhausted)
	})
	t.Run("a host that lies about the position", func(t *testing.T) {
		v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=2", film), day0)
		v.must(v.begin(0))
		v.must(v.read(film))
		v.end()
		v.must(v.begin(70 * second)) // says it goes on at the end
		v.must(v.read(film))         // and reads from the start
		v.end()
		if plays(v.durable) != 2 {
			t.Fatalf("%d charged, want 2", plays(v.durable))
		}
		v.must(v.begin(70 * second))
		v.refused(v.read(film), license.CountExhausted)
	})
	t.Run("a host that crashes the module at the end", func(t *testing.T) {
		v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=1", film), day0)
		v.must(v.begin(0))
		v.must(v.read(film))
		v.crash()
		v.refused(v.begin(0), license.CountExhausted)
	})
}

// Sound that is still at the end of the old play, while the picture has begun
// again, does not make a third play of the second.
func TestEvaluator_E4_InterleavedTracksRestartOnce(t *testing.T) {
	const film = 75 * second
	v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=2", film), day0)
	v.must(v.begin(0))
	for at := int64(0); at < 2*film; at += second { // the sound is 3 s behind
		v.must(v.fragment(sdKID, 1000, at%film, second))
		if at == film && (v.durable.OpenPlay.ID != 2 || v.durable.OpenPlay.Rendered != 10*second) {
			t.Errorf("at the restart: %+v, want the second play with a slice of its own", v.durable.OpenPlay)
		}
		if at >= 3*second {
			v.must(v.fragment(audioKID, 100, (at-3*second)%film, second))
		}
		v.wait(second)
	}
	if plays(v.in.State) != 2 || v.in.State.OpenPlay.ID != 2 {
		t.Errorf("%+v, want two plays", v.in.State)
	}
	// The picture of the second play runs out before the sound of it begins.
	v = newViewer(t, counted(t, "PLAY; PLAY_COUNT=2", film), day0)
	v.must(v.begin(0))
	for range 2 {
		v.must(v.read(film))
	}
	if v.in.State.OpenPlay.ID != 2 {
		t.Errorf("%+v, want two plays", v.in.State)
	}
}

func TestEvaluator_E4_SeekingInsideAPlayIsFree(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=1", 2*hour), day0)
	v.must(v.begin(0))
	for _, m := range []int64{0, hour, 0, 90 * minute, 5 * minute, 107 * minute, 0} { // never past 90 %
		v.must(v.play(m, m+20*second))
	}
	if plays(v.in.State) != 1 || v.in.State.OpenPlay.ID != 1 {
		t.Errorf("%+v, want one play", v.in.State)
	}
	v.must(v.play(110*minute, 111*minute)) // past 90 %
	v.must(v.play(13*minute, 14*minute))   // back, but not to the beginning
}

func TestEvaluator_E4_RestartInTheTailIsRefused(t *testing.T) {
	const film = 75 * second
	lic := newLicense(t, "PLAY; PLAY_COUNT=5; END_TIME=2026-01-01T01:00:00Z", policy(func(p *license.Policy) { p.Duration = film }))
	v := newViewer(t, lic, day0+hour-30*second)
	v.must(v.begin(0))
	v.must(v.play(0, 70*second))
	v.refused(v.fragment(sdKID, 1, 0, second), license.Expired)
	v.must(v.fragment(sdKID, 1, 70*second, second))
}

func TestEvaluator_E4_CountedUseNeedsBPS(t *testing.T) {
	lic := newLicense(t, "PLAY; PLAY_COUNT=1", func(i *license.Info) {
		i.Policy.Duration, i.Keys[2].BPS = hour, 0
	})
	d := lic.Evaluate(at(day0))
	if !d.Allow || d.Tier != license.TierSD {
		t.Errorf("%+v, want SD only: HD has no bps", d)
	}
}

// What is released in a slice stays within its time and bytes, and is covered
// by what is durable.
func TestEvaluator_E4_SliceBounds(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=1", 2*hour), day0)
	v.must(v.begin(0))
	var total int64
	for m := int64(0); m < 200*second; m += 2 * second {
		s := v.lic.Extend(v.ses, v.in, license.Fragment{KID: hdKID, Bytes: 1_500_000, MediaMS: m, DurMS: 2 * second, WallMS: v.now() - v.begun})
		v.must(v.take(s))
		total += 1_500_000
		if s.Slice.MS > 10*second || s.Slice.Bytes > 1_000_000*10*5/4+4<<20 {
			t.Fatalf("slice %+v", s.Slice)
		}
		if v.durable.OpenPlay.Rendered < total*1000/1_000_000 {
			t.Fatalf("%d bytes are out, durable %d ms", total, v.durable.OpenPlay.Rendered)
		}
	}
	if v.commits > 20 {
		t.Errorf("%d commits for 150 s of media", v.commits)
	}
}

func TestEvaluator_E4_StatelessUseCommitsNothing(t *testing.T) {
	v := newViewer(t, newLicense(t, "PLAY; CHARGE=PURCHASE"), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 5*minute))
	v.end()
	if v.commits != 0 || v.in.State.Ver != 0 {
		t.Errorf("%d commits, state %+v", v.commits, v.in.State)
	}
}

func TestEvaluator_E4_ExtendJudgesAgain(t *testing.T) {
	v := newViewer(t, newLicense(t, "PLAY"), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 5*second))
	v.in.Env.Domains[0].Removed = true
	v.refused(v.fragment(sdKID, 1, 5*second, second), license.SubjectMismatch)
	v.in.Env.Domains[0].Removed = false
	for _, bad := range []license.Fragment{{KID: uhdKID}, {KID: sdKID, Bytes: -1}, {KID: sdKID, MediaMS: -1}, {KID: sdKID, DurMS: -1}, {KID: sdKID, WallMS: -1}, {KID: sdKID, MediaMS: 1 << 60}} {
		if s := v.lic.Extend(v.ses, v.in, bad); s.Decision.Allow {
			t.Errorf("%+v allowed", bad)
		}
	}
}

// Begin, Extend and End leave what they were given unchanged.
func TestEvaluator_P3_StepsArePure(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=2; INTERVAL=48h", 75*second), day0)
	v.must(v.begin(0))
	for m := int64(0); m < 150*second; m += second {
		before, err := v.in.State.Encode()
		if err != nil {
			t.Fatal(err)
		}
		f := license.Fragment{KID: sdKID, Bytes: 100_000, MediaMS: m % (75 * second), DurMS: second, WallMS: v.now() - v.begun}
		one, two := v.lic.Extend(v.ses, v.in, f), v.lic.Extend(v.ses, v.in, f)
		v.lic.End(v.ses, v.in, f.WallMS)
		if diff := cmp.Diff(one, two, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
			t.Fatal(diff)
		}
		if after, _ := v.in.State.Encode(); string(after) != string(before) {
			t.Fatal("the caller's state changed")
		}
		v.must(v.take(one))
		v.wait(second)
	}
}
