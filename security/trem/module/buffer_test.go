package module_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/module"
)

// onSocket starts a module again, behind a real socket: the only stream that can
// carry a file. It returns the host's end.
func (b *box) onSocket() *os.File {
	b.t.Helper()
	if err := errors.Join(b.Close(), <-b.exited); err != nil {
		b.t.Fatal(err)
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	host, inside := os.NewFile(uintptr(fds[0]), "host"), os.NewFile(uintptr(fds[1]), "inside")
	b.Client, b.exited = trem.NewClient(host), make(chan error, 1)
	go func() {
		defer inside.Close()
		b.exited <- module.Run(module.Config{Dir: b.dir, Conn: inside, Clock: b.clock.read, BuildMS: pkitest.Start().UnixMilli()})
	}()
	return host
}

// player is a tablet with a purchase, behind a socket, and an open session with
// one track.
func player(t *testing.T, output string) (*box, *stuff, *content.TrackFiles, trem.Session, uint64) {
	t.Helper()
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, h.sell(purchase, filmID)), trem.EventInstalled)
	h.must(h.pair(h.tablet))
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled)
	h.tablet.onSocket()
	ask := playAsk(content.HD)
	ask.Output = output
	ses, err := h.tablet.Begin(context.Background(), ask)
	h.must(err)
	i := slices.IndexFunc(s.m.Tracks, func(t content.TrackFiles) bool { return t.Tier == content.HD })
	track := &s.m.Tracks[i]
	n, _, err := h.tablet.Track(context.Background(), ses.Handle, s.read(t, track.Init))
	h.must(err)
	return h.tablet, s, track, ses, n
}

