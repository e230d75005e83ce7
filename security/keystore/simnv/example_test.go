//go:build unix

package simnv_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/security/keystore/simnv"
)

// A counter goes on where it was, whoever opens it.
func Example() {
	dir, err := os.MkdirTemp("", "simnv")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	for range 2 {
		r, err := simnv.OpenCounter(filepath.Join(dir, "nv"))
		if err != nil {
			fmt.Println(err)
			return
		}
		err = r.Increment()
		n, err2 := r.Count()
		fmt.Println(n, errors.Join(err, err2, r.Close()), simnv.Level)
	}
	// Output:
	// 1 <nil> A0
	// 2 <nil> A0
}
