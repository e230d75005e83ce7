package upnp_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/interconnect/upnp"
)

func Example() {
	_, err := upnp.Open(context.Background(), "http://192.0.2.7/device.xml") // an address that is in no house
	fmt.Println(errors.Is(err, upnp.ErrNone))
	// Output: true
}
