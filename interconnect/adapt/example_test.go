package adapt_test

import (
	"fmt"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license/permission"
)

func ExampleRights() {
	units, err := permission.ParseText("PLAY; PLAY_COUNT=3; INTERVAL=48h; EXPORT=clearkey")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, right := range adapt.Rights(units) {
		fmt.Println(right)
	}
	// Output:
	// INTERVAL
	// PLAY_COUNT
}
