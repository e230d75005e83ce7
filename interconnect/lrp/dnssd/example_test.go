package dnssd_test

import (
	"context"
	"fmt"

	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
)

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // it ends at once
	err := dnssd.Announce(ctx, dnssd.Announcement{Port: 7710})
	fmt.Println(err == nil || err.Error() == dnssd.ErrNowhere.Error())
	// Output: true
}
