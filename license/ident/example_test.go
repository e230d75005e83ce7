package ident_test

import (
	"fmt"

	"github.com/lares-drm/lares/license/ident"
)

// IDs print in the form that players and manifests write, and are compared as values.
func Example() {
	var kid ident.Key
	if err := kid.UnmarshalText([]byte("1077efec-c0b2-4d02-ace3-3c1e52e2fb4b")); err != nil {
		fmt.Println(err)
		return
	}
	film, other := ident.Content("lares-film"), ident.Content("\x01\x02")
	fmt.Println(kid, film, other, film == "lares-film")
	// Output: 1077efec-c0b2-4d02-ace3-3c1e52e2fb4b lares-film 0x0102 true
}
