package trembench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// loopback is a TCP connection of this process with itself, over which every
// message between two modules goes.
type loopback struct {
	near, far       net.Conn
	messages, bytes int // carried so far
}

func newLoopback(ctx context.Context) (*loopback, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	defer l.Close() //nolint:errcheck // it has served
	near, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	far, err := l.Accept()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("loopback: %w", err), near.Close())
	}
	return &loopback{near: near, far: far}, nil
}

// carry brings a message over. Messages are below what the kernel holds for a
// connection, so that writing does not wait for reading.
func (l *loopback) carry(message []byte) ([]byte, error) {
	l.messages, l.bytes = l.messages+1, l.bytes+len(message)
	if _, err := l.near.Write(message); err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	out := make([]byte, len(message))
	if _, err := io.ReadFull(l.far, out); err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	return out, nil
}

func (l *loopback) close() error { return errors.Join(l.near.Close(), l.far.Close()) }
