package spread_test

import (
	"fmt"

	"github.com/lares-drm/lares/security/revocation/spread"
)

func Example() {
	p := spread.Example()
	p.Devices, p.Days = 5_000, 30
	r, err := spread.Run(p, nil)
	if err != nil {
		panic(err)
	}
	for _, o := range r.Strategies {
		fmt.Printf("%v: half after a day: %v, nine tenths after a month: %v\n", o.Strategy, o.Curve[0] > 0.5, o.Days90 != nil)
	}
	// Output:
	// direct download: half after a day: false, nine tenths after a month: false
	// + home server relay: half after a day: true, nine tenths after a month: true
	// + visits between households: half after a day: true, nine tenths after a month: true
	// + state travels with content: half after a day: true, nine tenths after a month: true
}
