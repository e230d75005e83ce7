package soft_test

import (
	"fmt"
	"os"

	"github.com/lares-drm/lares/security/keystore/soft"
)

// What one opening of the folder sealed, the next one opens.
func Example() {
	dir, err := os.MkdirTemp("", "keys-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	made, err := soft.Create(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	sealed, err := made.Seal([]byte("a secret"), []byte("its purpose"))
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := soft.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	plain, err := again.Unseal(sealed, []byte("its purpose"))
	fmt.Println(string(plain), err)
	_, err = again.Unseal(sealed, []byte("another purpose"))
	fmt.Println(err != nil)
	// Output:
	// a secret <nil>
	// true
}
