//go:build amd64 || arm64 || riscv64

package secret

import "golang.org/x/sys/unix"

// memfdSecret makes a file of memory without a map. The flag of open(2) is that
// of this call.
func memfdSecret() (int, error) { return unix.MemfdSecret(unix.O_CLOEXEC) }
