package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// factoryKeys writes a file of keys for n devices.
func factoryKeys(t *testing.T, n int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.txt")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for range n {
		var text [2]string
		for i := range text {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := key.PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			text[i] = base64.StdEncoding.EncodeToString(raw)
		}
		fmt.Fprintf(w, "%s %s\n", text[0], text[1])
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

// readBulk reads a file of certificates.
func readBulk(t *testing.T, file string) (head bulkHead, devices []bulkDevice) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReader(f))
	if err := d.Decode(&head); err != nil {
		t.Fatal(err)
	}
	for {
		var x bulkDevice
		if err := d.Decode(&x); err == io.EOF {
			return head, devices
		} else if err != nil {
			t.Fatal(err)
		}
		devices = append(devices, x)
	}
}

// checkBulk verifies every step-th device of a file against its own first line.
func checkBulk(t *testing.T, file string, n, step int) {
	t.Helper()
	head, devices := readBulk(t, file)
	if len(devices) != n {
		t.Fatalf("%d devices, want %d", len(devices), n)
	}
	trust, err := pki.NewTrustStore(head.Roots...)
	if err != nil {
		t.Fatal(err)
	}
	v := &pki.Verifier{Trust: trust}
	seen := map[uint32]bool{}
	for i, d := range devices {
		if seen[d.Index] {
			t.Fatalf("index %d twice", d.Index)
		}
		seen[d.Index] = true
		if i%step != 0 {
			continue
		}
		peer, err := v.Verify(append([][]byte{d.Signing}, head.Chain...), time.Now(), pki.Device)
		if err != nil || peer.ID() != d.Device || peer.Index() != d.Index || peer.Class() != head.Class || peer.SVN() != 2 {
			t.Fatalf("device %d: %v", i, err)
		}
		if _, err := v.VerifyDelivery(peer, d.Delivery, time.Now()); err != nil {
			t.Fatalf("device %d: %v", i, err)
		}
	}
}

