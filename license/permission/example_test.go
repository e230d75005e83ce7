package permission_test

import (
	"fmt"

	"github.com/lares-drm/lares/license/permission"
)

// A rental, from text to a code and back.
func Example() {
	units, err := permission.ParseText("PLAY; PLAY_COUNT=3; INTERVAL=48h; OUTPUT_PROTECTION=HDCP_2_2; RESOLUTION<=1080p; EXPORT=clearkey")
	if err != nil {
		fmt.Println(err)
		return
	}
	code, err := units.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%x\n", []byte(code))
	back, err := permission.Parse(code)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(back.Text())
	fmt.Println(back.Grants(permission.Play), back.Grants(permission.Copy))
	for _, sentence := range back.Words() {
		fmt.Println(sentence)
	}
	// Output:
	// 01000101101103040a4cb80004010305031fa400060102400a0108636c6561726b6579
	// PLAY; INTERVAL=48h; PLAY_COUNT=3; OUTPUT_PROTECTION=HDCP_2_2; RESOLUTION<=1080p; EXPORT=clearkey
	// true false
	// May be played for 48h after the first use, 3 times in all, in pictures of up to 1080p, on outputs protected by HDCP_2_2 or better.
	// May be relayed to: clearkey.
	// May be watched in a browser of the household.
}
