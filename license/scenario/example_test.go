package scenario_test

import (
	"fmt"

	"github.com/lares-drm/lares/license/scenario"
)

// A rental is begun on its last evening and keeps its 48 hours.
func Example() {
	story, err := scenario.Parse([]byte(`title: begun on the last evening
license: PLAY; INTERVAL=48h; CHARGE=RENTAL
policy: storage_duration=30d, duration_ms=2h
day 29 23:00  start confirm  => allow HD
then          watch 60s      => allow; first_use=day 29 23:00
then          stop
day 31 23:00  ask            => refuse INTERVAL_OVER(INTERVAL) remedy BUY
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := scenario.Run(story)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range result.Events {
		fmt.Println(e.When, e.Text, e.Decision.Allow)
	}
	fmt.Println(len(result.Failures()), "failures")
	// Output:
	// day 29 23:00 start confirm true
	// day 29 23:00 watch 60s true
	// day 29 23:01 stop true
	// day 31 23:00 ask false
	// 0 failures
}
