// Command lares-trem is the trusted module: a process of its own that a lares
// program starts with a socket on file descriptor 3. It is not for the shell.
package main

import (
	"fmt"
	"os"

	"github.com/lares-drm/lares/security/trem/module"
)

func main() {
	if len(os.Args) != 3 || os.Args[1] != "--dir" {
		fmt.Fprintln(os.Stderr, "lares-trem is the secure player of Lares; lares starts it. Usage: lares-trem --dir DIR, with a socket on file descriptor 3")
		os.Exit(2)
	}
	conn := os.NewFile(3, "host")
	if err := module.Run(module.Config{Dir: os.Args[2], Conn: conn, Clock: module.System, Harden: true, BuildMS: module.BuildTime()}); err != nil {
		fmt.Fprintln(os.Stderr, "lares-trem:", err)
		os.Exit(1)
	}
}
