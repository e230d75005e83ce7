package tpm_test

import (
	"errors"
	"fmt"
	"os"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/tpm"
)

// A folder that describes no keys has none in the TPM. A host opens the TPM and
// gives it here; Create would make the keys.
func Example() {
	dir, err := os.MkdirTemp("", "keys-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	device, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer device.Close() //nolint:errcheck // nothing was written
	_, err = tpm.Open(dir, device)
	fmt.Println(errors.Is(err, keystore.ErrNone))
	// Output: true
}
