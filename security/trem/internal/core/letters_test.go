package core

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp"
)

// exampleLetter is the letter of docs/spec/transfer.md, with the object in it.
func exampleLetter(tb testing.TB) (letter, object []byte) {
	tb.Helper()
	page, err := os.ReadFile("../../../../docs/spec/transfer.md")
	if err != nil {
		tb.Fatal(err)
	}
	var blocks [][]byte
	for _, m := range regexp.MustCompile("(?s)```hex( letter)?\n(.*?)```").FindAllSubmatch(page, -1) {
		b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "").Replace(string(m[2])))
		if err != nil {
			tb.Fatal(err)
		}
		if blocks = append(blocks, b); len(m[1]) > 0 {
			return b, blocks[len(blocks)-2]
		}
	}
	tb.Fatal("no letter on the page")
	return nil, nil
}

func TestLetters_WorkedExample(t *testing.T) {
	page, object := exampleLetter(t)
	got, err := wire.Marshal(sheet{Number: sltp.NumberLetter, Object: object, Chain: [][]byte{{0x30}}})
	if err != nil || !bytes.Equal(got, page) {
		t.Errorf("the letter is %x (%v)", got, err)
	}
	if !sltp.IsLetter(page) {
		t.Error("SLTP does not know a letter")
	}
}

// The topic of a transfer is one for each side, and another for each transfer.
func TestLetters_Topics(t *testing.T) {
	tid := ident.Transfer{Src: ident.Device{1}, Dst: ident.Device{2}, Seq: 1}
	next := tid
	next.Seq++
	seen := map[[16]byte]bool{}
	for _, id := range []ident.Transfer{tid, next} {
		for _, side := range []string{"source", "destination"} {
			seen[topic(id, side)] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d topics, want 4", len(seen))
	}
}

// FuzzSheet: what is read as a letter is written as the same bytes.
func FuzzSheet(f *testing.F) {
	page, _ := exampleLetter(f)
	f.Add(page)
	f.Fuzz(func(t *testing.T, in []byte) {
		var s sheet
		if wire.Unmarshal(in, &s, wire.Limit{Bytes: sltp.MaxMessage, Items: 8, Depth: 3}) != nil {
			return
		}
		if again, err := wire.Marshal(s); err != nil || !bytes.Equal(again, in) {
			t.Errorf("%x is written again as %x (%v)", in, again, err)
		}
	})
}
