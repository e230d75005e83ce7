package sltp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// fixedExporter stands in for a finished exchange.
type fixedExporter struct{}

func (fixedExporter) Export(label uint64, _ []byte, n int) ([]byte, error) {
	return slices.Repeat([]byte{byte(label)}, n), nil
}
func (fixedExporter) TH4() [32]byte { return [32]byte{9} }
func (fixedExporter) Close()        {}

func channels(t testing.TB) (ini, res *channel) {
	t.Helper()
	ini, err1 := newChannel(fixedExporter{}, true)
	res, err2 := newChannel(fixedExporter{}, false)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return ini, res
}

// TestSLTP_1_Window delivers messages in any order, some several times, some
// never: each is taken at most once, and one within the window at least once.
func TestSLTP_1_Window(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ini, res := channels(t)
		n := rapid.IntRange(1, 400).Draw(r, "messages")
		var all [][]byte
		for range n {
			m, err := ini.seal([]byte{0x80})
			if err != nil {
				r.Fatal(err)
			}
			all = append(all, m)
		}
		taken := map[int]bool{}
		high := -1
		for range rapid.IntRange(1, 200).Draw(r, "deliveries") {
			base := max(0, high-90)
			i := min(n-1, base+rapid.IntRange(0, 220).Draw(r, "which"))
			seq, _, err := res.open(all[i])
			want := i > high-windowLen && !taken[i]
			if (err == nil) != want {
				r.Fatalf("message %d after %d (taken before: %v): %v", i, high, taken[i], err)
			}
			if err == nil {
				if int(seq) != i {
					r.Fatalf("message %d says it is %d", i, seq)
				}
				taken[i], high = true, max(high, i)
			}
		}
	})
}

func TestSLTP_1_WindowEdges(t *testing.T) {
	var w window
	for _, step := range []struct {
		seq   uint64
		fresh bool
	}{{5, true}, {5, false}, {4, true}, {0, true}, {0, false}, {68, true}, {5, false}, {6, true}, {6, false}, {4, false}, {67, true}, {500, true}, {437, true}, {436, false}, {500, false}} {
		if got := w.fresh(step.seq); got != step.fresh {
			t.Fatalf("fresh(%d) = %v", step.seq, got)
		}
		if step.fresh {
			w.mark(step.seq)
		}
	}
}

// TestSLTP_1_PhaseKeys: every phase has its own key and IV, and neither
// direction has the other's.
func TestSLTP_1_PhaseKeys(t *testing.T) {
	ini, res := channels(t)
	seen := map[string]string{}
	for _, d := range []*direction{&ini.out, &ini.in} {
		for phase := range uint64(maxMessages / phaseLen) {
			k, err := d.at(phase)
			if err != nil {
				t.Fatal(err)
			}
			key, iv, err := k.keys(d.salt)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range [][]byte{key, iv, k.b[:]} {
				where := fmt.Sprintf("direction %d phase %d", d.id, phase)
				if other, ok := seen[string(v)]; ok {
					t.Errorf("%s uses what %s uses", where, other)
				}
				seen[string(v)] = where
			}
		}
	}
	if _, err := ini.out.at(maxMessages / phaseLen); err == nil {
		t.Error("a phase beyond the last")
	}
	first, made := res.in.key, res.in.key.made
	for seq := range uint64(2) {
		if s, err := res.sealer(&res.in, first, 0); err != nil || s != made || s.aead == nil {
			t.Fatalf("message %d of a phase: %p, %v", seq, s, err)
		}
	}
	defer func() {
		if *first.b != [32]byte{} || made.aead != nil || made.iv != [12]byte{} || made.aad != nil {
			t.Error("the keys of a phase that ended are still held")
		}
	}()
	if err := res.in.advance(3); err != nil {
		t.Fatal(err)
	}
	if _, err := res.in.at(1); err == nil {
		t.Error("a phase older than the one before is still held")
	}
	if _, err := res.in.at(2); err != nil {
		t.Errorf("the phase before: %v", err)
	}
}

// TestSLTP_1_AppTampered flips every bit of an APP message.
func TestSLTP_1_AppTampered(t *testing.T) {
	ini, res := channels(t)
	m, err := ini.seal([]byte{0x82, 0xf6, 0x80})
	if err != nil {
		t.Fatal(err)
	}
	for i := range m {
		for bit := range 8 {
			bad := slices.Clone(m)
			bad[i] ^= 1 << bit
			if _, _, err := res.open(bad); err == nil {
				t.Fatalf("byte %d bit %d: accepted", i, bit)
			}
		}
	}
	for n := range m {
		if _, _, err := res.open(m[:n]); err == nil {
			t.Fatalf("cut to %d bytes: accepted", n)
		}
	}
	if _, _, err := ini.open(m); err == nil {
		t.Error("its own message was accepted")
	}
	if _, _, err := res.open(m); err != nil {
		t.Errorf("the message itself: %v", err)
	}
}

