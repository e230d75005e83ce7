package soft

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
)

// TestKeystore_WorkedExample opens the key file of docs/spec/keystore.md with
// the secret that stands there.
func TestKeystore_WorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/keystore.md")
	if err != nil {
		t.Fatal(err)
	}
	var parts [][]byte
	for _, m := range regexp.MustCompile("(?s)```hex\n(.*?)```").FindAllSubmatch(page, -1) {
		b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "").Replace(string(m[1])))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, b)
	}
	if len(parts) != 6 { // the last three are of simnv, pkcs11 and tpm
		t.Fatalf("%d examples on the page, want 6", len(parts))
	}
	plain, err := openFile(parts[0], parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plain, parts[2]) {
		t.Errorf("the file opens to %x, the page says %x", plain, parts[2])
	}
	var k keys
	if err := wire.Unmarshal(plain, &k, wire.Limit{}); err != nil || k.Version != 1 || len(k.Identity) != keyLen || len(k.Delivery) != keyLen || len(k.Seal) != keyLen {
		t.Errorf("keys: %v", err)
	}
}

// TestKeystore_ExampleCanBeMade logs a new example for the page: it is a check
// that what the page holds can be made again.
func TestKeystore_ExampleCanBeMade(t *testing.T) {
	secret := bytes.Repeat([]byte{1}, secretLen)
	plain, err := wire.Marshal(keys{Version: 1, Identity: bytes.Repeat([]byte{2}, keyLen), Delivery: bytes.Repeat([]byte{3}, keyLen), Seal: bytes.Repeat([]byte{4}, keyLen)})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealFile(secret, plain)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("secret %x\nsealed %x\nplain %x", secret, sealed, plain)
	if again, err := openFile(secret, sealed); err != nil || !bytes.Equal(again, plain) {
		t.Errorf("opens to %x (%v)", again, err)
	}
}
