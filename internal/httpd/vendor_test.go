package httpd_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestHTTP_VendoredPlayerIsTheOneOfItsReadme(t *testing.T) {
	const dir = "static/vendor/shaka"
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\S+) \| ([0-9a-f]{64}) \|$`).FindAllStringSubmatch(string(readme), -1)
	if len(rows) != 2 {
		t.Fatalf("the README names %d files, want 2", len(rows))
	}
	for _, row := range rows {
		data, err := os.ReadFile(filepath.Join(dir, row[1]))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != row[2] {
			t.Errorf("%s has SHA-256 %x, the README says %s", row[1], sum, row[2])
		}
	}
	js, err := os.ReadFile(filepath.Join(dir, "shaka-player.compiled-es2021.js"))
	if err != nil || !bytes.Contains(js, []byte("v5.2.12")) {
		t.Errorf("the player is not version 5.2.12 (%v)", err)
	}
}
