package sim_test

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/security/trem/sim"
)

// A run with nothing wrong in the code holds; a box that shows the film before
// it has charged the play is found out.
func Example() {
	parties, err := sim.NewParties()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range []sim.Mutant{sim.None, sim.UseFirst} {
		for seed := uint64(1); seed <= 20; seed++ {
			w, err := sim.New(sim.Config{Parties: parties, Seed: seed, Mutant: m})
			if err != nil {
				fmt.Println(err)
				return
			}
			_, err = w.Run()
			if broken, ok := errors.AsType[*sim.BrokenError](err); ok {
				fmt.Println(m, "is", broken.Verdict)
				break
			}
		}
	}
	// Output: use-first is doubled
}
