package trem_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// example returns the lines of the worked example of docs/spec/trem.md.
func example(t *testing.T) [][]byte {
	t.Helper()
	page, err := os.ReadFile("../../docs/spec/trem.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```hex\n(.*?)```").FindSubmatch(page)
	if m == nil {
		t.Fatal("the page has no worked example")
	}
	var out [][]byte
	for line := range strings.Lines(string(m[1])) {
		b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(line), " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func TestTREM_WorkedExample(t *testing.T) {
	lines := example(t)
	host, module := net.Pipe()
	seen := make(chan []byte, 1)
	go func() {
		defer module.Close()
		buf := make([]byte, len(lines[0]))
		if _, err := io.ReadFull(module, buf); err != nil {
			return
		}
		seen <- buf
		_, _ = module.Write(lines[1])
	}()
	c := trem.NewClient(host)
	_, err := c.Status(context.Background())
	if got := <-seen; !bytes.Equal(got, lines[0]) {
		t.Errorf("STATUS is %x, the page says %x", got, lines[0])
	}
	var e *trem.Error
	if !errors.As(err, &e) || e.Code != trem.CodeState || e.Text != "no" {
		t.Errorf("got %v, want CodeState: no", err)
	}
	header, err := trem.NewReply(nil, &trem.Error{Code: trem.CodeState, Text: "no"})
	var out bytes.Buffer
	if err := errors.Join(err, trem.WriteMessage(&out, trem.Message{Header: header})); err != nil || !bytes.Equal(out.Bytes(), lines[1]) {
		t.Errorf("reply is %x (%v), the page says %x", out.Bytes(), err, lines[1])
	}
}

func TestTREM_StreamLimits(t *testing.T) {
	for name, in := range map[string]string{
		"long header":  "ffffffff00000000",
		"long payload": "00000001ffffffff80",
		"cut":          "0000000400000000830101",
		"cut head":     "00000004",
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trem.ReadMessage(bytes.NewReader(b)); !errors.Is(err, trem.ErrStream) {
			t.Errorf("%s: got %v, want ErrStream", name, err)
		}
	}
	if _, err := trem.ReadMessage(bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Errorf("end between messages: got %v, want io.EOF", err)
	}
}

// TestTREM_RefusalKeepsItsReasons holds the way of a decision over the stream.
func TestTREM_RefusalKeepsItsReasons(t *testing.T) {
	want := license.Decision{Reasons: []license.Reason{{Code: license.CountExhausted, Closed: true, Remedy: license.Buy}}}
	header, err := trem.NewReply(nil, &trem.RefusalError{Decision: want})
	if err != nil {
		t.Fatal(err)
	}
	host, module := net.Pipe()
	go func() {
		defer module.Close()
		if _, err := trem.ReadMessage(module); err == nil {
			_ = trem.WriteMessage(module, trem.Message{Header: header})
		}
	}()
	_, err = trem.NewClient(host).Begin(context.Background(), trem.Ask{Content: "film"})
	var r *trem.RefusalError
	if !errors.As(err, &r) || len(r.Decision.Reasons) != 1 || r.Decision.Reasons[0].Code != license.CountExhausted {
		t.Errorf("got %v, want the refusal with its reason", err)
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0x83, 1, 1, 0x80})
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := trem.ReadMessage(io.LimitReader(bytes.NewReader(in), 1<<16))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := trem.WriteMessage(&out, m); err != nil || !bytes.HasPrefix(in, out.Bytes()) {
			t.Errorf("%x reads and writes as %x (%v)", in, out.Bytes(), err)
		}
		if cmd, body, err := trem.ParseRequest(m.Header); err == nil && (cmd == 0 && len(body) == 0) {
			t.Errorf("%x parses as nothing", m.Header)
		}
	})
}