// TestTREM_2_BufferGivesWhatTheStreamGives plays each segment both ways, at
// several places of the buffer.
func TestTREM_2_BufferGivesWhatTheStreamGives(t *testing.T) {
	b, s, track, ses, n := player(t, trem.OutputInternal)
	mem, err := b.Buffer(t.Context(), 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i, seg := range track.Segments {
		data, at := s.read(t, seg.File), i*100_001
		want, err := b.Decrypt(t.Context(), ses.Handle, n, data)
		if err != nil {
			t.Fatal(err)
		}
		copy(mem[at:], data)
		if err := b.DecryptBuffer(t.Context(), ses.Handle, n, at, len(data)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mem[at:at+len(data)], want) || bytes.Equal(want, data) {
			t.Errorf("segment %d: the buffer does not hold what the stream gives", i)
		}
	}
}

// TestTREM_2_LinkIsNeverClearInTheBuffer: the host reads the buffer as fast as it
// can while the module encrypts again for the link, and finds no clear byte run.
func TestTREM_2_LinkIsNeverClearInTheBuffer(t *testing.T) {
	b, s, track, ses, n := player(t, trem.OutputLink)
	mem, err := b.Buffer(t.Context(), 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	data := s.read(t, track.Segments[0].File)
	link := keyOf(t, b, ses, track.KID)
	in, err := content.ParseInit(s.read(t, track.Init))
	if err != nil {
		t.Fatal(err)
	}
	clear := decrypted(t, in, data, s.keys[content.HD])
	at := len(data) / 2
	for clear[at] == data[at] && clear[at+15] == data[at+15] { // inside of a protected range
		at++
	}
	var stop atomic.Bool
	seen := make(chan int)
	go func() {
		count := 0
		for !stop.Load() {
			if bytes.Equal(mem[at:at+16], clear[at:at+16]) {
				count++
			}
		}
		seen <- count
	}()
	for range 300 {
		copy(mem, data)
		if err := b.DecryptBuffer(t.Context(), ses.Handle, n, 0, len(data)); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	if count := <-seen; count > 0 {
		t.Errorf("the host saw the clear film %d times", count)
	}
	if got := decrypted(t, in, bytes.Clone(mem[:len(data)]), link); !bytes.Equal(got, clear) || bytes.Equal(mem[:len(data)], data) {
		t.Error("the session key does not open what is in the buffer")
	}
}

// TestTREM_2_PartsOfASegmentGoThroughTheBuffer: a module takes a part of a segment as a
// segment, and pays for it alone; in their places they are what the segment would be.
func TestTREM_2_PartsOfASegmentGoThroughTheBuffer(t *testing.T) {
	b, s, track, ses, n := player(t, trem.OutputLink)
	mem, err := b.Buffer(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	in, err := content.ParseInit(s.read(t, track.Init))
	if err != nil {
		t.Fatal(err)
	}
	link, parts := keyOf(t, b, ses, track.KID), 0
	for i, seg := range track.Segments {
		data := s.read(t, seg.File)
		got := bytes.Clone(data)
		c, err := in.Cut(bytes.NewReader(data), int64(len(data)), 32<<10)
		for err == nil {
			var p content.Part
			if p, err = c.Next(); err != nil || p.Head == nil {
				continue
			}
			size := copy(mem, slices.Concat(p.Head, data[p.From:p.To]))
			if err := b.DecryptBuffer(t.Context(), ses.Handle, n, 0, size); err != nil {
				t.Fatal(err)
			}
			copy(got[p.From:p.To], mem[len(p.Head):size])
			parts++
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if !bytes.Equal(decrypted(t, in, bytes.Clone(got), link), decrypted(t, in, data, s.keys[content.HD])) {
			t.Errorf("segment %d is not its parts", i)
		}
	}
	if parts < 2*len(track.Segments) {
		t.Errorf("%d parts of %d segments", parts, len(track.Segments))
	}
}

func keyOf(t *testing.T, b *box, ses trem.Session, kid ident.Key) cenc.ContentKey {
	t.Helper()
	keys, err := b.LinkKeys(t.Context(), ses.Handle)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k.KID == kid {
			key, err := cenc.NewContentKey(k.Key)
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
	}
	t.Fatal("no session key")
	return cenc.ContentKey{}
}

func decrypted(t *testing.T, in *content.Init, seg []byte, key cenc.ContentKey) []byte {
	t.Helper()
	seg = bytes.Clone(seg)
	f, err := in.Fragment(seg)
	if err == nil {
		err = f.Decrypt(func(ident.Key) (cenc.ContentKey, error) { return key, nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	return seg
}

// TestTREM_2_BufferOrdersThatAreRefused gives a module orders that do not fit its
// buffer: each has its code, and none changes what is in it.
func TestTREM_2_BufferOrdersThatAreRefused(t *testing.T) {
	b, s, track, ses, n := player(t, trem.OutputInternal)
	data := s.read(t, track.Segments[0].File)
	code := func(name string, err error, want trem.Code) {
		t.Helper()
		if e := new(trem.Error); !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s: %v, want code %d", name, err, want)
		}
	}
	code("before it is made", b.DecryptBuffer(t.Context(), ses.Handle, n, 0, 1), trem.CodeMalformed)
	size := len(data) + 10
	mem, err := b.Buffer(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Buffer(t.Context(), size)
	code("a second one", err, trem.CodeState)
	copy(mem, data)
	for _, x := range []struct{ at, n int }{{0, size + 1}, {11, len(data)}, {size, 1}, {-1, 2}, {1, -1}, {5, 0}} {
		code("outside of it", b.DecryptBuffer(t.Context(), ses.Handle, n, x.at, x.n), trem.CodeMalformed)
	}
	code("no such session", b.DecryptBuffer(t.Context(), ses.Handle+1, n, 0, len(data)), trem.CodeUnknown)
	code("no such track", b.DecryptBuffer(t.Context(), ses.Handle, n+1, 0, len(data)), trem.CodeUnknown)
	code("no segment", b.DecryptBuffer(t.Context(), ses.Handle, n, 1, len(data)-1), trem.CodeRejected)
	if !bytes.Equal(mem[:len(data)], data) {
		t.Error("what was refused changed the buffer")
	}
	if err := b.DecryptBuffer(t.Context(), ses.Handle, n, 0, len(data)); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// TestTREM_2_BufferCannotBeCut: the host cannot shorten the memory under the
// module, which would end it at its next touch.
func TestTREM_2_BufferCannotBeCut(t *testing.T) {
	h := newHouse(t)
	conn := h.tablet.onSocket()
	header, err := trem.NewRequest(trem.CmdBuffer, trem.BufferOrder{Bytes: 8192})
	h.must(errors.Join(err, trem.WriteMessage(conn, trem.Message{Header: header})))
	oob, buf := make([]byte, 64), make([]byte, 256)
	_, oobn, _, _, err := unix.Recvmsg(int(conn.Fd()), buf, oob, unix.MSG_CMSG_CLOEXEC)
	h.must(err)
	list, err := unix.ParseSocketControlMessage(oob[:oobn])
	h.must(err)
	fds, err := unix.ParseUnixRights(&list[0])
	h.must(err)
	defer unix.Close(fds[0]) //nolint:errcheck // the test ends
	for _, size := range []int64{0, 4096, 16384} {
		if err := unix.Ftruncate(fds[0], size); !errors.Is(err, unix.EPERM) {
			t.Errorf("to %d bytes: %v, want EPERM", size, err)
		}
	}
}

// TestTREM_2_NoBufferWithoutASocket: a stream that carries no file has none, and
// plays as before.
func TestTREM_2_NoBufferWithoutASocket(t *testing.T) {
	h := newHouse(t)
	if _, err := h.tablet.Buffer(t.Context(), 4096); err == nil {
		t.Error("a pipe of this process carries a file")
	}
	if _, err := h.tablet.Status(t.Context()); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// TestTREM_2_AFileIsReadIntoTheBuffer gives the module files for segments, from
// their position on.
func TestTREM_2_AFileIsReadIntoTheBuffer(t *testing.T) {
	b, s, track, ses, n := player(t, trem.OutputInternal)
	mem, err := b.Buffer(t.Context(), 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i, seg := range track.Segments[:3] {
		data := s.read(t, seg.File)
		want, err := b.Decrypt(t.Context(), ses.Handle, n, data)
		if err != nil {
			t.Fatal(err)
		}
		f := fileOf(t, append(make([]byte, 17), data...))
		if _, err := f.Seek(17, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if err := b.DecryptFile(t.Context(), ses.Handle, n, f, i*999, len(data)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mem[i*999:][:len(data)], want) {
			t.Errorf("segment %d: the buffer does not hold what the stream gives", i)
		}
	}
}

func fileOf(t *testing.T, data []byte) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "segment")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestTREM_2_SeveralFilesInACommand: they follow each other in the buffer; one that
// is no segment ends the work, and those before it are done.
func TestTREM_2_SeveralFilesInACommand(t *testing.T) {
	b, s, track, ses, n := player(t, trem.OutputInternal)
	var list []trem.SegmentFile
	var want []byte
	for _, seg := range track.Segments[:3] {
		data := s.read(t, seg.File)
		clear, err := b.Decrypt(t.Context(), ses.Handle, n, data)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, trem.SegmentFile{File: fileOf(t, data), At: len(want), Bytes: len(data)})
		want = append(want, clear...)
	}
	mem, err := b.Buffer(t.Context(), len(want))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := b.DecryptFiles(t.Context(), ses.Handle, n, list...); done != 3 || err != nil || !bytes.Equal(mem, want) {
		t.Errorf("%d done, %v; the buffer holds what it should: %v", done, err, bytes.Equal(mem, want))
	}
	for _, one := range list {
		if _, err := one.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
	}
	clear(mem)
	list[1].File = fileOf(t, make([]byte, list[1].Bytes))
	if done, err := b.DecryptFiles(t.Context(), ses.Handle, n, list...); done != 1 || err != nil || !bytes.Equal(mem[:list[0].Bytes], want[:list[0].Bytes]) {
		t.Errorf("a second one that is no segment: %d done, %v", done, err)
	}
	if mem[list[2].At] != 0 {
		t.Error("what comes after a bad segment is read")
	}
	_, err = b.DecryptFiles(t.Context(), ses.Handle, n, list[1:]...)
	if e := new(trem.Error); !errors.As(err, &e) || e.Code != trem.CodeRejected {
		t.Errorf("a first one that is no segment: %v, want code %d", err, trem.CodeRejected)
	}
}

// TestTREM_2_FilesThatAreRefused: what is no regular file, is too short or has no
// place is an answer, and the module keeps no file open.
func TestTREM_2_FilesThatAreRefused(t *testing.T) {
	b, s, track, ses, n := player(t, trem.OutputInternal)
	data := s.read(t, track.Segments[0].File)
	whole := fileOf(t, data)
	code := func(name string, err error, want trem.Code) {
		t.Helper()
		if e := new(trem.Error); !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s: %v, want code %d", name, err, want)
		}
	}
	_, err := b.DecryptFiles(t.Context(), ses.Handle, n, make([]trem.SegmentFile, trem.MaxFiles+1)...)
	code("more than a command may have", err, trem.CodeState)
	code("without a buffer", b.DecryptFile(t.Context(), ses.Handle, n, whole, 0, len(data)), trem.CodeMalformed)
	if _, err := b.Buffer(t.Context(), len(data)); err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // the test ends
	defer w.Close() //nolint:errcheck // the test ends
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close() //nolint:errcheck // the test ends
	for range 20 {
		code("a pipe", b.DecryptFile(t.Context(), ses.Handle, n, r, 0, len(data)), trem.CodeMalformed)
		code("a folder", b.DecryptFile(t.Context(), ses.Handle, n, dir, 0, len(data)), trem.CodeMalformed)
		code("a file that is too short", b.DecryptFile(t.Context(), ses.Handle, n, fileOf(t, data[1:]), 0, len(data)), trem.CodeRejected)
		code("a place outside", b.DecryptFile(t.Context(), ses.Handle, n, whole, 1, len(data)), trem.CodeMalformed)
		code("no bytes", b.DecryptFile(t.Context(), ses.Handle, n, whole, 0, 0), trem.CodeMalformed)
		_, err := b.DecryptFiles(t.Context(), ses.Handle, n, trem.SegmentFile{File: whole, Bytes: 1}, trem.SegmentFile{File: whole, At: 1, Bytes: len(data)})
		code("a second place outside", err, trem.CodeMalformed)
	}
	if after := openFiles(t); after > before+20+4 { // what the test itself holds open
		t.Errorf("%d open files before, %d after", before, after)
	}
	if err := b.DecryptFile(t.Context(), ses.Handle, n, whole, 0, len(data)); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
