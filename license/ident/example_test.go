package ident_test

import (
	"fmt"

	"github.com/lares-drm/lares/license/ident"
)

// A key ID prints as players write it; text and bytes read back.
func Example() {
	var kid ident.Key
	if err := kid.UnmarshalText([]byte("0123456789abcdef0123456789abcdef")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(kid)
	fmt.Println(ident.Content("film-1"), ident.Issuer("\x00\xff"))
	// Output:
	// 01234567-89ab-cdef-0123-456789abcdef
	// film-1 0x00ff
}
