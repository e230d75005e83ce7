package cli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/film"
)

// runPackCommands runs one line of the packing commands.
func runPackCommands(args ...string) (stdout, stderr string, status int) {
	var out, errOut bytes.Buffer
	env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut, Now: time.Now}
	root := &cobra.Command{Use: "lares", SilenceErrors: true, SilenceUsage: true}
	root.PersistentFlags().Bool("json", false, "")
	root.AddCommand(newPackCmd(env), newContentCmd(env))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	root.SetOut(&out)
	strict(root)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	var ee *exitError
	switch {
	case err == nil:
		return out.String(), errOut.String(), statusDone
	case errors.As(err, &ee):
		return out.String(), err.Error(), ee.code
	}
	return out.String(), err.Error(), statusError
}

// deliveryCertificate makes the delivery key of an issuer's module and its certificate.
func deliveryCertificate(t *testing.T) (key *ecdsa.PrivateKey, der []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer delivery"}, NotAfter: time.Unix(1<<33, 0)}
	der, err = x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// recipient makes a delivery key and the file of its certificate.
func recipient(t *testing.T) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, der := deliveryCertificate(t)
	file := filepath.Join(t.TempDir(), "delivery.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return key, file
}

// packFilm packs the demo film by the command, and returns the recipient's key
// and certificate.
func packFilm(t *testing.T, dir string, more ...string) (*ecdsa.PrivateKey, []byte, *packed) {
	t.Helper()
	key, file := recipient(t)
	cert, err := readCertificate(file)
	if err != nil {
		t.Fatal(err)
	}
	in := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(in, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	args := []string{"pack", "--title", film.Title, "--content", "lares-film", "--out", dir, "--json", "--to", file}
	for _, name := range []string{film.SD, film.HD} {
		b, err := film.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, write(name, b))
	}
	out, msg, status := runPackCommands(append(args, more...)...)
	if status != statusDone {
		t.Fatalf("pack: status %d: %s", status, msg)
	}
	var p packed
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	return key, cert.Raw, &p
}

// keyFlag opens the sealed keys and gives one tier's as --key takes it.
func keyFlag(t *testing.T, key *ecdsa.PrivateKey, cert []byte, file string, tier content.Tier) string {
	t.Helper()
	kx, err := key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	blob, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := content.OpenKeys(kx, cert, blob)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range d.Keys {
		if k.Tier == tier {
			raw, err := k.Key.Reveal()
			if err != nil {
				t.Fatal(err)
			}
			return k.KID.String() + ":" + hex.EncodeToString(raw[:])
		}
	}
	t.Fatalf("no key of tier %v", tier)
	return ""
}

func TestCLI_Pack_SealsTheKeysThatDecrypt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "film")
	key, der, p := packFilm(t, dir, "--scheme", "cbcs")
	if len(p.Tracks) != 3 || p.DurationMS != 60_000 || p.SealedTo != "CN=issuer delivery" {
		t.Errorf("pack printed %+v", p)
	}
	flag := keyFlag(t, key, der, p.Keys, content.HD)
	whole := filepath.Join(t.TempDir(), "hd.mp4")
	var b []byte
	for _, name := range []string{"init.mp4", "1.m4s", "2.m4s"} {
		part, err := os.ReadFile(filepath.Join(dir, "hd", name))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, part...)
	}
	if err := os.WriteFile(whole, b, 0o600); err != nil {
		t.Fatal(err)
	}
	clearFile := whole + ".clear"
	if _, msg, status := runPackCommands("content", "decrypt", "--key", flag, whole, clearFile); status != statusDone {
		t.Fatalf("decrypt: status %d: %s", status, msg)
	}
	var before, after inspection
	for file, to := range map[string]*inspection{whole: &before, clearFile: &after} {
		out, msg, status := runPackCommands("content", "inspect", "--json", file)
		if status != statusDone {
			t.Fatalf("inspect: status %d: %s", status, msg)
		}
		if err := json.Unmarshal([]byte(out), to); err != nil {
			t.Fatal(err)
		}
	}
	if e := before.Tracks[0].Entries[0]; e.Scheme == nil || e.Pattern != "1:9" || len(before.Fragments) != 2 || before.Fragments[1].Protected == 0 {
		t.Errorf("protected file: %+v", before)
	}
	if e := after.Tracks[0].Entries[0]; e.Scheme != nil || after.Fragments[1].Protected != 0 || after.Fragments[1].At != before.Fragments[1].At {
		t.Errorf("clear file: %+v", after)
	}
}

func TestCLI_Content_StatusesAndSecrets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "film")
	_, _, p := packFilm(t, dir)
	secret := strings.Repeat("5e", 16)
	for name, tc := range map[string]struct {
		args []string
		want int
	}{
		"no key for the file": {[]string{"content", "decrypt", "--key", strings.Repeat("00", 16) + ":" + secret, "--init", dir + "/sd/init.mp4", dir + "/sd/1.m4s", "-"}, statusRefused},
		"bad key":             {[]string{"content", "decrypt", "--key", "00:" + secret, dir + "/sd/1.m4s", "-"}, statusUsage},
		"no --key":            {[]string{"content", "decrypt", dir + "/sd/1.m4s", "-"}, statusUsage},
		"not MP4":             {[]string{"content", "inspect", dir + "/manifest.mpd"}, statusError},
		"no such file":        {[]string{"content", "inspect", dir + "/none"}, statusError},
		"pack over a folder":  {[]string{"pack", "--title", "x", "--content", "x", "--to", p.Keys, "--out", dir, dir + "/sd/1.m4s"}, statusError},
		"bad scheme":          {[]string{"pack", "--title", "x", "--content", "x", "--scheme", "cens", "--to", "x", "--out", dir, "x"}, statusUsage},
		"pack nothing":        {[]string{"pack"}, statusUsage},
	} {
		out, msg, status := runPackCommands(tc.args...)
		if status != tc.want || msg == "" || out != "" {
			t.Errorf("%s: status %d, want %d: %q, %q", name, status, tc.want, msg, out)
		}
		if strings.Contains(out+msg, secret) {
			t.Errorf("%s: the key is printed: %s", name, msg)
		}
	}
	out, msg, status := runPackCommands("content", "inspect", dir+"/sd/1.m4s")
	if status != statusDone || !strings.Contains(out, "fragment 1 at byte 0") {
		t.Errorf("inspect of a fragment: status %d: %s %s", status, out, msg)
	}
}

func TestCLI_Pack_ProgressSaysRateAndTimeLeft(t *testing.T) {
	if got, want := progressLine(50_000_000, 200_000_000, 2*time.Second), "packing  25 %, 25.0 MB/s, 6s left"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := progressLine(0, 10, 0), "packing   0 %"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
