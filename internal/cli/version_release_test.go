package cli

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestVersion_Releases holds folders with releases against this program.
func TestVersion_Releases(t *testing.T) {
	arch := runtime.GOARCH
	if arch == "arm" {
		arch = "armv7"
	}
	body := []byte("programs")
	sum := fmt.Sprintf("%x", sha256.Sum256(body))
	line := func(version string) string {
		return fmt.Sprintf("%s  lares-%s-linux-%s.tar.gz\n", sum, version, arch)
	}
	for _, tc := range []struct {
		name, sums, version string // of the file that is there
		data                []byte
		code                int
		want                string
	}{
		{"newer", line("9.0.0"), "9.0.0", body, statusDone, "9.0.0 is newer than this program"},
		{"the release of this development", line("0.1.0"), "0.1.0", body, statusDone, "0.1.0 is newer"},
		{"the same", line(Version), Version, body, statusDone, "is the version of this program"},
		{"older", line("0.0.9"), "0.0.9", body, statusDone, "0.0.9 is older"},
		{"damaged", line("9.0.0"), "9.0.0", []byte("program"), statusCheck, "DAMAGED  lares-9.0.0"},
		{"nothing for this machine", strings.Replace(line("9.0.0"), arch, "z80", 1), "1.0.0", body, statusCheck, "no file of the release"},
		{"two versions", line("9.0.0") + strings.Replace(line("9.1.0"), arch, "z80", 1), "9.0.0", body, statusError, "one release a folder"},
		{"no sums", "hello\n", "9.0.0", body, statusError, "no list of SHA-256 sums"},
		{"not Lares", sum + "  other-1.0.0.tar.gz\n", "9.0.0", body, statusError, "lists no release"},
	} {
		dir := t.TempDir()
		for name, data := range map[string][]byte{sumsFile: []byte(tc.sums), fmt.Sprintf("lares-%s-linux-%s.tar.gz", tc.version, arch): tc.data} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, errs, code := run(t, "version", "--release", dir)
		if code != tc.code || !strings.Contains(out+errs, tc.want) {
			t.Errorf("%s: status %d, %s%s; want %d and %q", tc.name, code, out, errs, tc.code, tc.want)
		}
	}
}

func TestVersion_Order(t *testing.T) {
	inOrder := []string{"0.1.0-dev", "0.1.0-rc1", "0.1.0", "0.1.1", "0.2.0-dev", "0.10.0", "1.0.0"}
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got, err := compareVersions(a, b); err != nil || (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s and %s: %d, %v", a, b, got, err)
			}
		}
	}
	if _, err := compareVersions("1.0", "1.0.0"); err == nil {
		t.Error("1.0 is no version")
	}
}

// FuzzSums: what is read as a list of sums is one, and writes again to the same.
func FuzzSums(f *testing.F) {
	f.Add(strings.Repeat("ab", 32) + "  lares-0.1.0-linux-amd64.tar.gz\n")
	f.Add("x")
	f.Fuzz(func(t *testing.T, text string) {
		sums, err := parseSums(strings.NewReader(text))
		if err != nil {
			return
		}
		for name, sum := range sums {
			if !strings.Contains(text, fmt.Sprintf("%x  %s", sum, name)) || strings.ContainsAny(name, "/\\\x00") {
				t.Errorf("%q is read from %q", name, text)
			}
		}
	})
}
