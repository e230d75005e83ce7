package sltp

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
)

// again is a request with an ID of its own.
func again(t testing.TB, id byte) Request {
	r := request(t)
	r.ReqID = ident.Request{0xA0, id}
	return r
}

// ask sends a request in a session.
func (h *house) ask(dst Handle, r Request) []Message {
	h.t.Helper()
	m, err := h.dst.Request(dst, r, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// reply answers the request of an ID.
func (h *house) reply(src Handle, id ident.Request) []Message {
	h.t.Helper()
	r := licenseReply(h.t)
	r.ReqID = id
	m, err := h.src.Reply(src, r, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// TestSLTP_2_RequestInSession: many requests, one round trip each, over several
// key phases.
func TestSLTP_2_RequestInSession(t *testing.T) {
	h := newHouse(t)
	src, dst, _ := h.sessions()
	for n := range 250 {
		want := again(t, byte(n))
		want.Body = app(t, uint64(n))
		_, ev := h.deliver(h.src, h.ask(dst, want))
		got := event[EventRequest](t, ev)
		want.Dst = h.src.cfg.Self
		if diff := cmp.Diff(want, got.Request); diff != "" || got.Handle != src || !got.Session || got.Peer.ID() != h.dst.cfg.Self {
			t.Fatalf("request %d: %s %+v", n, diff, got)
		}
		h.now = h.now.Add(2 * time.Second)
		out, ev := h.deliver(h.dst, h.reply(src, ident.Request{}))
		back := event[EventReply](t, ev)
		reply := licenseReply(t)
		reply.ReqID = want.ReqID
		if diff := cmp.Diff(reply, back.Reply); diff != "" || back.Handle != dst || !back.Session || back.Interval != 2*time.Second || out != nil {
			t.Fatalf("reply %d: %s %+v", n, diff, back)
		}
	}
	if n := len(h.src.byHandle[src].served); n > maxOpen {
		t.Errorf("%d replies are remembered", n)
	}
}

// TestSLTP_2_RequestTheLastOne: the source forgets a session with its thousandth
// message, and what it remembers of the replies with it; the destination asks in a
// new exchange.
func TestSLTP_2_RequestTheLastOne(t *testing.T) {
	h := newHouse(t)
	src, dst, _ := h.sessions()
	for n := range uint64(maxMessages / 2) {
		want := again(t, byte(n))
		want.Body, want.ReqID = app(t, n), ident.Request{1, byte(n), byte(n >> 8)}
		if _, ev := h.deliver(h.src, h.ask(dst, want)); h.src.byHandle[src] == nil {
			t.Fatalf("the session ended before its reply %d: %+v", n, ev)
		}
		_, ev := h.deliver(h.dst, h.reply(src, ident.Request{}))
		event[EventReply](t, ev)
	}
	if len(h.src.byHandle) != 0 || len(h.src.bySID) != 0 || len(h.src.byCID) != 0 {
		t.Errorf("after its last reply the source holds %d sessions", len(h.src.byHandle))
	}
	if _, err := h.dst.Request(dst, again(t, 1), h.now); !errors.Is(err, ErrEnded) {
		t.Errorf("Request 501 = %v", err)
	}
}

// TestSLTP_2_RequestRepeated: whatever is repeated and reordered, the host is
// asked once, and a frame that comes twice gets the same bytes.
func TestSLTP_2_RequestRepeated(t *testing.T) {
	h := newHouse(t)
	src, dst, _ := h.sessions()
	first := h.ask(dst, again(t, 1))
	_, ev := h.deliver(h.src, first)
	event[EventRequest](t, ev)
	nothing := func(name string, e *Endpoint, in, want []Message) {
		t.Helper()
		if out, ev := h.deliver(e, in); !cmp.Equal(out, want) || len(ev) != 0 {
			t.Errorf("%s: %v, %v", name, out, ev)
		}
	}
	nothing("a duplicate before the answer", h.src, first, nil)
	retry := h.ask(dst, again(t, 1))
	if bytes.Equal(retry[0].Bytes, first[0].Bytes) {
		t.Fatal("the retry is the same message")
	}
	other := h.ask(dst, again(t, 2))
	_, ev = h.deliver(h.src, other) // overtakes
	event[EventRequest](t, ev)
	nothing("a retry before the answer", h.src, retry, nil)
	if _, err := h.src.Reply(src, licenseReply(t), h.now); !errors.Is(err, ErrState) {
		t.Errorf("a reply to one of two: %v", err)
	}
	answer2 := h.reply(src, ident.Request{0xA0, 2})
	answer1 := h.reply(src, ident.Request{0xA0, 1})
	nothing("a duplicate", h.src, retry, answer1)
	nothing("a duplicate of the other", h.src, other, answer2)
	nothing("a duplicate again", h.src, retry, answer1)
	nothing("a message that a retry replaced", h.src, first, nil)
	late := h.ask(dst, again(t, 1))
	again1 := h.one(h.src, late) // the host is not asked again
	nothing("its duplicate", h.src, late, again1)
	_, ev = h.deliver(h.dst, again1)
	got := event[EventReply](t, ev)
	if got.Reply.ReqID != (ident.Request{0xA0, 1}) || !bytes.Equal(got.Reply.Body, licenseReply(t).Body) {
		t.Errorf("the repeated reply is %+v", got.Reply)
	}
	_, ev = h.deliver(h.dst, answer1) // the first reply, overtaken by the second
	event[EventDropped](t, ev)
	_, ev = h.deliver(h.dst, answer2)
	event[EventReply](t, ev)
	if _, err := h.src.Reply(src, licenseReply(t), h.now); !errors.Is(err, ErrState) {
		t.Errorf("a reply to nothing: %v", err)
	}
}

func TestSLTP_2_RequestIDIsOneRequests(t *testing.T) {
	h := newHouse(t)
	src, dst, _ := h.sessions()
	h.deliver(h.src, h.ask(dst, again(t, 1)))
	other := again(t, 1)
	other.Body = app(t, 9)
	if _, err := h.dst.Request(dst, other, h.now); !errors.Is(err, ErrState) {
		t.Errorf("another request with an open ID: %v", err)
	}
	_, ev := h.deliver(h.dst, h.reply(src, ident.Request{}))
	event[EventReply](t, ev)
	// A destination that forgot what the ID was for.
	out := h.one(h.src, h.ask(dst, other))
	_, ev = h.deliver(h.dst, out)
	got := event[EventReply](t, ev)
	e, err := ParseError(got.Reply.Body)
	if err != nil || e.Code != ErrorConflict || got.Reply.Status != StatusRefused {
		t.Errorf("reply %+v, %v", got.Reply, err)
	}
	// The clock may have moved between two attempts.
	moved := again(t, 1)
	moved.ClockMS++
	_, ev = h.deliver(h.dst, h.one(h.src, h.ask(dst, moved)))
	if got := event[EventReply](t, ev); got.Reply.Status != StatusDone {
		t.Errorf("the same request at another time got %+v", got.Reply)
	}
}

// TestSLTP_2_RefusalIsNotForEver: a request that was refused or put off goes to
// the host again; a duplicate of the message gets the same bytes.
func TestSLTP_2_RefusalIsNotForEver(t *testing.T) {
	h := newHouse(t)
	src, dst, _ := h.sessions()
	later, err := ErrorBody{Code: ErrorTryLater, RetryMS: 5}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{StatusLater, StatusRefused} {
		ask := h.ask(dst, again(t, 1))
		_, ev := h.deliver(h.src, ask)
		event[EventRequest](t, ev)
		out, err := h.src.Reply(src, Reply{Status: status, Body: later}, h.now)
		if err != nil {
			t.Fatal(err)
		}
		if same := h.one(h.src, ask); !cmp.Equal(same, out) {
			t.Error("a duplicate got other bytes")
		}
		_, ev = h.deliver(h.dst, out)
		if got := event[EventReply](t, ev); got.Reply.Status != status {
			t.Errorf("status %d, want %d", got.Reply.Status, status)
		}
	}
	_, ev := h.deliver(h.src, h.ask(dst, again(t, 1)))
	event[EventRequest](t, ev)
	_, ev = h.deliver(h.dst, h.reply(src, again(t, 1).ReqID))
	if got := event[EventReply](t, ev); got.Reply.Status != StatusDone {
		t.Errorf("%+v", got.Reply)
	}
}

func TestSLTP_2_RequestBounds(t *testing.T) {
	h := newHouse(t)
	src, dst, _ := h.sessions()
	for n := range byte(maxOpen) {
		_, ev := h.deliver(h.src, h.ask(dst, again(t, n)))
		event[EventRequest](t, ev)
	}
	if _, err := h.dst.Request(dst, again(t, 99), h.now); !errors.Is(err, ErrFull) {
		t.Errorf("a ninth request: %v", err)
	}
	h.dst.byHandle[dst].wanted = nil // a destination that does not keep to it
	_, ev := h.deliver(h.src, h.ask(dst, again(t, 99)))
	if got := event[EventDropped](t, ev); asAlert(got.Err).Code != AlertBusy {
		t.Errorf("a ninth request gave %v", got.Err)
	}
	big := licenseReply(t)
	big.Body, _ = License{Chain: [][]byte{make([]byte, 60000)}, Bundle: []byte{1}}.Encode()
	for n := range byte(maxOpen) {
		big.ReqID = ident.Request{0xA0, n}
		if _, err := h.src.Reply(src, big, h.now); err != nil {
			t.Fatal(err)
		}
	}
	h.deliver(h.src, h.ask(dst, again(t, 100)))
	size := 0
	for _, v := range h.src.byHandle[src].served {
		size += len(v.reply)
	}
	if size > maxKept {
		t.Errorf("%d bytes of replies are kept", size)
	}
	// What was forgotten is asked of the host again, which knows the request.
	h.dst.byHandle[dst].wanted = nil
	_, ev = h.deliver(h.src, h.ask(dst, again(t, 0)))
	event[EventRequest](t, ev)
}

// TestSLTP_2_RequestTampered changes every byte of a request and of a reply,
// cuts and lengthens them: nothing happens, and the good message still counts.
func TestSLTP_2_RequestTampered(t *testing.T) {
	h := newHouse(t)
	_, dst, _ := h.sessions()
	ask := h.ask(dst, again(t, 1))
	h.spoil(h.src, ask)
	_, ev := h.deliver(h.src, ask)
	reply := h.reply(event[EventRequest](t, ev).Handle, ident.Request{})
	h.spoil(h.dst, reply)
	_, ev = h.deliver(h.dst, reply)
	event[EventReply](t, ev)
}

// spoil delivers every variant of a message that must not count to a session.
func (h *house) spoil(e *Endpoint, m []Message) {
	h.t.Helper()
	try := func(name string, i int, b []byte) {
		h.t.Helper()
		_, ev := e.Receive(Message{CID: m[0].CID, Bytes: b}, h.now)
		for _, v := range ev {
			if _, ok := v.(EventDropped); !ok {
				h.t.Fatalf("%s %d gave %T %+v", name, i, v, v)
			}
		}
		for _, s := range e.ordered() {
			s.failures = 0 // the bound has a test of its own
		}
	}
	for i := range m[0].Bytes {
		b := slices.Clone(m[0].Bytes)
		b[i] ^= 1 << (i % 8)
		try("changed byte", i, b)
		try("cut to", i, m[0].Bytes[:i])
	}
	try("lengthened", 1, append(slices.Clone(m[0].Bytes), 0))
}

// TestSLTP_2_RequestRefused: an authenticated peer that says what it must not.
func TestSLTP_2_RequestRefused(t *testing.T) {
	good := again(t, 1)
	for _, tc := range []struct {
		name  string
		body  func(h *house) Body
		re    bool // as an answer
		atDst bool // sent by the source
		want  Alert
	}{
		{"request malformed", func(*house) Body { return Body{0x82, 14, 0x80} }, false, false, AlertRejected},
		{"request of three items", func(*house) Body { return Body{0x83, 14, 0x80, 0} }, false, false, AlertRejected},
		{"request for another", func(h *house) Body { return h.requestBody(good, ident.Device{9}) }, false, false, AlertIdentity},
		{"request as an answer", func(h *house) Body { return h.requestBody(good, h.src.cfg.Self) }, true, false, AlertRejected},
		{"request of the source", func(h *house) Body { return h.requestBody(good, h.dst.cfg.Self) }, false, true, AlertRejected},
		{"reply of the destination", func(*house) Body { return Body{0x82, 15, 0x80} }, true, false, AlertRejected},
		{"reply malformed", func(*house) Body { return Body{0x82, 15, 0x80} }, true, true, AlertRejected},
		{"reply to no message", func(*house) Body { return Body{0x82, 15, 0x80} }, false, true, AlertRejected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t)
			src, dst, _ := h.sessions()
			from, to, s := h.dst, h.src, h.dst.byHandle[dst]
			if tc.atDst {
				from, to, s = h.src, h.dst, h.src.byHandle[src]
			}
			var re *uint64
			if tc.re {
				re = new(uint64)
			}
			m, err := from.sendApp(s, re, tc.body(h))
			if err != nil {
				t.Fatal(err)
			}
			out, ev := h.deliver(to, m)
			if got := event[EventFailed](t, ev); got.Alert != tc.want || len(out) != 0 || len(to.byHandle) != 0 {
				t.Errorf("%+v, %v, %d sessions", got, out, len(to.byHandle))
			}
		})
	}
}

// TestSLTP_2_ReplyNamesItsMessage: a reply counts for the message that carried
// the request only.
func TestSLTP_2_ReplyNamesItsMessage(t *testing.T) {
	h := newHouse(t)
	src, dst, _ := h.sessions()
	for range 2 {
		if _, _, err := h.dst.Send(dst, app(t, 1), h.now); err != nil {
			t.Fatal(err)
		}
	}
	h.deliver(h.src, h.ask(dst, again(t, 1))) // seq 2
	r := licenseReply(t)
	r.ReqID = again(t, 1).ReqID
	enc, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{0, 1, 3, 900} {
		m, err := h.src.sendReply(h.src.byHandle[src], &served{seq: seq, reply: enc})
		if err != nil {
			t.Fatal(err)
		}
		_, ev := h.deliver(h.dst, m)
		event[EventDropped](t, ev)
	}
	_, ev := h.deliver(h.dst, h.reply(src, r.ReqID))
	event[EventReply](t, ev)
}

func (h *house) requestBody(r Request, dst ident.Device) Body {
	h.t.Helper()
	r.Dst = dst
	enc, err := r.encode()
	if err != nil {
		h.t.Fatal(err)
	}
	return encodeIn(NumberRequest, enc)
}

func TestSLTP_2_RequestCalls(t *testing.T) {
	h := newHouse(t)
	src, dst, _ := h.sessions()
	if _, err := h.src.Request(src, again(t, 1), h.now); !errors.Is(err, ErrState) {
		t.Errorf("the source asks: %v", err)
	}
	if _, err := h.dst.Request(99, again(t, 1), h.now); !errors.Is(err, ErrHandle) {
		t.Errorf("an unknown session: %v", err)
	}
	bad := again(t, 1)
	bad.Body = nil
	if _, err := h.dst.Request(dst, bad, h.now); !errors.Is(err, ErrBody) {
		t.Errorf("no body: %v", err)
	}
	for _, b := range []Body{{0x82, 14, 0x80}, {0x82, 15, 0x80}} {
		if _, _, err := h.dst.Send(dst, b, h.now); !errors.Is(err, ErrBody) {
			t.Errorf("Send of a reserved body: %v", err)
		}
		if _, err := h.src.Answer(src, 0, b, h.now); !errors.Is(err, ErrBody) {
			t.Errorf("Answer with a reserved body: %v", err)
		}
	}
	deep := append(bytes.Repeat([]byte{0x81}, 15), 0x80)
	if _, _, err := h.dst.Send(dst, deep, h.now); !errors.Is(err, ErrBody) {
		t.Errorf("a body that the peer cannot read: %v", err)
	}
}
