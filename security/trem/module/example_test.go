package module_test

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/module"
)

// A module runs in this process over a pipe. The shipped program does the same
// in a process of its own, with Harden set, on an inherited socket.
func Example() {
	dir, err := os.MkdirTemp("", "module-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	host, inside := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- module.Run(module.Config{Dir: dir, Conn: inside, Clock: module.System, BuildMS: module.BuildTime()})
	}()
	client := trem.NewClient(host)
	s, err := client.Status(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Level, s.Clock.Quality, s.Licenses)
	client.Close()
	fmt.Println(<-done)
	// Output:
	// 1 UNSET 0
	// <nil>
}
