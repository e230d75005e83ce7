package sltp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

func TestSLTP_1_Bodies(t *testing.T) {
	device := Subject{Kind: SubjectDevice, ID: [16]byte{1}}
	encoded := func(b Body, err error) Body {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	req := LicenseRequest{What: Reference{License: ident.License{5}}, Permission: 2, Subject: device, Membership: []byte{1}, Tiers: []uint64{1, 64}, Level: 3}
	got, err := ParseLicenseRequest(encoded(req.Encode()))
	if diff := cmp.Diff(req, got); diff != "" || err != nil {
		t.Errorf("license request: %s %v", diff, err)
	}
	move := MoveOpen{What: Reference{Content: "a film"}, Amounts: map[uint8]uint64{1: 3, 4: All}, Op: 5}
	gotMove, err := ParseMoveOpen(encoded(move.Encode()))
	if diff := cmp.Diff(move, gotMove); diff != "" || err != nil {
		t.Errorf("move: %s %v", diff, err)
	}
	for _, e := range []ErrorBody{{Code: ErrorTryLater, RetryMS: 5000}, {Code: ErrorNoGrant}, {Code: 99}} {
		if got, err := ParseError(encoded(e.Encode())); got != e || err != nil {
			t.Errorf("error: %+v, %v", got, err)
		}
	}
	for n, b := range map[uint64]Body{10: encoded(req.Encode()), 12: encoded(move.Encode()), 13: encoded(ErrorBody{Code: 1}.Encode()), 11: licenseReply(t).Body} {
		if got, ok := b.Number(); got != n || !ok {
			t.Errorf("number %d, %v, want %d", got, ok, n)
		}
	}
	if _, ok := Body([]byte{0x81, 0x41, 0}).Number(); ok {
		t.Error("a signed body has a number")
	}
	for code := ErrorRefused; code <= ErrorDomainRate; code++ {
		if got, ok := ErrorCodeOf(code.String()); got != code || !ok {
			t.Errorf("ErrorCodeOf(%v) = %v, %v", code, got, ok)
		}
	}
	if _, ok := ErrorCodeOf(""); ok || ErrorCode(200).String() != "ERROR_200" {
		t.Error("a code without a name")
	}
}

func TestSLTP_1_BodiesRefused(t *testing.T) {
	for name, err := range map[string]func() error{
		"no reference":   func() error { _, err := LicenseRequest{Subject: Subject{Kind: 2}}.Encode(); return err },
		"two references": func() error { _, err := MoveOpen{What: Reference{"a", ident.License{1}}}.Encode(); return err },
		"no subject":     func() error { _, err := LicenseRequest{What: Reference{Content: "a"}}.Encode(); return err },
		"generation of a device": func() error {
			_, err := LicenseRequest{What: Reference{Content: "a"}, Subject: Subject{Kind: 2, Generation: 1}}.Encode()
			return err
		},
		"tiers unsorted": func() error {
			_, err := LicenseRequest{What: Reference{Content: "a"}, Subject: Subject{Kind: 2}, Tiers: []uint64{2, 1}}.Encode()
			return err
		},
		"no license":    func() error { _, err := License{Bundle: []byte{1}}.Encode(); return err },
		"no keys":       func() error { _, err := License{Chain: [][]byte{{1}}}.Encode(); return err },
		"error 0":       func() error { _, err := ErrorBody{}.Encode(); return err },
		"body no array": func() error { _, err := Reply{Body: Body{0xa0}}.encode(); return err },
		"no body":       func() error { _, err := Reply{}.encode(); return err },
		"body twice":    func() error { _, err := Reply{Body: Body{0x80, 0x80}}.encode(); return err },
		"status 3":      func() error { _, err := Reply{Body: Body{0x80}, Status: 3}.encode(); return err },
		"purpose 0":     func() error { _, err := Request{Body: Body{0x80}}.encode(); return err },
		"quality 4":     func() error { _, err := Request{Purpose: 1, Quality: 4, Body: Body{0x80}}.encode(); return err },
		"empty head":    func() error { _, err := Request{Purpose: 1, Head: []byte{}, Body: Body{0x80}}.encode(); return err },
		"epoch number":  func() error { _, err := EpochToWire(pki.Epoch{Number: 1 << 40}); return err },
		"generation":    func() error { _, err := EpochToWire(pki.Epoch{Generation: 1 << 23}); return err },
		"wire epoch":    func() error { _, err := EpochFromWire(1 << 63); return err },
	} {
		if got := err(); !errors.Is(got, ErrBody) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSLTP_1_EpochsSort: the number on the wire sorts as epochs do.
func TestSLTP_1_EpochsSort(t *testing.T) {
	order := []pki.Epoch{{}, {Number: 1}, {Number: 1<<40 - 1}, {Generation: 1}, {Generation: 1, Number: 3}, {Generation: 2}, {Generation: 1<<23 - 1, Number: 1<<40 - 1}}
	last := int64(-1)
	for _, e := range order {
		n, err := EpochToWire(e)
		back, err2 := EpochFromWire(n)
		if err != nil || err2 != nil || back != e || int64(n) <= last {
			t.Errorf("%v is %d, back %v: %v, %v", e, n, back, err, err2)
		}
		last = int64(n)
	}
}

func TestSLTP_1_TooLarge(t *testing.T) {
	h := newHouse(t)
	big, err := wire.Marshal([]any{10, make([]byte, MaxMessage-1000)})
	if err != nil {
		t.Fatal(err)
	}
	req := request(t)
	req.Body = big
	if _, _, err := h.dst.Open(h.src.cfg.Self, req, h.now); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Open = %v", err)
	}
	_, m1 := h.open()
	_, ev := h.deliver(h.src, h.one(h.dst, h.one(h.src, m1)))
	handle := event[EventRequest](t, ev).Handle
	huge, err := wire.Marshal([]any{10, make([]byte, MaxMessage-60)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.src.Reply(handle, Reply{Body: huge}, h.now); !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrBody) {
		t.Errorf("Reply = %v", err)
	}
	m4, err := h.src.Reply(handle, Reply{Body: big}, h.now)
	if err != nil {
		t.Fatalf("the largest reply: %v", err)
	}
	_, ev = h.deliver(h.dst, m4)
	if got := event[EventReply](t, ev); !bytes.Equal(got.Reply.Body, big) {
		t.Error("another body")
	}
	src, dst, _ := h.sessions()
	if _, _, err := h.dst.Send(dst, huge, h.now); !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrBody) {
		t.Errorf("Send = %v", err)
	}
	if _, err := h.src.Answer(src, 0, []byte{0xa0}, h.now); !errors.Is(err, ErrBody) {
		t.Errorf("Answer = %v", err)
	}
}

// round checks that what parses encodes to the same bytes.
func round[T any](t *testing.T, data []byte, parse func([]byte) (T, error), encode func(T) ([]byte, error)) {
	t.Helper()
	v, err := parse(data)
	if err != nil {
		return
	}
	again, err := encode(v)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("%T %+v encodes as %x, %v", v, reflect.ValueOf(v), again, err)
	}
}

func FuzzBody(f *testing.F) {
	req := request(f).Body
	move, _ := MoveOpen{What: Reference{License: ident.License{1}}, Amounts: map[uint8]uint64{1: 3, 3: All}, Op: 5}.Encode()
	e, _ := ErrorBody{Code: ErrorTryLater, RetryMS: 9}.Encode()
	for _, b := range [][]byte{req, move, e, licenseReply(f).Body} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		round(t, data, func(b []byte) (LicenseRequest, error) { return ParseLicenseRequest(b) }, func(v LicenseRequest) ([]byte, error) { return v.Encode() })
		round(t, data, func(b []byte) (License, error) { return ParseLicense(b) }, func(v License) ([]byte, error) { return v.Encode() })
		round(t, data, func(b []byte) (MoveOpen, error) { return ParseMoveOpen(b) }, func(v MoveOpen) ([]byte, error) { return v.Encode() })
		round(t, data, func(b []byte) (ErrorBody, error) { return ParseError(b) }, func(v ErrorBody) ([]byte, error) { return v.Encode() })
		Body(data).Number()
	})
}

