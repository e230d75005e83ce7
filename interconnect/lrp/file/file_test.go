package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/interconnect/lrp/file"
	"github.com/lares-drm/lares/interconnect/lrp/lrptest"
)

var (
	relay = lrp.Addr{1}
	car   = lrp.Addr{2}
)

func all(lrp.Addr) bool { return true }

func server(dir string, h lrp.Handler) *file.Server {
	return &file.Server{Dir: dir, Self: relay, Frames: h, Serves: all, Now: lrptest.Start}
}

func ack(_ context.Context, _ lrp.Arrival, f lrp.Frame) []lrp.Frame {
	return []lrp.Frame{lrp.Acknowledge(f)}
}

func frame(n byte) lrp.Frame {
	return lrp.NewTransaction(relay, car, lrptest.Start(), lrp.Life).Next(lrp.TypeSLTP, []byte{n})
}

func sweep(t *testing.T, s *file.Server) file.Done {
	t.Helper()
	d, err := s.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The suite, with somebody who looks into the folder every 10 ms.
func TestFile_Spec13_Conforms(t *testing.T) {
	lrptest.Run(t, lrptest.Binding{
		Serve: func(t *testing.T, a lrptest.Accepting) func(*lrp.Introduction) lrp.Exchanger {
			t.Helper()
			dir := t.TempDir()
			s := server(dir, a.Frames)
			s.Self = a.Self
			ctx, cancel := context.WithCancel(t.Context())
			var ended sync.WaitGroup
			ended.Go(func() {
				for ctx.Err() == nil {
					_, _ = s.Sweep(ctx)
					time.Sleep(10 * time.Millisecond)
				}
			})
			t.Cleanup(func() { cancel(); ended.Wait() })
			return func(who *lrp.Introduction) lrp.Exchanger {
				return &file.Client{Dir: dir, Who: who, Every: 5 * time.Millisecond}
			}
		},
	})
}

// Hours pass between the two sides, and neither is there when the other is.
func TestFile_Spec13_ResumedLater(t *testing.T) {
	dir := t.TempDir()
	c := &file.Client{Dir: dir}
	f := frame(1)
	if err := c.Leave(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if _, there, err := c.Answers(f); there || err != nil {
		t.Fatalf("an answer before anybody was asked: %v, %v", there, err)
	}
	if got := sweep(t, server(dir, ack)); got != (file.Done{Answered: 1}) {
		t.Errorf("%+v", got)
	}
	if got := sweep(t, server(dir, ack)); got != (file.Done{}) {
		t.Errorf("a second look: %+v", got)
	}
	again := &file.Client{Dir: dir} // in another process
	got, err := again.Exchange(t.Context(), f)
	if err != nil || len(got) != 1 || got[0].Type != lrp.TypeAck {
		t.Errorf("%v, %v", got, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) != 0 {
		t.Errorf("left over: %v, %v", files, err)
	}
}

// The medium is full of other people's things, and of damaged ones.
func TestFile_Spec13_ForeignAndDamagedFilesAreTolerated(t *testing.T) {
	dir := t.TempDir()
	c := &file.Client{Dir: dir}
	good := frame(1)
	if err := c.Leave(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	box := filepath.Join(dir, relay.String())
	files, err := filepath.Glob(filepath.Join(box, "*.ask"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	other := frame(2)
	otherName := filepath.Join(box, fmt.Sprintf("%v-%v-%d.ask", other.Src, other.Tx, other.Seq))
	for name, make := range map[string]func() error{
		"holiday.jpg":    func() error { return os.WriteFile(filepath.Join(dir, "holiday.jpg"), []byte("JFIF"), 0o600) },
		"a folder":       func() error { return os.Mkdir(filepath.Join(dir, "DCIM"), 0o700) },
		"another's name": func() error { return os.WriteFile(filepath.Join(box, "renamed.ask"), data, 0o600) },
		"half a frame":   func() error { return os.WriteFile(otherName, data[:20], 0o600) },
		"empty":          func() error { return os.WriteFile(filepath.Join(box, "empty.ask"), nil, 0o600) },
		"half written":   func() error { return os.WriteFile(filepath.Join(box, ".new-0011"), data[:9], 0o600) },
		"huge":           func() error { return os.Truncate(mustCreate(t, filepath.Join(box, "huge.ask")), 1<<33) },
		"a link outside": func() error {
			return errors.Join(os.WriteFile(secret, data, 0o600), os.Symlink(secret, filepath.Join(box, "link.ask")))
		},
		"a pipe":            func() error { return syscall.Mkfifo(filepath.Join(box, "pipe.ask"), 0o600) },
		"a folder as frame": func() error { return os.Mkdir(filepath.Join(box, "folder.ask"), 0o700) },
		"a box that is a link": func() error {
			return os.Symlink(filepath.Dir(secret), filepath.Join(dir, lrp.Addr{9}.String()))
		},
		"a file as box": func() error { return os.WriteFile(filepath.Join(dir, lrp.Addr{8}.String()), data, 0o600) },
	} {
		if err := make(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	before := list(t, dir)
	got := sweep(t, server(dir, ack))
	if got.Answered != 1 || got.Skipped != 4 { // renamed, half, empty, huge; what is no plain file is not even counted
		t.Errorf("%+v, want one answer and four passed over", got)
	}
	after := list(t, dir)
	if len(after) != len(before)+1 { // the question is gone; the car's folder and the answer have come
		t.Errorf("%d things before, %d after: %v", len(before), len(after), after)
	}
	if out, there, err := c.Answers(good); !there || err != nil || len(out) != 1 {
		t.Errorf("the good one: %v, %v, %v", out, there, err)
	}
}

func mustCreate(t *testing.T, name string) string {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func list(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		out = append(out, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// An answer that was damaged on the way is asked for again with the same frame.
func TestFile_Spec13_ADamagedAnswerIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	c, f := &file.Client{Dir: dir, Every: time.Millisecond}, frame(1)
	if err := c.Leave(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	sweep(t, server(dir, ack))
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.ans"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte{0x89, 1}, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Exchange(ctx, f); !errors.Is(err, lrp.ErrLost) {
		t.Errorf("%v, want ErrLost: the answer is damaged", err)
	}
	sweep(t, server(dir, ack))
	if got, err := c.Exchange(t.Context(), f); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestFile_Spec13_TheStickIsOut(t *testing.T) {
	c := &file.Client{Dir: filepath.Join(t.TempDir(), "out")}
	if err := c.Leave(t.Context(), frame(1)); !errors.Is(err, lrp.ErrLost) {
		t.Errorf("%v", err)
	}
	if _, err := server(c.Dir, ack).Sweep(t.Context()); !errors.Is(err, lrp.ErrLost) {
		t.Errorf("%v", err)
	}
}

// Frames for another house stay on the stick, which goes on to it.
func TestFile_Spec13_OthersFramesStay(t *testing.T) {
	dir := t.TempDir()
	c := &file.Client{Dir: dir}
	f := frame(1)
	f.Dst = lrp.Addr{7}
	if err := c.Leave(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	s := server(dir, ack)
	s.Serves = func(a lrp.Addr) bool { return a == relay }
	if got := sweep(t, s); got != (file.Done{}) {
		t.Errorf("%+v", got)
	}
	s.Serves = func(a lrp.Addr) bool { return a == f.Dst }
	if got := sweep(t, s); got.Answered != 1 {
		t.Errorf("%+v", got)
	}
}

// A file is signed for its own bytes: another frame under the same signature is
// nobody's.
func TestFile_Spec13_ASignatureHoldsForItsBytesOnly(t *testing.T) {
	p := lrptest.NewParty(t)
	dir := t.TempDir()
	c := &file.Client{Dir: dir, Who: p.Introduction(relay)}
	leave := func(n byte) (lrp.Frame, string) {
		t.Helper()
		f := lrp.NewTransaction(relay, p.Addr, lrptest.Start(), lrp.Life).Next(lrp.TypeSLTP, []byte{n})
		if err := c.Leave(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		return f, filepath.Join(dir, relay.String(), fmt.Sprintf("%v-%v-%d.ask", f.Src, f.Tx, f.Seq))
	}
	signed := map[byte]lrp.Addr{}
	s := server(dir, func(_ context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
		signed[f.Body[0]] = by.Signed
		return nil
	})
	leave(1)
	sweep(t, s)
	first, at := leave(2)
	data, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := first.Encode()
	if err != nil {
		t.Fatal(err)
	}
	first.Body = []byte{3} // of the same name
	forged, err := first.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, bytes.Replace(data, enc, forged, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	sweep(t, s)
	if signed[1] != p.Addr || signed[3] != (lrp.Addr{}) {
		t.Errorf("signed: %v", signed)
	}
}

func TestFile_Spec13_MailIsCarriedToo(t *testing.T) {
	dir := t.TempDir()
	c := &file.Client{Dir: dir}
	if err := c.Prepare(car); err != nil {
		t.Fatal(err)
	}
	kept := []lrp.Kept{}
	for n := range uint64(3) {
		kept = append(kept, lrp.Kept{Number: 7 + n, At: 1, Frame: lrp.NewTransaction(car, relay, lrptest.Start(), lrp.Life).Next(lrp.TypeSLTP, []byte{byte(n)})})
	}
	s := server(dir, ack)
	s.Mail = func(dst lrp.Addr) []lrp.Kept {
		if dst == car {
			return kept
		}
		return nil
	}
	if got := sweep(t, s); got.Mail != 3 {
		t.Errorf("%+v", got)
	}
	if got := sweep(t, s); got.Mail != 0 {
		t.Errorf("put again: %+v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, car.String(), "8.mail"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := c.Mail(car, 0)
	if err != nil || len(got) != 2 || got[0].Number != 7 || got[1].Number != 9 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.Mail(car, 9); err != nil || len(got) != 0 {
		t.Errorf("after all was read: %+v, %v", got, err)
	}
	if files := list(t, filepath.Join(dir, car.String())); len(files) != 2 { // the folder, and the damaged one
		t.Errorf("left: %v", files)
	}
	s.Now = func() time.Time { return lrptest.Start().Add(2 * lrp.Life) }
	s.Mail = nil
	sweep(t, s)
}

func Example() {
	dir, err := os.MkdirTemp("", "stick")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // of an example
	ctx := context.Background()
	f := lrp.NewTransaction(relay, car, lrptest.Start(), lrp.Life).Next(lrp.TypeSLTP, []byte{1})
	c := &file.Client{Dir: dir}
	fmt.Println(c.Leave(ctx, f)) // in the car
	s := &file.Server{Dir: dir, Self: relay, Frames: ack, Serves: all, Now: lrptest.Start}
	done, err := s.Sweep(ctx) // at home, hours later
	fmt.Println(done.Answered, err)
	answers, err := c.Exchange(ctx, f) // in the car again
	fmt.Println(answers[0].Type, err)
	// Output:
	// <nil>
	// 1 <nil>
	// ACK <nil>
}