// appHeader is the protected header as a structure.
type appHeader struct {
	Alg int    `cbor:"1,keyasint"`
	Seq []byte `cbor:"6,keyasint"`
	SID []byte `cbor:"10,keyasint"`
}

func TestSLTP_1_AppHeader(t *testing.T) {
	ini, res := channels(t)
	for _, tc := range []struct {
		name string
		head appHeader
	}{
		{"long form of the number", appHeader{Alg: wire.AlgA128GCM, Seq: []byte{0, 0}, SID: ini.sid[:]}},
		{"no number", appHeader{Alg: wire.AlgA128GCM, Seq: []byte{}, SID: ini.sid[:]}},
		{"another algorithm", appHeader{Alg: 3, Seq: []byte{0}, SID: ini.sid[:]}},
		{"another session", appHeader{Alg: wire.AlgA128GCM, Seq: []byte{0}, SID: make([]byte, sidLen)}},
		{"beyond the end", appHeader{Alg: wire.AlgA128GCM, Seq: partialIV(maxMessages), SID: ini.sid[:]}},
		{"far beyond the end", appHeader{Alg: wire.AlgA128GCM, Seq: partialIV(1<<64 - 1), SID: ini.sid[:]}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			prot, err := wire.Marshal(tc.head)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ini.sealer(&ini.out, ini.out.key, 0)
			if err != nil {
				t.Fatal(err)
			}
			m, err := wire.SealEncrypt0(s.aead, s.nonce(0), prot, s.aad, []byte{0x80})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := res.open(m); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestSLTP_1_ForgedNotice: "unknown session" is believed only where something
// was sent, and only about that session.
func TestSLTP_1_ForgedNotice(t *testing.T) {
	h := newHouse(t)
	src, dst, _ := h.sessions()
	sid := h.dst.byHandle[dst].channel.sid
	info, err := wire.Marshal(sid)
	if err != nil {
		t.Fatal(err)
	}
	notice := []Message{{Bytes: edhoc.ErrorMessage{Code: int(AlertUnknownSession), Info: info}.Encode()}}
	if out, ev := h.deliver(h.dst, notice); len(out) != 0 || len(ev) != 0 {
		t.Errorf("a notice without cause gave %v, %v", out, ev)
	}
	for _, m := range []edhoc.ErrorMessage{{Code: int(AlertUnknownSession)}, {Code: int(AlertUnknownSession), Info: []byte{0x41, 1}}, {Code: 1, Text: "x"}} {
		if out, _ := h.deliver(h.dst, []Message{{Bytes: m.Encode()}}); len(out) != 0 || h.dst.byHandle[dst] == nil {
			t.Errorf("%+v was acted on", m)
		}
	}
	// An error addressed to an established session ends nothing either.
	own := h.src.byHandle[src].own
	if out, ev := h.deliver(h.src, []Message{{CID: own[:], Bytes: edhoc.ErrorMessage{Code: 1}.Encode()}}); len(out) != 0 || len(ev) != 0 || h.src.byHandle[src] == nil {
		t.Errorf("an error ended a session: %v, %v", out, ev)
	}
}

func TestSLTP_KeysPrintRedacted(t *testing.T) {
	h := newHouse(t)
	_, dst, _ := h.sessions()
	s := h.dst.byHandle[dst]
	for _, v := range []any{
		h.dst, s, s.channel, *s.channel, s.channel.out, s.channel.out.key, s.channel.out.key.made, licenseReply(t),
		EventReply{Reply: licenseReply(t)},
		License{Bundle: secretBundle},
		&License{Bundle: secretBundle},
		EventApp{Body: licenseReply(t).Body},
		request(t),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			got := fmt.Sprintf(verb, v)
			key := s.channel.out.key.b[:4]
			for _, secret := range []string{string(key), fmt.Sprintf("%x", key), fmt.Sprintf("%d %d %d", key[0], key[1], key[2]), "a55ac33c", "165 90 195", "0xa5, 0x5a"} {
				if strings.Contains(got, secret) {
					t.Errorf("%T with %s prints a key: %.80s", v, verb, got)
				}
			}
		}
	}
}
