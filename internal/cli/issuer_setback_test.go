package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/store"
)

// A check says what it found in the database whatever becomes of its question to the
// module: none is none, and is not made; one that cannot be asked is neither none nor well.
func TestIssuer_Spec7_TheCheckSaysWhatBecameOfTheModule(t *testing.T) {
	for _, tc := range []struct {
		name        string
		issuer      string // what issuer.json holds; "" = there is none
		module      string // what the module's folder is: "" = nothing
		code        int
		look, words string
	}{
		{"no issuer", "", "", statusDone, "none", "there is none in this folder"},
		{"no module", "{}", "", statusDone, "none", "there is none in this folder"},
		{"an issuer's file that cannot be read", "{", "folder", statusError, "failed", "could not be asked whether it is the newest one: read issuer.json"},
		{"a module's folder that is none", "{}", "file", statusError, "failed", "could not be asked whether it is the newest one: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, issuerDatabase))
			must(err)
			must(db.Close())
			if tc.issuer != "" {
				must(os.WriteFile(filepath.Join(dir, issuerFile), []byte(tc.issuer), 0o600))
			}
			trem := filepath.Join(dir, issuerTREM)
			switch tc.module {
			case "folder":
				must(os.Mkdir(trem, 0o700))
			case "file":
				must(os.WriteFile(trem, nil, 0o600))
			}
			out, errs, code := run(t, "issuer", "db", "check", "--dir", dir)
			if code != tc.code || !strings.HasPrefix(out, "The database is whole: ") || !strings.Contains(out, tc.words) {
				t.Errorf("status %d: %s%s", code, out, errs)
			}
			if out, _, _ := run(t, "issuer", "db", "check", "--dir", dir, "--json"); !strings.Contains(out, `"module": "`+tc.look+`"`) {
				t.Error(out)
			}
			if _, err := os.Stat(trem); tc.module == "" && err == nil {
				t.Error("the check has made a module's folder")
			}
		})
	}
}

// Who is not the folder's user leaves no file in it: root's would stop the issuer.
func TestIssuer_Spec7_TheCheckIsOfTheFoldersUser(t *testing.T) {
	dir := t.TempDir()
	if err := ownFolder(dir, os.Geteuid()); err != nil {
		t.Error(err)
	}
	if err := ownFolder(dir, os.Geteuid()+1); err == nil || !strings.Contains(err.Error(), "run this command as that user") {
		t.Errorf("another's folder: %v", err)
	}
	if os.Geteuid() != 0 {
		return // only root can make a folder another's
	}
	if err := os.Chown(dir, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := run(t, "issuer", "db", "check", "--dir", dir); code != statusRefused || !strings.Contains(errs, "the user with number 12345") {
		t.Errorf("status %d: %s%s", code, out, errs)
	}
}
