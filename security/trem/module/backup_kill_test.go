package module_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/trem"
)

// restoredHome checks that a home server is wholly as founded or wholly restored.
func (f *furnished) restoredHome(b *box) bool {
	f.t.Helper()
	st, err := b.Status(context.Background())
	f.must(err)
	s, err := b.Succession(context.Background())
	f.must(err)
	whole := st.Generation == 2 && st.Licenses == 1 && len(s.Restore) > 0
	if !whole && (st.Generation != 1 || st.Licenses != 0 || len(s.Restore) > 0) {
		f.t.Fatalf("half restored: generation %d, %d licenses, RESTORE of %d bytes", st.Generation, st.Licenses, len(s.Restore))
	}
	return whole
}

// TestBackup_3_KillDuringRestore kills the module's process at many moments of a
// restore: the house is as it was, or restored, and the repetition ends it.
func TestBackup_3_KillDuringRestore(t *testing.T) {
	needs.Long(t)
	f := furnish(t)
	f.lose()
	before, after := 0, 0
	for round := range 10 {
		b := f.newHome()
		f.must(b.Close())
		<-b.exited
		cmd := b.spawn()
		ctx := context.Background()
		_, err := b.Status(ctx) // it is up
		f.must(err)
		done := make(chan error, 1)
		go func(c *trem.Client) {
			_, _, err := c.Restore(ctx, trem.RestoreOrder{Code: f.code}, f.file)
			done <- err
		}(b.Client)
		time.Sleep(time.Duration(round) * 700 * time.Microsecond)
		cmd = b.crash(cmd)
		<-done
		if f.restoredHome(b) {
			after++
		} else {
			before++
		}
		f.restore(b, f.code, f.file, 0)
		cmd = b.crash(cmd)
		if !f.restoredHome(b) {
			t.Fatalf("round %d: a restore that was acknowledged is not there", round)
		}
		_ = cmd.Process.Kill()
		<-b.exited
		b.exited <- nil
	}
	t.Logf("killed before the batch %d times, after it %d times", before, after)
}

// TestBackup_3_TornRestore cuts the log inside the batch of a restore, as a power
// cut would: nothing of it counts, and the restore can be repeated.
func TestBackup_3_TornRestore(t *testing.T) {
	f := furnish(t)
	f.lose()
	b := f.home
	b.restart()
	f.learn(b) // begins this opening's segment
	segment := func() (string, int64) {
		all, err := filepath.Glob(filepath.Join(b.dir, "vault", "*.seg"))
		f.must(err)
		slices.Sort(all)
		info, err := os.Stat(all[len(all)-1])
		f.must(err)
		return all[len(all)-1], info.Size()
	}
	_, from := segment()
	f.restore(b, f.code, f.file, 0)
	path, to := segment()
	f.must(b.Close())
	<-b.exited
	whole, err := os.ReadFile(path)
	f.must(err)
	cuts := 0
	for at := from; at < to; at += 512 {
		f.must(os.WriteFile(path, whole[:at], 0o600))
		b.start()
		if f.restoredHome(b) {
			t.Fatalf("cut at byte %d of %d to %d, the restore counts", at, from, to)
		}
		f.restore(b, f.code, f.file, 0)
		f.must(b.Close())
		<-b.exited
		if later, _ := segment(); later != path {
			f.must(os.Remove(later))
		}
		cuts++
	}
	if cuts < 4 {
		t.Errorf("%d cuts in a batch of %d bytes", cuts, to-from)
	}
	f.must(os.WriteFile(path, whole, fs.FileMode(0o600)))
	b.start()
	if !f.restoredHome(b) {
		t.Error("the whole log is not restored")
	}
}
