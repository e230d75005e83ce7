package module_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

// desk is a module in a process of its own, whose keys are in a TPM, and the
// wire between the two, on which the process can be killed.
type desk struct {
	*box
	h   *house
	tpm *keystoretest.TPM

	mu    sync.Mutex // guards what follows, which the wire looks at
	cmd   *exec.Cmd
	count int // of the commands that passed since the start
	at    int // the command at which the process is killed; -1: none
	after bool
}

func newDesk(h *house, register string) *desk {
	h.t.Helper()
	d := &desk{h: h, tpm: keystoretest.NewTPM(h.t), at: -1, box: &box{t: h.t, dir: filepath.Join(h.t.TempDir(), "trem")}}
	h.must(os.Mkdir(d.dir, 0o700))
	h.must(trem.KeyStorage{Kind: trem.StorageTPM, TPM: d.tpm.Path, Register: register}.Save(d.dir))
	d.chip = d.wire
	d.start()
	h.t.Cleanup(func() { d.kill() })
	h.must(d.Enroll(context.Background(), h.certify(d.box, pki.Device, pkitest.Devices)))
	s, err := d.Status(context.Background())
	h.must(err)
	d.id = s.Device
	return d
}

func (d *desk) start() {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count, d.cmd = 0, d.spawn()
}

// doom sets where the next process is killed.
func (d *desk) doom(at int, after bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at, d.after = at, after
}

// step counts a command. It says whether the module dies before the TPM has it,
// or after the TPM has done it.
func (d *desk) step() (before, after bool, module *os.Process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	hit := d.count == d.at
	d.count++
	return hit && !d.after, hit && d.after, d.cmd.Process
}

// kill ends the process as a crash does, if it has not ended.
func (d *desk) kill() {
	_ = d.cmd.Process.Kill()
	<-d.exited
	d.exited <- nil // for who asks again
	_ = d.Close()
}

// wire gives the module's end of the wire, and passes on what goes over it.
func (d *desk) wire() *os.File {
	d.t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	ours := os.NewFile(uintptr(fds[0]), "wire")
	conn, err := net.FileConn(ours)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = ours.Close()
	chip := d.tpm.Dial()
	go func() {
		defer conn.Close()
		for d.pass(conn, chip) == nil {
		}
	}()
	return os.NewFile(uintptr(fds[1]), "tpm")
}

// pass carries one command to the TPM and its response back, or kills the
// module before the TPM has the command, or after it has done it.
func (d *desk) pass(module, chip io.ReadWriter) error {
	command, err := message(module)
	if err != nil {
		return err
	}
	before, after, process := d.step()
	if before {
		return process.Kill()
	}
	if _, err := chip.Write(command); err != nil {
		return err
	}
	response, err := message(chip)
	if err != nil {
		return err
	}
	if after {
		return process.Kill()
	}
	_, err = module.Write(response)
	return err
}

// message reads a command or a response: both have their length at byte 2.
func message(r io.Reader) ([]byte, error) {
	b := make([]byte, 10)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	b = append(b, make([]byte, max(int(binary.BigEndian.Uint32(b[2:]))-len(b), 0))...)
	_, err := io.ReadFull(r, b[10:])
	return b, err
}

// epoch is the newest revocation epoch that the module knows.
func (d *desk) epoch() (uint64, error) {
	s, err := d.Status(context.Background())
	return s.Epoch, err
}

// next shows the module the next revocation state, whose floor is anchored.
func (d *desk) next() error {
	d.h.pass(time.Hour)
	return d.h.learnState(d.box, d.h.publish())
}

func registers() []string { return []string{trem.RegisterExtend, trem.RegisterCounter} }

// TestVault_5_TPMRefusesAnOlderCopy sets the folder of a module back to copies
// from before, keys and all. The TPM's register tells.
func TestVault_5_TPMRefusesAnOlderCopy(t *testing.T) {
	for _, register := range registers() {
		t.Run(register, func(t *testing.T) {
			h := newHouse(t)
			d := newDesk(h, register)
			var copies []string
			for range 3 {
				d.kill()
				dir := filepath.Join(t.TempDir(), "copy")
				h.must(os.CopyFS(dir, os.DirFS(d.dir)))
				copies = append(copies, dir)
				d.start()
				h.must(d.next())
			}
			want, err := d.epoch()
			h.must(err)
			d.kill()
			real := d.dir
			for i, dir := range copies {
				d.dir = dir
				d.start()
				if got, err := d.epoch(); err == nil {
					t.Errorf("copy %d of %d opens, and knows epoch %d of %d", i, len(copies), got, want)
				}
				d.kill()
			}
			d.dir = real
			d.start()
			if got, err := d.epoch(); err != nil || got != want {
				t.Errorf("the real folder: epoch %d, want %d: %v", got, want, err)
			}
			h.must(d.next())
		})
	}
}

