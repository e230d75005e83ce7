package conform_test

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/security/trem/conform"
)

// What a module is judged by has a name each, in the order of a module's life.
func Example() {
	names := []string{}
	for _, c := range conform.Checks() {
		names = append(names, c.Name)
	}
	fmt.Println(names[0], len(names) > 30, slices.Index(names, "the module is new"))
	// Output: STATUS answers true 1
}
