package keystore_test

import (
	"fmt"

	"github.com/lares-drm/lares/security/keystore"
)

// A module has two keys, one a role; backends hand out what can be done with
// them, never the keys.
func Example() {
	fmt.Println(keystore.Identity, keystore.Delivery)
	// Output: identity delivery
}