// TestCA_BulkResumes: a run that was interrupted, and one whose last line was cut
// off, are gone on with.
func TestCA_BulkResumes(t *testing.T) {
	c := newCATest(t)
	var shown caAnswer
	c.ok(&shown, "ceremony")
	keys, out := factoryKeys(t, 40), filepath.Join(t.TempDir(), "certificates.jsonl")
	head := func(n int) string { // the first lines of the keys
		data, err := os.ReadFile(keys)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "some.txt")
		if err := os.WriteFile(file, bytes.Join(bytes.SplitAfter(data, []byte("\n"))[:n], nil), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	var done bulkAnswer
	c.ok(&done, "bulk", head(15), "--out", out, "--svn", "2")
	if done.Devices != 15 || done.Resumed != 0 {
		t.Errorf("%+v", done)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, data[:len(data)-100], 0o600); err != nil { // the power failed
		t.Fatal(err)
	}
	c.ok(&done, "bulk", keys, "--out", out, "--svn", "2")
	if done.Devices != 40 || done.Resumed != 14 {
		t.Errorf("%+v", done)
	}
	checkBulk(t, out, 40, 1)
	c.ok(&done, "bulk", keys, "--out", out, "--svn", "2")
	if done.Devices != 40 || done.Resumed != 40 {
		t.Errorf("nothing was left to do: %+v", done)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs, Now: time.Now}
	if code := Main(ctx, []string{"ca", "bulk", keys, "--out", out + ".new", "--dir", c.dir}, env); code != statusLater || !strings.Contains(errs.String(), "goes on") {
		t.Errorf("interrupted: status %d: %s", code, errs.String())
	}
}

func TestCA_BulkRefusesBadKeys(t *testing.T) {
	c := newCATest(t)
	var shown caAnswer
	c.ok(&shown, "ceremony")
	good, err := os.ReadFile(factoryKeys(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(good, []byte("\n"))
	out := filepath.Join(t.TempDir(), "out")
	for name, tc := range map[string]struct{ keys, says string }{
		"a key twice":     {string(good) + string(lines[1]), "line 4 of the keys has the signing key of line 2"},
		"no key":          {string(lines[0]) + "hello\n", "line 2"},
		"a long line":     {strings.Repeat("A", 10_000) + "\n", "line 1"},
		"one key alone":   {string(lines[0][:88]) + "\n", "line 1"},
		"no point":        {base64.StdEncoding.EncodeToString(make([]byte, 65)) + " " + string(lines[0][89:]), "line 1"},
		"one key as both": {string(lines[0][:88]) + " " + string(lines[0][:88]) + "\n", "one key"},
	} {
		file := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(file, []byte(tc.keys), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Remove(out)
		if _, errs, code := c.run("", "bulk", file, "--out", out); code == statusDone || !strings.Contains(errs, tc.says) {
			t.Errorf("%s: status %d: %s", name, code, errs)
		}
	}
	os.Remove(out)
	keys := factoryKeys(t, 3)
	var done bulkAnswer
	c.ok(&done, "bulk", keys, "--out", out)
	for name, tc := range map[string]struct {
		args []string
		code int
	}{
		"other keys":          {[]string{factoryKeys(t, 3), "--out", out}, statusError},
		"fewer keys":          {[]string{os.DevNull, "--out", out}, statusError},
		"not a file of ours":  {[]string{keys, "--out", keys}, statusError},
		"no level":            {[]string{keys, "--out", out + "2", "--level", "SL9"}, statusUsage},
		"a level not granted": {[]string{keys, "--out", out + "3", "--level", "SL3"}, statusRefused},
		"no such class":       {[]string{keys, "--out", out + "4", "--class", "9"}, statusRefused},
	} {
		if _, errs, code := c.run("", append([]string{"bulk"}, tc.args...)...); code != tc.code {
			t.Errorf("%s: status %d, want %d: %s", name, code, tc.code, errs)
		}
	}
}

// TestCA_BulkTenThousand certifies a factory's day; LARES_BULK=1000000 is done by
// hand, and stands in docs/performance.md.
func TestCA_BulkTenThousand(t *testing.T) {
	t.Parallel() // it computes while others wait
	needs.Long(t)
	n := 10_000
	if s := os.Getenv("LARES_BULK"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	c := newCATest(t)
	var shown caAnswer
	c.ok(&shown, "ceremony")
	keys, out := factoryKeys(t, n), filepath.Join(t.TempDir(), "certificates.jsonl")
	var done bulkAnswer
	c.ok(&done, "bulk", keys, "--out", out, "--svn", "2")
	t.Logf("%d devices in %d s, %d an hour", done.Devices, done.Seconds, done.PerHour)
	c.ok(&shown, "show")
	for _, class := range shown.Classes {
		if class.Class == 4097 && int(class.Members) != n {
			t.Errorf("the authority counts %d", class.Members)
		}
	}
	if n <= 10_000 {
		checkBulk(t, out, n, 97)
	}
}

// TestCA_BulkKeysOfThePage reads the line of docs/spec/authority-api.md.
func TestCA_BulkKeysOfThePage(t *testing.T) {
	md, err := os.ReadFile("../../docs/spec/authority-api.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```text keys\n(.*?)```").FindSubmatch(md)
	if m == nil || len(m[1]) != bulkKeyLine {
		t.Fatalf("the page has no line of %d bytes", bulkKeyLine)
	}
	b := bulk{keys: bufio.NewReader(bytes.NewReader(m[1])), seen: map[ident.Device]int{}}
	pairs, err := b.read(2)
	if err != nil || len(pairs) != 1 {
		t.Fatalf("%d devices, %v", len(pairs), err)
	}
	for i, key := range []*ecdsa.PublicKey{pairs[0].signing, pairs[0].delivery} {
		want, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{byte(i + 1)}, 32))
		if err != nil || !key.Equal(want.Public()) {
			t.Errorf("key %d is another", i)
		}
	}
}

// FuzzBulkKeys: a line is read as two different keys, or refused.
func FuzzBulkKeys(f *testing.F) {
	f.Add([]byte("BGsX BHzy\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := bulk{keys: bufio.NewReader(bytes.NewReader(data)), seen: map[ident.Device]int{}}
		pairs, err := b.read(bulkBatch)
		if err == nil && len(pairs) != b.line {
			t.Fatalf("%d devices of %d lines", len(pairs), b.line)
		}
	})
}
