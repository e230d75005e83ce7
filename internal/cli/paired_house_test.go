package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// emptyHouse is a house of processes in which nothing runs yet.
func emptyHouse(t *testing.T) *demo {
	t.Helper()
	h, err := newHouse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.program = program(t)
	d := &demo{house: h, listen: "127.0.0.1:0"}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(h.tail(30))
		}
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// services are what runs in a paired house, in the order in which they start.
var services = []string{"ca", "shop", "home"}

// pairedHouse makes a house with a shop, films, a home server and two devices once for
// all tests: some forty commands, that each of them would begin with. Its services have
// been stopped, and their addresses are kept for its copies.
var pairedHouse = sync.OnceValues(func() (*demo, error) {
	dir, err := scratch()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "house")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	h, err := newHouse(dir)
	if err != nil {
		return nil, err
	}
	if h.program, err = programs(); err != nil {
		return nil, err
	}
	h.program = filepath.Join(h.program, "lares")
	d := &demo{house: h, listen: "127.0.0.1:0"}
	for _, step := range []func(context.Context) error{d.makeCA, d.makeShop, d.packFilm, d.stockShop, d.makeHome, d.makeDevices} {
		if err = step(context.Background()); err != nil {
			break
		}
	}
	if err = errors.Join(err, h.close()); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, h.tail(30))
	}
	for _, name := range services {
		if err := keepPort(h.procs[name].url); err != nil {
			return nil, err
		}
	}
	return d, nil
})

// killHouse is a paired house of this test's own, which runs, for being killed. Nothing
// is sold yet. It is a copy of the one that all tests begin with, so its keys are those
// of other tests' houses, but no two of them run at a time: they have the same addresses.
func killHouse(t *testing.T) *demo {
	t.Helper()
	d := emptyHouse(t)
	made, err := pairedHouse()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", made.dir+"/.", d.dir).CombinedOutput(); err != nil { //nolint:gosec // folders of the test
		t.Fatalf("%v: %s", err, out)
	}
	rehouse(t, d.path("home", "library.json"), made.dir, d.dir) // it says where the films are
	d.caURL, d.shopURL, d.homeURL, d.shop = made.caURL, made.shopURL, made.homeURL, made.shop
	for _, name := range services {
		args := made.procs[name].back()
		for i := range args {
			args[i] = strings.Replace(args[i], made.dir, d.dir, 1)
		}
		if url, err := d.serve(name, args...); err != nil || url != made.procs[name].url {
			t.Fatalf("%s is at %s, want %s (%v)", name, url, made.procs[name].url, err)
		}
	}
	return d
}

// keepPort keeps the port of a URL for who asks for it by its number: until this process
// ends, the kernel gives it to nobody who asks for any. Source: socket(7), SO_REUSEADDR.
func keepPort(url string) error {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "#")
	at, err := netip.ParseAddrPort(host)
	if err != nil {
		return err
	}
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(syscall.SetsockoptInt(s, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(s, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}))
}
