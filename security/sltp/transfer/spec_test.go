package transfer

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

// pageExamples reads the worked examples of docs/spec/transfer.md.
func pageExamples(t *testing.T) [][]byte {
	t.Helper()
	page, err := os.ReadFile("../../../docs/spec/transfer.md")
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, m := range regexp.MustCompile("(?s)```hex\n(.*?)```").FindAllSubmatch(page, -1) {
		b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "").Replace(string(m[1])))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func exampleTID() ident.Transfer {
	return ident.Transfer{Src: ident.Device(bytes.Repeat([]byte{1}, 16)), Dst: ident.Device(bytes.Repeat([]byte{2}, 16)), Incarnation: ident.Incarnation(bytes.Repeat([]byte{3}, 8)), Seq: 1}
}

// TestTransfer_1_WorkedExamples holds body, XFER and DONE against the page.
func TestTransfer_1_WorkedExamples(t *testing.T) {
	body, err := Body{Op: OpIssue, Chain: [][]byte{{0xaa}}, Amounts: map[uint64]uint64{1: 2}, Bundle: []byte{0xbb}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	x, err := NewXFER(exampleTID(), 0, body, nil).Encode()
	if err != nil {
		t.Fatal(err)
	}
	done, err := Done{TID: exampleTID(), Low: 1}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got := [][]byte{body, x, done}
	want := pageExamples(t) // the signed ones come after them
	if len(want) < len(got) {
		t.Fatalf("%d examples on the page, want %d", len(want), len(got))
	}
	for i, name := range []string{"body", "XFER", "DONE"} {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s is %x, the page says %x", name, got[i], want[i])
		}
	}
	back, err := ParseXFER(want[1])
	if err != nil || back.TID != exampleTID() || !bytes.Equal(back.Body, body) {
		t.Errorf("the page's XFER: %v", err)
	}
}

func FuzzParseXFER(f *testing.F) {
	body, err := Body{Op: OpIssue, Chain: [][]byte{{0xaa}}, Bundle: []byte{0xbb}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	x, err := NewXFER(exampleTID(), 0, body, nil).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(x)
	f.Fuzz(func(t *testing.T, in []byte) {
		x, err := ParseXFER(in)
		if err != nil {
			return
		}
		if again, err := x.Encode(); err != nil || !bytes.Equal(again, in) {
			t.Errorf("%x encodes again as %x (%v)", in, again, err)
		}
	})
}

func FuzzParseBody(f *testing.F) {
	f.Add([]byte{0x86, 0x04, 0x81, 0x41, 0xaa, 0xf6, 0xa0, 0xf6, 0x41, 0xbb})
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := ParseBody(in)
		if err != nil {
			return
		}
		if again, err := b.Encode(); err != nil || !bytes.Equal(again, in) {
			t.Errorf("%x encodes again as %x (%v)", in, again, err)
		}
	})
}

func FuzzParseMarks(f *testing.F) {
	done, err := Done{TID: exampleTID(), Low: 1}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(done)
	f.Fuzz(func(t *testing.T, in []byte) {
		if m, err := ParseDone(in); err == nil {
			if again, err := m.Encode(); err != nil || !bytes.Equal(again, in) {
				t.Errorf("DONE %x encodes again as %x (%v)", in, again, err)
			}
		}
		if m, err := ParseCancel(in); err == nil {
			if again, err := m.Encode(); err != nil || !bytes.Equal(again, in) {
				t.Errorf("CANCEL %x encodes again as %x (%v)", in, again, err)
			}
		}
		if m, err := ParseQuery(in); err == nil {
			if again, err := m.Encode(); err != nil || !bytes.Equal(again, in) {
				t.Errorf("QUERY %x encodes again as %x (%v)", in, again, err)
			}
		}
		if s, _, err := readReceipt(in); err == nil && s.check() != nil {
			t.Errorf("receipt %x breaks its own rules", in)
		}
	})
}
