package cli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func runLicense(stdin string, args ...string) (stdout, message string, status int) {
	var out bytes.Buffer
	env := &Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &out, Now: time.Now}
	root := &cobra.Command{Use: "lares", SilenceErrors: true, SilenceUsage: true}
	root.PersistentFlags().Bool("json", false, "")
	root.AddCommand(newLicenseCmd(env))
	strict(root)
	root.SetArgs(append([]string{"license"}, args...))
	err := root.ExecuteContext(context.Background())
	var ee *exitError
	switch {
	case err == nil:
		return out.String(), "", statusDone
	case errors.As(err, &ee):
		return out.String(), err.Error(), ee.code
	}
	return out.String(), err.Error(), statusError
}

// rentalFile writes a license and returns its name and bytes.
func rentalFile(t *testing.T) (string, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	u, err := permission.ParseText("PLAY; PLAY_COUNT=2; INTERVAL=48h; CHARGE=RENTAL")
	if err != nil {
		t.Fatal(err)
	}
	code, err := u.Encode()
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := (&license.OutputRules{Digital: permission.ProtectHDCP22}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	data, err := license.Sign(key, []byte("certificate"), &license.Info{
		ID: ident.License{0xab}, Issuer: "shop.example", IssuedAt: 1_767_225_600_000, Content: "film-1", Version: 1, Subject: license.DomainSubject(ident.Domain{2}, 1),
		Code: code, Policy: license.Policy{Duration: 75_000, StorageDuration: 30 * 86400_000},
		Keys: []license.KeyRef{{KID: ident.Key{3}, Tier: license.TierUHD, BPS: 5, Outputs: outputs}},
	})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "film.license")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, data
}

func TestLicense_Show(t *testing.T) {
	name, data := rentalFile(t)
	out, msg, status := runLicense("", "show", name)
	if status != statusDone {
		t.Fatal(status, msg)
	}
	for _, want := range []string{"ab000000000000000000000000000000", "shop.example, 1 Jan 2026", "film-1", "PLAY; INTERVAL=48h; PLAY_COUNT=2; CHARGE=RENTAL", "UHD, 5 bytes/s", "signature not checked"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	out, msg, status = runLicense(string(data), "show", "-", "--json")
	if status != statusDone {
		t.Fatal(status, msg)
	}
	var got struct {
		Terms   string `json:"terms"`
		Subject struct{ Kind string }
		Policy  struct {
			Duration int64 `json:"duration_ms"`
		}
		Keys []struct {
			Tier    string
			Outputs struct{ Digital int }
		}
		Stateless bool
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Subject.Kind != "domain" || got.Policy.Duration != 75_000 || got.Keys[0].Tier != "UHD" || got.Keys[0].Outputs.Digital != 2 || got.Stateless {
		t.Errorf("%+v", got)
	}
}

func TestLicense_Explain(t *testing.T) {
	name, _ := rentalFile(t)
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"explain", name}, []string{"May be played for 48h after the first use, 2 times in all.", "Must be begun within 30d of its issue, before 2026-01-31T00:00:00Z.", "UHD (needs HDCP_2_2)", "A play counts after 10s"}},
		{[]string{"explain", "--code", "PLAY; EXPORT=clearkey"}, []string{"May be played without limit.", "browser of the household"}},
		{[]string{"explain", "--code", "0x010001011000"}, []string{"May be played without limit."}},
		{[]string{"explain", "--code", "PLAY; X.15=00"}, []string{"does not know (unit 0x15)"}},
		{[]string{"explain", "--code", "PLAY", "--json"}, []string{`"code": "010001011000"`, `"terms": "PLAY"`}},
	} {
		out, msg, status := runLicense("", tc.args...)
		if status != statusDone {
			t.Errorf("%v: %d %s", tc.args, status, msg)
		}
		for _, want := range tc.want {
			if !strings.Contains(out, want) {
				t.Errorf("%v: %q is not in\n%s", tc.args, want, out)
			}
		}
	}
}

func TestLicense_CommandErrors(t *testing.T) {
	name, data := rentalFile(t)
	if err := os.WriteFile(name, data[:len(data)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"show", name}, statusError, "is not a license"},
		{[]string{"show", name + ".none"}, statusError, "no such file"},
		{[]string{"show"}, statusUsage, ""},
		{[]string{"explain"}, statusUsage, "either FILE or --code"},
		{[]string{"explain", name, "--code", "PLAY"}, statusUsage, "either FILE or --code"},
		{[]string{"explain", "--code", "FLY"}, statusUsage, "no such keyword"},
		{[]string{"explain", "--code", "0xzz"}, statusUsage, "hexadecimal"},
		{[]string{"explain", "--code", "0x00"}, statusUsage, "profile 0"},
	} {
		if _, msg, status := runLicense("", tc.args...); status != tc.status || !strings.Contains(msg, tc.want) {
			t.Errorf("%v: status %d, %q; want %d, %q", tc.args, status, msg, tc.status, tc.want)
		}
	}
}
