package module_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

// doomed is the tracer that kills a process when it is about to make its nth such call.
func doomed(t *testing.T, call string, n int) []string {
	t.Helper()
	return []string{needs.Tool(t, "strace"), "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", call, n)}
}

func needsTracing(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), needs.Tool(t, "strace"), "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		needs.NotRun(t, fmt.Sprintf("processes cannot be traced here: %s", out))
	}
}

// wiper is a device that is sold again and again, always from the same folder.
type wiper struct {
	*box
	h    *house
	left func() int // what the key storage keeps of keys; nil: the folder is all of it
}

// sold has somebody use the folder's device for the first time.
func (w *wiper) sold() (id ident.Device) {
	w.t.Helper()
	w.spawn()
	ctx := context.Background()
	w.h.must(w.Enroll(ctx, w.h.certify(w.box, pki.Device, pkitest.Devices)))
	w.h.must(w.h.learnTime(w.box))
	st, err := w.Status(ctx)
	w.h.must(err)
	w.end()
	return st.Device
}

func (w *wiper) end() {
	w.t.Helper()
	_ = w.Close()
	_ = w.wait()
}

// wipe has the device destroy its keys, and reports whether it said so and how it ended.
func (w *wiper) wipe() (said bool, err error) {
	w.t.Helper()
	w.spawn()
	got, err := w.Wipe(context.Background(), trem.WipeOrder{GiveUp: true})
	if err != nil {
		_ = w.Close()
	}
	return err == nil && got.Done, w.wait()
}

// settle starts the device until it answers: it is what it was, and is wiped then, or
// nobody's. One that said that it is wiped is nobody's.
func (w *wiper) settle(step string, was ident.Device, said bool) {
	w.t.Helper()
	for range 3 {
		w.spawn()
		st, err := w.Status(context.Background())
		if err != nil { // it went on, and ended
			w.end()
			continue
		}
		w.end()
		switch fresh := st.Role == "" && st.Licenses == 0; {
		case st.Device != was && fresh:
			if gone, err := filepath.Glob(filepath.Join(w.dir, "*.gone")); err != nil || len(gone) > 0 {
				w.t.Errorf("%s: left: %v, %v", step, gone, err)
			}
			return
		case st.Device == was && !fresh && !said:
			if ok, err := w.wipe(); !ok || err != nil {
				w.t.Errorf("%s: wiped again: %v", step, err)
				return
			}
			said = true
		default:
			w.t.Errorf("%s: it said %v, and is %v (was %v), %q, with %d licenses", step, said, st.Device, was, st.Role, st.Licenses)
			return
		}
	}
	w.t.Errorf("%s: it does not start again", step)
}

// everyStep kills the device at each of these system calls, by which it changes what
// outlives it, of its start and its wiping.
func (w *wiper) everyStep(least int, calls ...string) {
	w.t.Helper()
	needsTracing(w.t)
	killed, kept := 0, -1
	for _, call := range calls {
		for n := 1; !w.t.Failed(); n++ {
			step := fmt.Sprint(call, " ", n)
			was := w.sold()
			if w.left != nil {
				if now := w.left(); kept >= 0 && now != kept {
					w.t.Errorf("before %s: the storage keeps %d of keys, and %d at first", step, now, kept)
				} else {
					kept = now
				}
			}
			w.tracer = doomed(w.t, call, n)
			said, err := w.wipe()
			w.tracer = nil
			w.settle(step, was, said)
			if err == nil {
				break // it makes no more of them
			}
			killed++
		}
	}
	if w.t.Logf("killed at %d places", killed); killed < least {
		w.t.Errorf("killed at %d places: this tests nothing", killed)
	}
}

// TestWipe_KilledAtEveryStep: a device that is wiped and loses its power at any durable
// step is what it was, or nobody's after the next start; nothing between.
func TestWipe_KilledAtEveryStep(t *testing.T) {
	needs.Long(t)
	h := newHouse(t)
	b := &box{t: t, dir: filepath.Join(t.TempDir(), "trem"), stderr: io.Discard}
	h.must(os.Mkdir(b.dir, 0o700))
	(&wiper{box: b, h: h}).everyStep(20, "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "renameat", "unlinkat")
}

// TestWipe_KilledAtEveryStepTPM: so is one whose keys and register are in a TPM.
// The folder's other steps are as above; what it writes to the TPM is one, too.
func TestWipe_KilledAtEveryStepTPM(t *testing.T) {
	needs.Long(t)
	h := newHouse(t)
	d := &desk{h: h, tpm: keystoretest.NewTPM(t), at: -1, cmd: new(exec.Cmd), box: &box{t: t, dir: filepath.Join(t.TempDir(), "trem"), stderr: io.Discard}}
	h.must(os.Mkdir(d.dir, 0o700))
	h.must(trem.KeyStorage{Kind: trem.StorageTPM, TPM: d.tpm.Path, Register: trem.RegisterExtend}.Save(d.dir))
	d.chip = d.wire
	(&wiper{box: d.box, h: h}).everyStep(20, "write", "renameat")
}
