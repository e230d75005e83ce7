package unix

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// Client sends frames to the socket at Path over one connection, which it makes
// when it is needed and again when it broke. It is safe for concurrent use;
// exchanges are done one after another.
type Client struct {
	Path string
	Who  *lrp.Introduction // proves itself on each new connection; nil: nobody
	Now  func() time.Time  // required with Who

	mu   sync.Mutex
	conn net.Conn // guarded by mu; nil: none
}

// Exchange sends one frame and returns the frames that answer it.
func (c *Client) Exchange(ctx context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	answers, err := c.carry(ctx, lrp.LinkID{}, f)
	if c.Who == nil || err != nil || !lrp.Unproven(f, answers) {
		return answers, err
	}
	_ = c.drop() // the proof has lapsed: a new connection proves anew
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	return c.carry(ctx, lrp.LinkID{}, f)
}

// Poll asks for what waits for Who with numbers above after, and waits a while for
// a first frame. Other exchanges wait as long: use a client of its own for it.
func (c *Client) Poll(ctx context.Context, after uint64) ([]lrp.Kept, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	items, err := c.ask(ctx, binary.BigEndian.AppendUint64([]byte{askWait}, after))
	if err != nil {
		return nil, err
	}
	var out []lrp.Kept
	for _, it := range items {
		k, err := lrp.ParseKept(it)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

// Close ends the connection.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drop()
}

func (c *Client) drop() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}

// connect makes a connection where there is none; the caller holds mu.
func (c *Client) connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Path)
	if err != nil {
		return fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	c.conn = conn
	if c.Who == nil {
		return nil
	}
	if _, _, err := lrp.Introduce(ctx, *c.Who, c.Now(), c.carry); err != nil {
		_ = c.drop()
		return err
	}
	return nil
}

// carry sends one frame; the link is the connection. The caller holds mu.
func (c *Client) carry(ctx context.Context, _ lrp.LinkID, f lrp.Frame) ([]lrp.Frame, error) {
	b, err := f.Encode()
	if err != nil {
		return nil, err
	}
	head := binary.BigEndian.AppendUint32([]byte{askFrame}, uint32(len(b))) //nolint:gosec // at most MaxFrame
	items, err := c.ask(ctx, append(head, b...))
	if err != nil {
		return nil, err
	}
	var out []lrp.Frame
	for _, it := range items {
		a, err := lrp.Parse(it)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// ask sends a request and reads the answer. A connection that failed, or whose
// answer nobody waited for, is not used again.
func (c *Client) ask(ctx context.Context, request []byte) (items [][]byte, err error) {
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	deadline := time.Now().Add(Timeout + PollWait) //nolint:forbidigo // a socket deadline, not a decision
	err = conn.SetDeadline(deadline)
	if err == nil {
		_, err = conn.Write(request)
	}
	if err == nil {
		items, err = readItems(conn)
	}
	if err != nil {
		_ = c.drop()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, lostOr(err)
	}
	return items, nil
}
