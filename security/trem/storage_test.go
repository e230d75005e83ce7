package trem_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/security/trem"
)

func TestKeystore_StorageFile(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		ok   bool
	}{
		"soft":             {`{"keystore": "soft"}`, true},
		"tpm":              {`{"keystore": "tpm", "tpm": "/dev/tpmrm0", "register": "extend"}`, true},
		"counter":          {`{"keystore": "tpm", "tpm": "/dev/tpmrm0", "register": "counter"}`, true},
		"token":            {`{"keystore": "pkcs11", "module": "/lib/x.so", "token": "a", "pin_file": "/pin"}`, true},
		"SoftHSM":          {`{"keystore": "pkcs11", "module": "/lib/x.so", "token": "a", "pin_file": "/pin", "token_dir": "/var/lib/x"}`, true},
		"nothing":          {`{}`, false},
		"empty":            {``, false},
		"another":          {`{"keystore": "hsm"}`, false},
		"unknown key":      {`{"keystore": "soft", "pin": "1234"}`, false},
		"two values":       {`{"keystore": "soft"} {}`, false},
		"soft with TPM":    {`{"keystore": "soft", "tpm": "/dev/tpmrm0"}`, false},
		"TPM, no device":   {`{"keystore": "tpm", "register": "extend"}`, false},
		"TPM, no register": {`{"keystore": "tpm", "tpm": "/dev/tpmrm0"}`, false},
		"TPM with PIN":     {`{"keystore": "tpm", "tpm": "/dev/tpmrm0", "register": "extend", "pin_file": "/pin"}`, false},
		"token, no PIN":    {`{"keystore": "pkcs11", "module": "/lib/x.so", "token": "a"}`, false},
		"relative path":    {`{"keystore": "tpm", "tpm": "tpmrm0", "register": "extend"}`, false},
	} {
		k, err := trem.ParseKeyStorage([]byte(tc.text))
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, trem.ErrStorage) {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
}

func TestKeystore_StorageIsKept(t *testing.T) {
	dir := t.TempDir()
	if k, err := trem.LoadKeyStorage(dir); err != nil || k.Kind != trem.StorageSoft {
		t.Errorf("a folder without the file: %+v, %v", k, err)
	}
	want := trem.KeyStorage{Kind: trem.StorageTPM, TPM: "/dev/tpmrm0", Register: trem.RegisterCounter}
	if err := (trem.KeyStorage{Kind: "x"}).Save(dir); !errors.Is(err, trem.ErrStorage) {
		t.Errorf("Save of nonsense: %v", err)
	}
	for range 2 {
		if err := want.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	if k, err := trem.LoadKeyStorage(dir); err != nil || k != want {
		t.Errorf("read %+v, %v, want %+v", k, err, want)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%d files, %v", len(files), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keystore.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := trem.LoadKeyStorage(dir); !errors.Is(err, trem.ErrStorage) {
		t.Errorf("a damaged file: %+v, %v: it must not be taken for none", k, err)
	}
}

// FuzzKeyStorage: what is read can be written, and reads the same.
func FuzzKeyStorage(f *testing.F) {
	f.Add([]byte(`{"keystore": "tpm", "tpm": "/dev/tpmrm0", "register": "extend"}`))
	f.Add([]byte(`{"keystore": "pkcs11", "module": "/lib/x.so", "token": "a", "pin_file": "/pin", "token_dir": "/d"}`))
	f.Add([]byte(`{"keystore": "soft"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := trem.ParseKeyStorage(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := trem.ParseKeyStorage(text); err != nil || again != k {
			t.Errorf("%s reads as %+v, %v", text, again, err)
		}
	})
}
