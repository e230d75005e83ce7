package vault

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func exampleHeader() *header {
	h := &header{Version: 1, Device: device, Segment: 1, Base: true, Key: []byte("sealed key")}
	copy(h.Incarnation[:], "birth 01")
	copy(h.Salt[:], "a salt of thirty-two bytes......")
	return h
}

// TestVault_1_SpecExample builds the segment of docs/spec/vault.md.
func TestVault_1_SpecExample(t *testing.T) {
	h := exampleHeader()
	block, err := h.encode()
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("the vault key, thirty-two bytes!")
	s, err := newSealer(h, key)
	if err != nil {
		t.Fatal(err)
	}
	v := &Vault{}
	frame, at, err := v.frame(s, position{}, true, []Record{{Kind: 9, Body: []byte("hello")}})
	if err != nil {
		t.Fatal(err)
	}
	byCount := position{kind: counted, anchor: hash{30: 1, 31: 2}}
	byCount.step(at.hash, true)
	var got []string
	for _, b := range [][]byte{block, frame, at.hash[:], at.anchor[:], byCount.anchor[:]} {
		got = append(got, hex.EncodeToString(b))
	}
	if d := cmp.Diff(specHex(t, "../../../../docs/spec/vault.md"), got); d != "" {
		t.Errorf("docs/spec/vault.md (-) and code (+) differ:\n%s", d)
	}
}

// specHex reads the hex blocks of a page, without white space.
func specHex(t *testing.T, page string) (out []string) {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(data), "```hex\n")[1:] {
		block, _, ok := strings.Cut(part, "```")
		if !ok {
			t.Fatal("a hex block does not end")
		}
		out = append(out, strings.Join(strings.Fields(block), ""))
	}
	return out
}
