package issuer

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

func TestStateless_Spec5_WorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/issuer-store.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(page), "### Worked example: the ID of a stateless license")
	parts := strings.Split(after, "```")
	if !ok || len(parts) < 5 {
		t.Fatal("docs/spec/issuer-store.md has no worked example")
	}
	clean := func(block string) string { return strings.Join(strings.Fields(strings.TrimPrefix(block, "hex")), "") }
	g := Grant{Domain: ident.Domain{0x30}}
	for i := range g.ID {
		g.ID[i] = 1
	}
	input, err := wire.Marshal([]any{"lares/1/stateless", g.Domain, g.ID, uint64(1), uint64(1)})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(input); got != clean(parts[1]) {
		t.Errorf("input %s, specification %s", got, clean(parts[1]))
	}
	if got := g.statelessID(1).String(); got != clean(parts[3]) {
		t.Errorf("ID %s, specification %s", got, clean(parts[3]))
	}
}
