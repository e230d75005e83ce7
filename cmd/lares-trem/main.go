// Command lares-trem is the trusted module: a process of its own that a lares
// program starts with a socket on file descriptor 3. It is not for the shell.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/lares-drm/lares/security/trem/module"
)

// gcPercent lets the heap of a module, a few MB, grow by one and a half between two
// collections; segments lie beside it. Each collection costs as much as some
// segments, so they are to be rare. Source: local, `lares bench trem`.
const gcPercent = 150

func main() {
	debug.SetGCPercent(gcPercent)
	cfg := module.Config{Clock: module.System, Harden: true, BuildMS: module.BuildTime()}
	switch n := len(os.Args); {
	case n == 4 && os.Args[1] == "--dir" && os.Args[3] == "--tpm":
		cfg.TPM = os.NewFile(4, "tpm")
	case n != 3 || os.Args[1] != "--dir":
		fmt.Fprintln(os.Stderr, "lares-trem is the secure player of Lares; lares starts it. Usage: lares-trem --dir DIR [--tpm], with a socket on file descriptor 3 and a TPM on 4")
		os.Exit(2)
	}
	cfg.Dir, cfg.Conn = os.Args[2], os.NewFile(3, "host")
	if err := module.Run(cfg); err != nil {
		fmt.Fprintln(os.Stderr, "lares-trem:", err)
		os.Exit(1)
	}
}
