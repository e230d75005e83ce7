package trembench

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

func TestBench_AppendCountsWhatItDid(t *testing.T) {
	for _, writers := range []int{1, 8} {
		a, err := Vault{Dir: t.TempDir(), Now: time.Now}.Append(t.Context(), writers, 30*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if a.Appends < writers || a.Syncs < 1 || writers == 1 && a.Syncs != a.Appends || a.Syncs > a.Appends || a.Took < 30*time.Millisecond || a.Median <= 0 {
			t.Errorf("%d writers: %+v", writers, a)
		}
	}
}

func TestBench_RecoverReadsThemAll(t *testing.T) {
	d, err := Vault{Dir: filepath.Join(t.TempDir(), "new"), Now: time.Now}.Recover(t.Context(), 500)
	if err != nil || d <= 0 {
		t.Errorf("%v, %v", d, err)
	}
}

// TestBench_PlayCompacts: with enough plays the log is shorter at the end than
// it was.
func TestBench_PlayCompacts(t *testing.T) {
	p, err := Vault{Dir: t.TempDir(), Now: time.Now}.Play(t.Context(), 12_000, 50)
	if err != nil {
		t.Fatal(err)
	}
	if bound := max(2*p.Snapshot, p.Snapshot+1<<20) + 512; p.Compactions < 2 || p.Most > bound || p.Bytes > p.Most || p.Snapshot < 50*stateBytes {
		t.Errorf("%+v", p)
	}
}

func TestBench_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err1 := Vault{Dir: t.TempDir(), Now: time.Now}.Append(ctx, 2, time.Hour)
	_, err2 := Vault{Dir: t.TempDir(), Now: time.Now}.Recover(ctx, 1<<40)
	_, err3 := Vault{Dir: t.TempDir(), Now: time.Now}.Play(ctx, 1<<40, 10)
	_, err4 := house(t).MovesInSession(ctx, 1<<40)
	_, err5 := house(t).MovesByLetter(ctx, 1<<40)
	_, err6 := house(t).Loans(ctx, 1<<40)
	for _, err := range []error{err1, err2, err3, err4, err5, err6} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	}
}