// Commands of several callers are on their way at once, and each gets its own reply.
func TestClient_CommandsOfSeveralCallersAreOnTheirWayAtOnce(t *testing.T) {
	const callers = 8
	host, module := net.Pipe()
	c := trem.NewClient(host)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			id, err := c.RegisterKeys(t.Context(), []byte{byte(i)})
			if err != nil || string(id) != fmt.Sprint(i) {
				t.Errorf("caller %d got %q, %v", i, id, err)
			}
		})
	}
	var all []trem.Message
	for range callers { // nothing is answered before all have asked
		m, err := trem.ReadMessage(module)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	for _, m := range all {
		_, body, err := trem.ParseRequest(m.Header)
		var in []byte
		if err := errors.Join(err, trem.ParseBody(body, &in)); err != nil {
			t.Fatal(err)
		}
		header, err := trem.NewReply(ident.Content(fmt.Sprint(in[0])), nil)
		if err := errors.Join(err, trem.WriteMessage(module, trem.Message{Header: header})); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := module.Close(); err != nil {
		t.Fatal(err)
	}
	for range callers { // and all of them hear that the module has gone
		wg.Go(func() {
			if _, err := c.Status(t.Context()); !errors.Is(err, trem.ErrStream) {
				t.Errorf("after the module's end: %v", err)
			}
		})
	}
	wg.Wait()
}

// counted is a module's stream that counts what the host writes to it.
type counted struct {
	io.ReadWriteCloser
	mu     sync.Mutex
	writes [][]byte
	wrote  chan struct{}
}

func (c *counted) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes = append(c.writes, bytes.Clone(p))
	c.mu.Unlock()
	c.wrote <- struct{}{}
	return len(p), nil
}

// TestClient_CommandsThatWaitAreWrittenTogether: while eight commands are on their
// way, twenty more wait; the replies to the eight, which come at once, wake a host
// that writes the twenty in one piece. Each caller gets its own reply.
func TestClient_CommandsThatWaitAreWrittenTogether(t *testing.T) {
	in, module := io.Pipe()
	conn := &counted{ReadWriteCloser: struct {
		io.Reader
		io.Writer
		io.Closer
	}{in, nil, in}, wrote: make(chan struct{}, 64)}
	c := trem.NewClient(conn)
	const first, more = 8, 20
	ask := func(n int) <-chan error {
		done := make(chan error, 1)
		go func() {
			msgs, err := c.Release(t.Context(), uint64(n), nil)
			if err == nil && (len(msgs) != 1 || int(msgs[0].Bytes[0]) != n) {
				err = fmt.Errorf("caller %d got %v", n, msgs)
			}
			done <- err
		}()
		return done
	}
	var asked []<-chan error
	for n := range first {
		asked = append(asked, ask(n))
		<-conn.wrote
	}
	for n := range more {
		asked = append(asked, ask(first+n))
	}
	answer := func(requests []byte) {
		var all []byte
		for r := bytes.NewReader(requests); r.Len() > 0; {
			m, err := trem.ReadMessage(r)
			if err != nil {
				t.Error(err)
				return
			}
			_, body, err := trem.ParseRequest(m.Header)
			var order trem.Release
			if err = errors.Join(err, trem.ParseBody(body, &order)); err != nil {
				t.Error(err)
			}
			header, err := trem.NewReply([]trem.SLTPMessage{{Bytes: []byte{byte(order.Handle)}}}, err)
			if err != nil {
				t.Error(err)
			}
			if all, err = trem.AppendHead(all, trem.Message{Header: header}); err != nil {
				t.Error(err)
			}
		}
		if _, err := module.Write(all); err != nil {
			t.Error(err)
		}
	}
	for c.Waiting() < more {
		runtime.Gosched()
	}
	if len(conn.writes) != first {
		t.Errorf("%d writes while %d commands are on their way", len(conn.writes), first)
	}
	go answer(bytes.Join(conn.writes, nil))
	<-conn.wrote
	if len(conn.writes) != first+1 {
		t.Errorf("%d writes for the %d commands that waited, want one", len(conn.writes)-first, more)
	}
	go answer(conn.writes[first])
	for _, done := range asked {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if len(conn.writes) != first+1 {
		t.Errorf("%d writes in all", len(conn.writes))
	}
}
