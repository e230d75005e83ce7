package module_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/module"
)

// childDir makes this test binary a trusted module of its own process, which
// can be killed as a power cut would.
const childDir = "LARES_TEST_MODULE_DIR"

// childTPM says that the TPM is on descriptor 4, as --tpm does.
const childTPM = "LARES_TEST_MODULE_TPM"

// childTraced says that a tracer counts the system calls, and it does so thread by
// thread: the module makes all of them on one.
const childTraced = "LARES_TEST_MODULE_TRACED"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(act(role))
	}
	dir := os.Getenv(childDir)
	if dir == "" {
		code := m.Run()
		sweep()
		os.Exit(code)
	}
	if os.Getenv(childTraced) != "" {
		runtime.LockOSThread()
	}
	if err := module.RunWithout(childConfig(dir), missing()...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// childConfig is how a module in a process of its own runs: as the shipped
// program does, but for its clock.
func childConfig(dir string) module.Config {
	c := &clock{rtc: pkitest.Start().Add(time.Hour), boot: time.Minute}
	cfg := module.Config{Dir: dir, Conn: os.NewFile(3, "host"), Clock: c.read, Harden: true, BuildMS: pkitest.Start().UnixMilli()}
	if os.Getenv(childTPM) != "" {
		cfg.TPM = os.NewFile(4, "tpm")
	}
	return cfg
}

// spawn runs the module of b in a process of its own from now on.
func (b *box) spawn() *exec.Cmd {
	b.t.Helper()
	ours, theirs := pair(b.t)
	conn, err := net.FileConn(ours)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Client = trem.NewClient(conn)
	_ = ours.Close()
	return b.launch(theirs)
}

// launch starts the module's process with its end of the stream.
func (b *box) launch(theirs *os.File) *exec.Cmd {
	b.t.Helper()
	cmd := b.as.command(b.t, childDir+"="+b.dir, childWithout+"="+strings.Join(b.without, ","))
	if len(b.tracer) > 0 {
		cmd.Path, cmd.Args, cmd.Env = b.tracer[0], slices.Concat(b.tracer, cmd.Args), append(cmd.Env, childTraced+"=1")
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Dir = b.dir
	if cmd.Stderr = os.Stderr; b.stderr != nil {
		cmd.Stderr = b.stderr
	}
	if b.chip != nil {
		chip := b.chip()
		defer chip.Close()
		cmd.Env, cmd.ExtraFiles = append(cmd.Env, childTPM+"=1"), append(cmd.ExtraFiles, chip)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	_ = theirs.Close()
	exited := make(chan error, 1)
	b.exited = exited
	go func() { exited <- cmd.Wait() }()
	return cmd
}

// wait waits for the module's end. Who waits after it gets the same answer.
func (b *box) wait() error {
	err := <-b.exited
	b.exited <- err
	return err
}

// pair makes the two ends of a module's stream.
func pair(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "host"), os.NewFile(uintptr(fds[1]), "module")
}

// crash kills the process of a module and starts it again on the same folder.
func (b *box) crash(cmd *exec.Cmd) *exec.Cmd {
	b.t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		b.t.Fatal(err)
	}
	<-b.exited
	_ = b.Close()
	return b.spawn()
}

// TestStory_9_KillDuringDelivery kills the destination's process before and
// after each message of a delivery. The host asks again with the same request
// ID: there is one license in the end, with all its plays, and the shop's
// transfer is closed.
func TestStory_9_KillDuringDelivery(t *testing.T) {
	for n := range 7 {
		t.Run(fmt.Sprintf("point %d", n), func(t *testing.T) {
			h := newHouse(t)
			h.stock(cenc.SchemeCENC, filmID)
			h.must(h.home.Close())
			<-h.home.exited
			cmd := h.home.spawn()
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			req := trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: filmID, Issuer: h.issuerID}
			ctx := context.Background()
			point := 0
			kill := func() bool {
				point++
				if point-1 != n {
					return false
				}
				cmd = h.home.crash(cmd)
				return true
			}
			deliver := func() {
				o, err := h.home.Open(ctx, req)
				h.must(err)
				for queue := o.Messages; len(queue) > 0; queue = queue[1:] {
					got, err := h.issuer.Receive(ctx, queue[0])
					h.must(err)
					back := got.Messages
					for _, e := range got.Events {
						back = append(back, h.host(h.issuer, e, h.sell(rental, filmID))...)
					}
					for _, m := range back {
						if kill() {
							return
						}
						got, err := h.home.Receive(ctx, m)
						h.must(err)
						if kill() {
							return
						}
						queue = append(queue, got.Messages...)
					}
				}
			}
			deliver()
			deliver() // the host has no answer, or asks once too often
			o, err := h.home.Resend(ctx, h.issuer.id)
			h.must(err)
			h.carry(h.home, h.issuer, o, nil)
			held, err := h.home.Licenses(ctx)
			h.must(err)
			if len(held) != 1 || *held[0].Counters.PlaysLeft != 2 {
				t.Errorf("held %+v, want one license with two plays", held)
			}
			if len(h.open) != 0 || len(h.sold) != 1 {
				t.Errorf("%d transfers are open and %d were made, want 0 and 1", len(h.open), len(h.sold))
			}
		})
	}
}

