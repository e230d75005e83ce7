package module

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// legacy are the denied calls that newer architectures no longer have.
func legacy() []uint32 { return nil }
