//go:build !pkcs11 || !cgo

package pkcs11_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lares-drm/lares/security/keystore/pkcs11"
)

// A build without C has no tokens, and says what build has them.
func Example() {
	_, err := pkcs11.Open(pkcs11.Config{Dir: "keys", Module: "/usr/lib/softhsm/libsofthsm2.so"})
	fmt.Println(err)
	// Output: keystore: this build has no PKCS#11; build with -tags pkcs11 and CGO_ENABLED=1 (make build-pkcs11)
}

func TestKeystore_PKCS11IsNotInThisBuild(t *testing.T) {
	if _, err := pkcs11.Create(pkcs11.Config{}); !errors.Is(err, pkcs11.ErrNotBuilt) {
		t.Errorf("Create: %v, want ErrNotBuilt", err)
	}
	if _, err := pkcs11.Open(pkcs11.Config{}); !errors.Is(err, pkcs11.ErrNotBuilt) {
		t.Errorf("Open: %v, want ErrNotBuilt", err)
	}
}
