package sltp

import (
	"slices"
	"testing"
)

// flow runs exchanges up to a message, which a test then changes.
type flow struct {
	*house
	handle Handle // at the destination
}

// upTo returns the messages of an exchange: the n-th (1 to 4) is the last, not
// yet delivered.
func (f *flow) upTo(n int) []Message {
	f.t.Helper()
	var m []Message
	f.handle, m = f.open()
	if n >= 2 {
		m = f.one(f.src, m)
	}
	if n >= 3 {
		m = f.one(f.dst, m)
	}
	if n == 4 {
		_, ev := f.deliver(f.src, m)
		var err error
		if m, err = f.src.Reply(event[EventRequest](f.t, ev).Handle, licenseReply(f.t), f.now); err != nil {
			f.t.Fatal(err)
		}
	}
	return m
}

// accepts reports whether changed message number n leads to anything that an
// honest party would act on, when all that follows in this exchange is relayed.
func (f *flow) accepts(n int, m []Message) bool {
	f.t.Helper()
	e, other := f.src, f.dst
	if n%2 == 0 {
		e, other = other, e
	}
	for range 4 {
		var out []Message
		for _, msg := range m {
			o, ev := e.Receive(msg, f.now)
			for _, v := range ev {
				switch v.(type) {
				case EventRequest, EventReply, EventApp:
					return true
				}
			}
			for _, reply := range o {
				if reply.CID != nil { // a message_1 would be a new exchange
					out = append(out, reply)
				}
			}
		}
		m, e, other = out, other, e
	}
	f.dst.Close(f.handle)
	for _, s := range f.src.ordered() {
		f.src.Close(s.handle)
	}
	return false
}

// TestSLTP_1_TamperedByte changes every byte of each of the four messages.
// Certificates go by reference, so that every byte is the protocol's own.
func TestSLTP_1_TamperedByte(t *testing.T) {
	f := &flow{house: newHouse(t)}
	f.sessions()
	for n := 1; n <= 4; n++ {
		length := len(f.upTo(n)[0].Bytes)
		for i := range length {
			m := f.upTo(n)
			if len(m[0].Bytes) != length {
				t.Fatalf("message_%d has %d bytes, then %d", n, length, len(m[0].Bytes))
			}
			m[0].Bytes = slices.Clone(m[0].Bytes)
			m[0].Bytes[i] ^= 1 << (i % 8)
			if f.accepts(n, m) {
				t.Errorf("message_%d with byte %d changed was accepted", n, i)
			}
		}
		t.Logf("message_%d: %d bytes", n, length)
	}
}

// TestSLTP_1_TamperedChain does the same, at every seventh byte, where
// certificates travel.
func TestSLTP_1_TamperedChain(t *testing.T) {
	for _, n := range []int{2, 3} {
		f := &flow{house: newHouse(t)}
		length := len(f.upTo(n)[0].Bytes)
		for i := 0; i < length; i += 7 {
			m := f.upTo(n)
			m[0].Bytes = slices.Clone(m[0].Bytes)
			m[0].Bytes[min(i, len(m[0].Bytes)-1)] ^= 0x40
			if f.accepts(n, m) {
				t.Errorf("message_%d with byte %d changed was accepted", n, i)
			}
		}
	}
}

// TestSLTP_1_Truncated cuts each message short at every length, and lengthens it.
func TestSLTP_1_Truncated(t *testing.T) {
	f := &flow{house: newHouse(t)}
	f.sessions()
	for n := 1; n <= 4; n++ {
		length := len(f.upTo(n)[0].Bytes)
		for i := range length {
			m := f.upTo(n)
			m[0].Bytes = m[0].Bytes[:i]
			if f.accepts(n, m) {
				t.Errorf("message_%d cut to %d bytes was accepted", n, i)
			}
		}
		m := f.upTo(n)
		m[0].Bytes = append(slices.Clone(m[0].Bytes), 0)
		if f.accepts(n, m) {
			t.Errorf("message_%d with a byte more was accepted", n)
		}
	}
}