// TestStory_9_KillWhilePlaying kills the player after each segment. What is
// charged is charged, and at most one play more than was seen.
func TestStory_9_KillWhilePlaying(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(rental, filmID))
	h.must(h.pair(h.tablet))
	h.wantKinds(h.get(h.tablet, filmID, 2), trem.EventInstalled, trem.EventClosed)
	h.must(h.tablet.Close())
	<-h.tablet.exited
	cmd := h.tablet.spawn()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ctx := context.Background()
	track := &s.m.Tracks[0]
	for i, seg := range track.Segments[:5] {
		h.must(h.learnTime(h.tablet))
		ask := playAsk(track.Tier)
		ask.FromMS = seg.StartMS
		ses, err := h.tablet.Begin(ctx, ask)
		if err != nil {
			t.Fatalf("segment %d: the play is not resumed: %v", i, err)
		}
		n, _, err := h.tablet.Track(ctx, ses.Handle, s.read(t, track.Init))
		h.must(err)
		_, err = h.tablet.Decrypt(ctx, ses.Handle, n, s.read(t, seg.File))
		h.must(err)
		cmd = h.tablet.crash(cmd)
		held, err := h.tablet.Licenses(ctx)
		h.must(err)
		if left := *held[0].Counters.PlaysLeft; left != 1 {
			t.Fatalf("after %d crashes of one play %d plays are left, want 1", i+1, left)
		}
	}
}

// TestStory_9_RepeatAfterTheEnd repeats requests whose transfers are closed:
// the answer names the license that is there, and nothing is given twice.
func TestStory_9_RepeatAfterTheEnd(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	ctx := context.Background()
	for _, leg := range []struct {
		name     string
		from, to *box
		req      trem.LicenseRequest
		left     uint64
	}{
		{"shop to house", h.home, h.issuer, trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: filmID, Issuer: h.issuerID}, 2},
		{"house to tablet", h.tablet, h.home, trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), Content: filmID, Plays: 1}, 1},
	} {
		t.Run(leg.name, func(t *testing.T) {
			var first ident.License
			for range 3 {
				o, err := leg.from.Open(ctx, leg.req)
				h.must(err)
				for _, e := range h.carry(leg.from, leg.to, o, h.sell(rental, filmID)) {
					if e.Kind == trem.EventInstalled {
						first = e.License
					}
					if e.License != first || first == (ident.License{}) {
						t.Errorf("event %d names license %v, want %v", e.Kind, e.License, first)
					}
				}
			}
			held, err := leg.from.Licenses(ctx)
			h.must(err)
			if len(held) != 1 || *held[0].Counters.PlaysLeft != leg.left {
				t.Errorf("held: %+v", held)
			}
		})
	}
}
