package store

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

func TestTransferID_Spec2_WorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/issuer-store.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "### Worked example: a transfer ID")
	_, after, ok := strings.Cut(after, "```hex\n")
	block, _, ok2 := strings.Cut(after, "```")
	if !ok || !ok2 {
		t.Fatal("docs/spec/issuer-store.md has no worked example")
	}
	id := ident.Transfer{Seq: 4}
	for i := range id.Src {
		id.Src[i], id.Dst[i] = 1, 2
	}
	for i := range id.Incarnation {
		id.Incarnation[i] = 3
	}
	want := strings.Join(strings.Fields(block), "")
	if got := hex.EncodeToString(tidBytes(id)); got != want {
		t.Errorf("%s, specification %s", got, want)
	}
	b, err := hex.DecodeString(want)
	if err != nil {
		t.Fatal(err)
	}
	f := fixed{}
	if got := f.tid(b); got != id || f.err != nil {
		t.Errorf("read back %v, %v", got, f.err)
	}
	if f.tid(b[1:]); f.err == nil {
		t.Error("a column of 47 bytes was accepted")
	}
}
