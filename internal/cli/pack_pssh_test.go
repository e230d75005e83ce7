package cli

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content/cenc"
)

// A box is read as its maker gives it, binary or base64; what is none is refused.
func TestPack_ReadsPSSHOfOthers(t *testing.T) {
	want := cenc.PSSH{System: cenc.SystemID{0xed, 0xef}, Data: []byte("data")}
	box, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	got, err := readPSSH([]string{write("a", box), write("b", []byte(base64.StdEncoding.EncodeToString(box)+"\n"))})
	if err != nil || len(got) != 2 || cmp.Diff(got[0], want) != "" || cmp.Diff(got[1], want) != "" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []string{write("c", box[1:]), write("d", append(box, 0)), write("e", nil), filepath.Join(dir, "none")} {
		if _, err := readPSSH([]string{name}); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}
