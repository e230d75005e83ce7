package recovery_test

import (
	"fmt"

	"github.com/lares-drm/lares/security/recovery"
)

// A code is written down as 24 words and read back in any case; a word that was
// misread is noticed.
func ExampleParseCode() {
	code, err := recovery.CodeOf(make([]byte, recovery.CodeSize))
	if err != nil {
		panic(err)
	}
	text, err := code.Text()
	fmt.Println(text, err)
	again, err := recovery.ParseCode(text)
	fmt.Println(again.Equal(code), err)
	_, err = recovery.ParseCode(text[:len(text)-3] + "ist")
	fmt.Println(err)
	fmt.Println(code)
	// Output:
	// abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art <nil>
	// true <nil>
	// recovery: not a recovery code: word 24 is not on the list
	// [recovery code]
}
