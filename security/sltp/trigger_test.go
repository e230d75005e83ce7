package sltp

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

func TestSLTP_5_TriggerAsksTheHostOnly(t *testing.T) {
	h := newHouse(t)
	m, err := h.src.Trigger(PurposeLicense)
	if err != nil {
		t.Fatal(err)
	}
	out, ev := h.dst.Receive(m, h.now)
	got := event[EventTrigger](t, ev)
	if got.Trigger != (Trigger{Source: h.src.cfg.Self, Reason: PurposeLicense}) || out != nil || len(h.dst.byHandle) != 0 || len(h.dst.known.byID) != 0 {
		t.Errorf("%+v, %v", got, out)
	}
	if out, ev := h.src.Receive(m, h.now); out != nil || asAlert(event[EventDropped](t, ev).Err).Code != AlertIdentity {
		t.Error("a trigger in the own name was taken")
	}
	for _, reason := range []Purpose{0, 4} {
		if _, err := h.src.Trigger(reason); err == nil {
			t.Errorf("reason %d", reason)
		}
	}
}

// TestSLTP_5_TriggerRate: one event a minute for each source, bounded memory,
// and invented sources do not keep out those that were met.
func TestSLTP_5_TriggerRate(t *testing.T) {
	h := newHouse(t)
	hear := func(src ident.Device, at time.Time) bool {
		t.Helper()
		b, err := Trigger{Source: src, Reason: PurposeTransfer}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		out, ev := h.dst.Receive(Message{Bytes: b}, at)
		if out != nil || len(ev) > 1 {
			t.Fatalf("%v, %v", out, ev)
		}
		return len(ev) == 1
	}
	stranger := ident.Device{1}
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {0, false}, {triggerEvery - 1, false}, {triggerEvery, true}, {triggerEvery + 1, false}, {0, true}} {
		if got := hear(stranger, h.now.Add(step.after)); got != step.want {
			t.Errorf("after %v: %v", step.after, got)
		}
	}
	for i := range uint64(5000) {
		hear(ident.Device(binary.BigEndian.AppendUint64(make([]byte, 8), i+9)), h.now)
	}
	if n := len(h.dst.triggers); n > maxTriggers {
		t.Errorf("%d sources are remembered", n)
	}
	if hear(ident.Device{2}, h.now) {
		t.Error("a stranger was heard in a flood")
	}
	h.sessions()
	if !hear(h.src.cfg.Self, h.now) || hear(h.src.cfg.Self, h.now) {
		t.Error("a source that was met: once")
	}
	h.sessions() // it keeps its time
	if hear(h.src.cfg.Self, h.now) {
		t.Error("an exchange set the time back")
	}
	if !hear(ident.Device{2}, h.now.Add(triggerEvery)) {
		t.Error("after the flood")
	}
}

func TestSLTP_5_TriggerTampered(t *testing.T) {
	h := newHouse(t)
	m, err := h.src.Trigger(PurposeLicense)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Bytes {
		for _, b := range [][]byte{slices.Clone(m.Bytes), m.Bytes[:i]} {
			if len(b) == len(m.Bytes) {
				b[i] ^= 1 << (i % 8)
			}
			out, ev := h.dst.Receive(Message{Bytes: b}, h.now)
			if len(h.dst.byHandle) != 0 || len(ev) > 1 || len(out) > 1 {
				t.Fatalf("%x gave %v, %v", b, out, ev)
			}
		}
	}
	if out, ev := h.dst.Receive(Message{Bytes: append(slices.Clone(m.Bytes), 0)}, h.now); out != nil || asAlert(event[EventDropped](t, ev).Err).Code != AlertRejected {
		t.Error("a byte more")
	}
}

func FuzzTrigger(f *testing.F) {
	b, err := Trigger{Source: ident.Device{1}, Reason: PurposeClosing}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		round(t, data, ParseTrigger, Trigger.Encode)
	})
}
