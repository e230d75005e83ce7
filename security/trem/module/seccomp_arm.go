package module

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_ARM

// legacy are the denied calls that newer architectures no longer have.
func legacy() []uint32 { return []uint32{unix.SYS_FORK, unix.SYS_VFORK} }