func FuzzItems(f *testing.F) {
	data, err := os.ReadFile(conversationFile)
	if err != nil {
		f.Fatal(err)
	}
	l := readLines(f, data)
	for _, name := range []string{"EAD_2_value", "EAD_3_value", "EAD_4_value", "APP_1"} {
		f.Add(l.get(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		round(t, data, parseHello, hello.encode)
		round(t, data, parseStatus, PeerStatus.encode)
		round(t, data, parseRequest, Request.encode)
		round(t, data, parseReply, Reply.encode)
		if seq, sid, err := parseHeader(data); err == nil {
			c := channel{sid: sid}
			if again := c.header(seq); !bytes.Equal(again, data) {
				t.Errorf("header encodes as %x", again)
			}
		}
	})
}

// FuzzReceive gives any message to endpoints that wait for each of the four
// messages, in a session, and with no connection. Nothing that was not made by
// the other side may be accepted.
func FuzzReceive(f *testing.F) {
	data, err := os.ReadFile(conversationFile)
	if err != nil {
		f.Fatal(err)
	}
	l := readLines(f, data)
	for _, name := range []string{"message_1_1", "message_2_1", "message_3_1", "message_4_1", "APP_1"} {
		f.Add(l.get(f, name))
	}
	f.Add([]byte{2, 2})
	for _, s := range []string{"19f311480102030405060708", "19f310f5", "01617878", "03f5"} {
		b, err := hex.DecodeString(strings.ToLower(s))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		for n := 1; n <= 4; n++ {
			h, e, id := before(t, l, n)
			_, ev := e.Receive(Message{CID: id, Bytes: msg}, h.now)
			if good := l.get(t, []string{"message_1_1", "message_2_1", "message_3_1", "message_4_1"}[n-1]); bytes.Equal(msg, good) {
				continue
			}
			for _, v := range ev {
				switch v.(type) {
				case EventRequest, EventReply, EventApp:
					t.Errorf("waiting for message %d, %x was accepted: %+v", n, msg, v)
				}
			}
		}
	})
}
