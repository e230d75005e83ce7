package trem

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// TestTREM_1_CommandsThatWaitLeaveNothing: some commands hold keys. The memory in which
// they wait keeps nothing of them when they are written, and none that it outgrew does.
func TestTREM_1_CommandsThatWaitLeaveNothing(t *testing.T) {
	host, module := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, module) }()
	c := NewClient(host)
	t.Cleanup(func() { _ = c.Close() })
	c.flying = maxFlying // nothing is written before there is room
	secret := []byte("secret")
	var arrays [][]byte
	for n := range 6 {
		header := bytes.Repeat(secret, 10<<n)
		if _, err := c.begin(Message{Header: header}, false, host); err != nil {
			t.Fatal(err)
		}
		arrays = append(arrays, c.waiting[:cap(c.waiting)])
	}
	if !bytes.Contains(c.waiting, secret) {
		t.Fatal("nothing waits")
	}
	c.flying = 0
	c.flush()
	for n, a := range arrays {
		if bytes.Contains(a, secret) {
			t.Errorf("array %d of %d bytes keeps a command", n, len(a))
		}
	}
}
