package lrp_test

import (
	"fmt"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// A device sends an SLTP message to the home server and gets one back.
func Example() {
	now := time.UnixMilli(1_795_521_600_000)
	homeAddr, deviceAddr := lrp.Addr{0xa0}, lrp.Addr{0xb0}
	endpoint, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: homeAddr})
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := lrp.SLTP{Message: []byte("message 1")}.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	tx := lrp.NewTransaction(homeAddr, deviceAddr, now, lrp.Life)
	answers := endpoint.Handle(tx.Next(lrp.TypeSLTP, body), now, func(_ lrp.Addr, m lrp.SLTP) ([]lrp.SLTP, error) {
		fmt.Printf("the module reads %q\n", m.Message)
		return []lrp.SLTP{{CID: []byte("01234567"), Message: []byte("message 2")}}, nil
	})
	for _, a := range answers {
		if err := tx.Check(a); err != nil {
			fmt.Println(err)
			return
		}
		m, err := lrp.ParseSLTP(a.Body)
		fmt.Printf("%v for %s: %q %v\n", a.Type, m.CID, m.Message, err)
	}
	// Output:
	// the module reads "message 1"
	// SLTP for 01234567: "message 2" <nil>
}
