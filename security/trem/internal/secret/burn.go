package secret

import "runtime"

// burned is how much stack Burn overwrites, in bytes: more than a command of the
// module uses. Source: local.
const burned = 64 << 10

// Burn overwrites the stack below its caller, where functions that have
// returned left copies: SHA-256 keeps its last block in a variable, and that may
// be of a record with keys in it. Called first, before there is a key, it has
// the stack grown to where it need not grow again, which would leave a copy.
//
//go:noinline
func Burn() {
	var b [burned]byte
	clear(b[:])
	runtime.KeepAlive(&b)
}
