package trem

import (
	"errors"
	"fmt"
	"io"
)

// turn is a caller that waits for its reply.
type turn struct {
	wake  chan struct{} // holds one: the reply is there, or the caller leads
	there bool          // the reply is
	reply Message
}

// maxFlying is how many commands are on their way before further ones wait to be
// written together: as many as the module answers at once. Source: local,
// `lares bench issuer`.
const maxFlying = 8

// maxWaiting bounds the memory for commands that is kept, in bytes. Source: local.
const maxWaiting = 64 << 10

// exchange writes a message to out and reads the answer from in, which both are
// the stream. alone waits until nothing else is on its way: a file that goes with
// a message must not be read with another one.
func (c *Client) exchange(m Message, alone bool, out io.Writer, in io.Reader) (Message, error) {
	t, err := c.begin(m, alone, out)
	if t == nil {
		return Message{}, err
	}
	<-t.wake
	if t.there {
		return t.reply, nil
	}
	if err := c.broken(nil); err != nil {
		c.pass(1)
		return Message{}, err
	}
	if m, err = ReadMessage(in); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: the module has exited", ErrStream)
		}
		err = c.broken(err)
		c.pass(1)
		return Message{}, err
	}
	c.pass(1 + c.others())
	c.flush()
	return m, nil
}

// others gives the callers behind the one that leads the replies that came with its
// own, and says how many they are.
func (c *Client) others() (n int) {
	for whole(c.in) {
		m, err := ReadMessage(c.in)
		if err != nil {
			return n // it stays, since nothing was waited for: who leads next has it
		}
		c.mu.Lock()
		if n++; n >= len(c.queue) {
			c.mu.Unlock()
			_ = c.broken(fmt.Errorf("%w: a reply to nothing", ErrStream))
			return n - 1
		}
		t := c.queue[n]
		c.mu.Unlock()
		t.reply, t.there = m, true
		t.wake <- struct{}{}
	}
	return n
}

// pass ends the first n turns, and lets the next one lead.
func (c *Client) pass(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying -= n
	rest := copy(c.queue, c.queue[n:])
	clear(c.queue[rest:])
	c.queue = c.queue[:rest]
	if rest > 0 {
		c.queue[0].wake <- struct{}{}
		return
	}
	c.empty.Broadcast()
}

// begin takes a turn for a message and writes it, or leaves it to be written with
// others. There is no turn when the message cannot be sent.
func (c *Client) begin(m Message, alone bool, out io.Writer) (*turn, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if alone {
		if err := c.write(nil, c.conn); err != nil {
			return nil, err
		}
		c.mu.Lock()
		for len(c.queue) > 0 {
			c.empty.Wait()
		}
		c.mu.Unlock()
	}
	b, err := AppendHead(c.waiting, m)
	if err == nil {
		err = c.broken(nil)
	}
	if err != nil {
		return nil, err
	}
	c.waiting = b
	c.held++
	t := &turn{wake: make(chan struct{}, 1)}
	c.mu.Lock()
	if c.queue = append(c.queue, t); len(c.queue) == 1 {
		t.wake <- struct{}{}
	}
	flying := c.flying
	c.mu.Unlock()
	if alone || len(m.Payload) > 0 || flying < maxFlying {
		_ = c.write(m.Payload, out) // who leads finds the stream broken
	}
	return t, nil
}

// flush writes the commands that wait, if not too many are on their way.
func (c *Client) flush() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	flying := c.flying
	c.mu.Unlock()
	if flying < maxFlying {
		_ = c.write(nil, c.conn) // who leads finds the stream broken
	}
}

// write writes the commands that wait, and the payload of the last one.
func (c *Client) write(payload []byte, out io.Writer) error {
	if c.held == 0 {
		return c.broken(nil)
	}
	c.mu.Lock()
	c.flying += c.held
	c.mu.Unlock()
	_, err := out.Write(c.waiting)
	if err == nil && len(payload) > 0 {
		_, err = out.Write(payload)
	}
	clear(c.waiting)
	if c.waiting, c.held = c.waiting[:0], 0; cap(c.waiting) > maxWaiting {
		c.waiting = nil
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrStream, err)
	}
	return c.broken(err)
}

// broken notes what broke the stream, and returns it from then on.
func (c *Client) broken(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	return c.err
}
