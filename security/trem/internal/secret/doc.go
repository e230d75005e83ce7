// Package secret implements memory for the bytes of title keys: pages that the
// kernel takes out of its own map (memfd_secret, Linux 5.14), so that neither
// another process nor the administrator reads them through /proc, ptrace or
// process_vm_readv, and that are never swapped, dumped or inherited.
//
// Source: local, docs/threat-model.md. It holds keys at rest. What works with a
// key makes copies of it on the ordinary heap for as long as it works:
// content/cenc overwrites its own, the rest is the garbage collector's. Where
// the kernel has no such memory the arena is locked memory that is not dumped,
// and Kind says so.
//
// The promise: a key that an Arena keeps is nowhere else because of the Arena,
// and its place is overwritten when nobody holds the key any more.
package secret