// TestVault_5_KillTPMSteps kills the module before and after each command that
// it gives its TPM, while it starts and while it works, and every other time
// takes the TPM's power, too. It starts again each time, and knows what it
// acknowledged, or what it was about to.
func TestVault_5_KillTPMSteps(t *testing.T) {
	needs.Long(t)
	const works = 2
	for _, register := range registers() {
		t.Run(register, func(t *testing.T) {
			h := newHouse(t)
			d := newDesk(h, register)
			killed := 0
			for step, done := 0, false; !done; step += needs.Each() {
				before, err := d.epoch()
				h.must(err)
				d.kill()
				d.doom(step/2, step%2 == 1)
				d.start()
				known := before // what was acknowledged
				if _, err = d.epoch(); err == nil {
					for range works {
						if err = d.next(); err != nil {
							break
						}
						known = h.epoch
					}
				}
				done = err == nil
				d.kill()
				if step%4 == 3 {
					d.tpm.Stop()
					d.tpm.Start()
				}
				d.doom(-1, false)
				d.start()
				now, err := d.epoch()
				if err != nil {
					t.Fatalf("step %d: it does not start again: %v", step, err)
				}
				if now < known || now > known+1 {
					t.Fatalf("step %d: epoch %d, acknowledged %d", step, now, known)
				}
				if err := d.next(); err != nil {
					t.Fatalf("step %d: it does not work again: %v", step, err)
				}
				if !done {
					killed++
				}
			}
			t.Logf("killed at %d places", killed)
			if killed < 30/needs.Each() {
				t.Errorf("killed at %d places: this tests nothing", killed)
			}
		})
	}
}

// TestTREM_CertificateSaysNoMoreThanTheKeysReach enrolls modules with more than is true.
func TestTREM_CertificateSaysNoMoreThanTheKeysReach(t *testing.T) {
	h := newHouse(t)
	d := newDesk(h, trem.RegisterExtend)
	soft := &box{t: t, dir: t.TempDir(), clock: &clock{rtc: h.now, boot: time.Minute}}
	soft.start()
	t.Cleanup(func() { _ = soft.Close(); <-soft.exited })
	for name, tc := range map[string]struct {
		b      *box
		level  pki.Level
		anchor pki.Anchor
		ok     bool
	}{
		"software as SL1":         {soft, pki.SL1, pki.A0, true},
		"software with witnesses": {soft, pki.SL1, pki.A1, true},
		"software as token":       {soft, pki.SL2, pki.A0, false},
		"a TPM as token":          {d.box, pki.SL2, pki.A1, true},
		"a TPM as software, A0":   {d.box, pki.SL1, pki.A0, true},
	} {
		err := tc.b.Enroll(context.Background(), h.certifyAs(tc.b, pki.Device, pkitest.Devices, tc.level, tc.anchor))
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !tc.ok {
			continue
		}
		s, err := tc.b.Status(context.Background())
		h.must(err)
		if s.Level != uint8(tc.level) || s.Anchor != uint8(tc.anchor) {
			t.Errorf("%s: status says SL%d, A%d", name, s.Level, s.Anchor)
		}
	}
	s, err := d.Status(context.Background())
	h.must(err)
	if want := (trem.KeystoreStatus{Kind: trem.StorageTPM, Level: 3, Register: trem.RegisterExtend, Anchor: 2}); s.Keystore != want {
		t.Errorf("keystore %+v, want %+v", s.Keystore, want)
	}
	if s, err = soft.Status(context.Background()); err != nil || s.Keystore.Kind != trem.StorageSoft || s.Keystore.Level != 1 || s.Keystore.Register != "" || s.Keystore.Anchor != 0 {
		t.Errorf("keystore %+v, %v", s.Keystore, err)
	}
}

// TestTREM_KeysStayWhereTheyAre starts modules on folders whose keys are in
// another storage than the folder says: no second identity is made.
func TestTREM_KeysStayWhereTheyAre(t *testing.T) {
	h := newHouse(t)
	d := newDesk(h, trem.RegisterExtend)
	d.kill()
	name := filepath.Join(d.dir, "keystore.json")
	h.must(os.Remove(name)) // a folder without it is one of software
	d.chip = nil
	files := func() (out []string) {
		entries, err := os.ReadDir(d.dir)
		h.must(err)
		for _, e := range entries {
			out = append(out, e.Name())
		}
		return out
	}
	before := fmt.Sprint(files())
	d.start()
	if _, err := d.epoch(); err == nil {
		t.Error("a module of a TPM runs with keys in software")
	}
	d.kill()
	if after := fmt.Sprint(files()); after != before {
		t.Errorf("files %s, were %s", after, before)
	}
	h.must(trem.KeyStorage{Kind: trem.StorageTPM, TPM: d.tpm.Path, Register: trem.RegisterExtend}.Save(d.dir))
	d.start() // without the TPM
	if _, err := d.epoch(); err == nil {
		t.Error("a module of a TPM runs without one")
	}
	d.kill()
	d.chip = d.wire
	d.start()
	s, err := d.Status(context.Background())
	if err != nil || s.Device != d.id {
		t.Errorf("device %v, want %v: %v", s.Device, d.id, err)
	}
}
