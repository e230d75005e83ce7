package trembench_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/lares-drm/lares/security/trem/trembench"
)

// The log of a module does not grow with the number of plays.
func Example() {
	dir, err := os.MkdirTemp("", "trembench")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	p, err := trembench.Vault{Dir: dir, Now: time.Now}.Play(context.Background(), 10_000, 20)
	fmt.Println(p.Most < 1_100_000, p.Compactions > 0, err)
	// Output: true true <nil>
}
