//go:build unix

package vault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lares-drm/lares/security/keystore/soft"
)

// stepEnv makes the test binary the process that is killed at one step, in its
// working directory. Its value is kind of anchor, step, and whether a write is cut.
const stepEnv = "LARES_VAULT_STEP"

func stepChild(spec string) error {
	var kind anchorKind
	k := new(killer)
	if _, err := fmt.Sscan(spec, &kind, &k.at, &k.half); err != nil {
		return err
	}
	keys, err := soft.Open("keys")
	if err != nil {
		return err
	}
	cfg, nv, err := withNV(Config{Keystore: keys, Device: device}, kind, "nv", k)
	if err != nil {
		return err
	}
	f, err := newKillFS(k)
	if err != nil {
		return err
	}
	cfg.FS = f
	w := &writer{}
	for open := range 3 {
		if err := f.reopen(); err != nil {
			return err
		}
		v, err := Open(cfg, func(Record) error { return nil })
		if err != nil {
			return err
		}
		if err := errors.Join(w.work(v, open != 1), v.Close()); err != nil {
			return err
		}
	}
	return nv.Close()
}

// writer says what it begins to write and what it wrote.
type writer struct {
	mu    sync.Mutex
	last  int
	acked []Record
}

func (w *writer) say(word string, r Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if word == "acked" {
		w.acked = append(w.acked, r)
	}
	fmt.Println(word, string(r.Body))
}

func (w *writer) commit(v *Vault, anchored bool, size int) error {
	w.mu.Lock()
	w.last++
	r := Record{Kind: 1, Body: fmt.Appendf(nil, "%d%s", w.last, strings.Repeat("-", size))}
	w.mu.Unlock()
	w.say("begin", r)
	if err := v.Commit(anchored, r); err != nil {
		return err
	}
	w.say("acked", r)
	return nil
}

// work is single commits, a crowd of commits, and a compaction.
func (w *writer) work(v *Vault, compact bool) error {
	for i, size := range []int{0, 700} {
		if err := w.commit(v, i == 1, size); err != nil {
			return err
		}
	}
	var crowd sync.WaitGroup
	errs := make(chan error, 5)
	for i := range cap(errs) {
		crowd.Go(func() { errs <- w.commit(v, i%2 == 0, 10) })
	}
	crowd.Wait()
	for range cap(errs) {
		if err := <-errs; err != nil {
			return err
		}
	}
	if compact {
		if err := v.Compact(w.acked); err != nil {
			return err
		}
	}
	return w.commit(v, true, 0)
}

// TestVault_5_KilledAtEveryStep kills a process with signal 9 before each of
// its changes of file, directory and register, and in the middle of each write,
// and opens what is then in the directory, and what a power cut leaves of it.
func TestVault_5_KilledAtEveryStep(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 7
	}
	for _, kind := range anchors() {
		t.Run(fmt.Sprintf("anchor %d", kind), func(t *testing.T) {
			t.Parallel()
			steps := 0
			for _, half := range []bool{false, true} {
				for at := 1; ; at += stride {
					killed := killStep(t, kind, at, half)
					if least := map[bool]int{false: 60, true: 12}; !killed && at < least[half] {
						t.Fatalf("it lived on at step %d, cut %v", at, half)
					}
					if !killed {
						break
					}
					steps++
				}
			}
			t.Logf("killed at %d steps", steps)
		})
	}
}

func killStep(t *testing.T, kind anchorKind, at int, half bool) (killed bool) {
	t.Helper()
	dir := t.TempDir()
	if _, err := soft.Create(filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this very binary
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %v", stepEnv, kind, at, half))
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == -1 {
		killed = true
	} else if err != nil {
		t.Fatalf("step %d: %v", at, err)
	}
	said := map[string]map[string]bool{"begin": {}, "acked": {}}
	for line := range strings.Lines(string(out)) {
		word, body, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[word][body] = true
	}
	cut := filepath.Join(dir, "cut")
	nv, err := os.ReadFile(filepath.Join(dir, "nv"))
	if err = errors.Join(err, os.WriteFile(filepath.Join(dir, "nv2"), nv, 0o600), powerCut(dir, cut)); err != nil {
		t.Fatal(err)
	}
	checkLeft(t, filepath.Join(dir, "vault"), kind, filepath.Join(dir, "nv"), filepath.Join(dir, "keys"), said)
	checkLeft(t, cut, kind, filepath.Join(dir, "nv2"), filepath.Join(dir, "keys"), said)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	return killed
}

// checkLeft opens a vault: it has all that was acknowledged and nothing that
// was never begun, each once; and it goes on.
func checkLeft(t *testing.T, dir string, kind anchorKind, nv, keys string, said map[string]map[string]bool) {
	t.Helper()
	k, err := soft.Open(keys)
	if err != nil {
		t.Fatal(err)
	}
	cfg, closer, err := withNV(Config{Dir: dir, Keystore: k, Device: device}, kind, nv, new(killer))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	v, err := Open(cfg, func(r Record) error {
		if body := string(r.Body); got[body] || !said["begin"][body] {
			return fmt.Errorf("record %s: again %v, begun %v", body, got[body], said["begin"][body])
		}
		got[string(r.Body)] = true
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	for body := range said["acked"] {
		if !got[body] {
			t.Fatalf("%s: %s was acknowledged and is gone", dir, body)
		}
	}
	commit(t, v, true, rec(1))
	shut(t, v)
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
}
