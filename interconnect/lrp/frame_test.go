package lrp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/wire"
)

// example is the frame of the worked example in docs/spec/lrp.md.
func example(t testing.TB) lrp.Frame {
	t.Helper()
	body, err := lrp.SLTP{CID: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Message: []byte{0xd0, 0x83, 0x44}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f := lrp.Frame{Version: 1, Type: lrp.TypeSLTP, Seq: 1, Hops: 0, Expires: 1795521600000, Body: body}
	for i := range 16 {
		f.Dst[i], f.Src[i], f.Tx[i] = 0xa0+byte(i), 0xb0+byte(i), byte(i)
	}
	return f
}

// specHex returns the hexadecimal bytes of the block under a heading of docs/spec/lrp.md.
func specHex(t testing.TB, heading string) []byte {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "lrp.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(page), heading)
	_, after, ok2 := strings.Cut(after, "```hex\n")
	block, _, ok3 := strings.Cut(after, "```")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("docs/spec/lrp.md has no example %q", heading)
	}
	var digits strings.Builder
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(line, ";")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFrame_Spec1_WorkedExample(t *testing.T) {
	want := specHex(t, "### Worked example: a frame")
	f := example(t)
	got, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("encoded\n%x\nspecification\n%x", got, want)
	}
	parsed, err := lrp.Parse(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(parsed, f, cmp.Comparer(func(a, b lrp.Frame) bool {
		x, _ := a.Encode()
		y, _ := b.Encode()
		return bytes.Equal(x, y)
	})); diff != "" {
		t.Error(diff)
	}
}

func TestFrame_Spec1_RejectsWhatIsNotAFrame(t *testing.T) {
	good := example(t)
	for _, tc := range []struct {
		name string
		make func(f lrp.Frame) lrp.Frame
	}{
		{"version 2", func(f lrp.Frame) lrp.Frame { f.Version = 2; return f }},
		{"type 0", func(f lrp.Frame) lrp.Frame { f.Type = 0; return f }},
		{"type 10", func(f lrp.Frame) lrp.Frame { f.Type = 10; return f }},
		{"9 hops", func(f lrp.Frame) lrp.Frame { f.Hops = 9; return f }},
		{"expiry before 1970", func(f lrp.Frame) lrp.Frame { f.Expires = -1; return f }},
		{"expiry of 2^53", func(f lrp.Frame) lrp.Frame { f.Expires = 1 << 53; return f }},
		{"null body", func(f lrp.Frame) lrp.Frame { f.Body = nil; return f }},
		{"body too long", func(f lrp.Frame) lrp.Frame { f.Body = make([]byte, lrp.MaxBody+1); return f }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := tc.make(good)
			if _, err := bad.Encode(); !errors.Is(err, lrp.ErrFrame) {
				t.Errorf("Encode: %v, want ErrFrame", err)
			}
			raw, err := wire.Marshal(bad)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := lrp.Parse(raw); !errors.Is(err, lrp.ErrFrame) {
				t.Errorf("Parse: %v, want ErrFrame", err)
			}
		})
	}
}

func TestFrame_Spec1_RejectsOtherEncodings(t *testing.T) {
	good, err := example(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Replace(good, []byte{0x89, 0x01}, []byte{0x89, 0x18, 0x01}, 1)
	short := bytes.Clone(good)
	short[3] = 0x4f // an address of 15 bytes
	short = append(short[:4], short[5:]...)
	for name, data := range map[string][]byte{
		"trailing byte": append(bytes.Clone(good), 0), "long head": long, "address of 15 bytes": short, "nothing": nil, "truncated": good[:len(good)-1],
	} {
		if _, err := lrp.Parse(data); !errors.Is(err, lrp.ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
}

func TestFrame_Spec1_LargestBodyFits(t *testing.T) {
	f := example(t)
	f.Body = make([]byte, lrp.MaxBody)
	f.Seq, f.Expires = 1<<63, 1<<53-1
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > lrp.MaxFrame {
		t.Errorf("frame of %d bytes, MaxFrame is %d", len(b), lrp.MaxFrame)
	}
	if _, err := lrp.Parse(b); err != nil {
		t.Error(err)
	}
}

func TestFrame_Spec6_Sequence(t *testing.T) {
	one, err := example(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		data []byte
		want int
		fail bool
	}{
		{"empty", nil, 0, false},
		{"two", append(bytes.Clone(one), one...), 2, false},
		{"three where two are allowed", bytes.Repeat(one, 3), 0, true},
		{"half", append(bytes.Clone(one), one[:9]...), 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := lrp.ParseSequence(tc.data, 2)
			if (err != nil) != tc.fail || len(got) != tc.want {
				t.Errorf("%d frames, %v", len(got), err)
			}
		})
	}
}

func TestSLTP_Spec2_Body(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   lrp.SLTP
		ok   bool
	}{
		{"first message", lrp.SLTP{Message: []byte{1}}, true},
		{"later message", lrp.SLTP{CID: make([]byte, 8), Message: []byte{1}}, true},
		{"empty connection ID", lrp.SLTP{CID: []byte{}, Message: []byte{1}}, false},
		{"long connection ID", lrp.SLTP{CID: make([]byte, 9), Message: []byte{1}}, false},
		{"no message", lrp.SLTP{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := tc.in.Encode()
			if (err == nil) != tc.ok {
				t.Fatalf("Encode: %v", err)
			}
			if raw, err := wire.Marshal(tc.in); err != nil {
				t.Fatal(err)
			} else if _, err := lrp.ParseSLTP(raw); (err == nil) != tc.ok {
				t.Errorf("ParseSLTP(%x): %v", raw, err)
			}
			if got, err := lrp.ParseSLTP(b); tc.ok && (err != nil || (got.CID == nil) != (tc.in.CID == nil)) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func FuzzFrame(f *testing.F) {
	good, err := example(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := lrp.Parse(data)
		if err != nil {
			return
		}
		again, err := frame.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x encodes as %x, %v", data, again, err)
		}
	})
}

func FuzzSLTP(f *testing.F) {
	f.Add(example(f).Body)
	f.Add([]byte{0x82, 0xf6, 0x41, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := lrp.ParseSLTP(data)
		if err != nil {
			return
		}
		if again, err := m.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x encodes as %x, %v", data, again, err)
		}
	})
}

func FuzzHello(f *testing.F) {
	offer, err := lrp.DefaultHello("http").Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(offer)
	answer, _, err := lrp.DefaultHello("http").Answer(offer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := lrp.ParseHello(data)
		if err != nil {
			return
		}
		if again, err := h.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x encodes as %x, %v", data, again, err)
		}
	})
}

func FuzzError(f *testing.F) {
	f.Add([]byte{0x82, 0x08, 0x18, 0xc8})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := lrp.ParseError(data)
		if err != nil {
			return
		}
		if again, err := e.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x encodes as %x, %v", data, again, err)
		}
	})
}
