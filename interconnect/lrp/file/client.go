package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// Client leaves frames in a folder and takes what answers them.
type Client struct {
	Dir string // the folder; it must be there, or Leave is lrp.ErrLost: the stick is out
	// Who signs each file that is left, since nobody answers at once; nil: nobody does.
	Who *lrp.Introduction
	// Every is how often Exchange looks for an answer; default 500 ms.
	Every time.Duration
}

// Leave writes a frame for its destination. It is durable when Leave returns nil.
// To leave it again is no second frame.
func (c *Client) Leave(ctx context.Context, f lrp.Frame) error {
	data, err := f.Encode()
	if err != nil {
		return err
	}
	if c.Who != nil {
		signed, err := c.Who.Hello.Sign(sha256.Sum256(data), c.Who.Relay, func(l lrp.LinkID, relay lrp.Addr, hello [32]byte) (lrp.Proof, error) {
			return c.Who.Sign(ctx, l, relay, hello)
		})
		if err != nil {
			return err
		}
		hello := f
		hello.Type, hello.Body = lrp.TypeHello, signed
		first, err := hello.Encode()
		if err != nil {
			return err
		}
		data = append(first, data...)
	}
	d, err := openFolder(c.Dir)
	if err != nil {
		return err
	}
	defer d.root.Close() //nolint:errcheck // nothing is held back
	return d.write(name(f.Dst, f.Src, f.Tx, f.Seq, asked), data)
}

// Answers takes the frames that answer f, if they are there. They stay in the folder
// until Done.
func (c *Client) Answers(f lrp.Frame) (out []lrp.Frame, there bool, err error) {
	d, err := openFolder(c.Dir)
	if err != nil {
		return nil, false, err
	}
	defer d.root.Close() //nolint:errcheck // nothing is held back
	data, err := d.read(name(f.Src, f.Dst, f.Tx, f.Seq, answered), maxAns)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err == nil {
		out, err = lrp.ParseSequence(data, lrp.MaxFrames)
	}
	if errors.Is(err, lrp.ErrFrame) { // damaged: it is made again from the same question
		_ = d.root.Remove(name(f.Src, f.Dst, f.Tx, f.Seq, answered))
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	return out, true, nil
}

// Done removes a frame and its answer.
func (c *Client) Done(f lrp.Frame) error {
	d, err := openFolder(c.Dir)
	if err != nil {
		return err
	}
	defer d.root.Close() //nolint:errcheck // nothing is held back
	for _, at := range []string{name(f.Src, f.Dst, f.Tx, f.Seq, answered), name(f.Dst, f.Src, f.Tx, f.Seq, asked)} {
		if e := d.root.Remove(at); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("%w: %w", lrp.ErrLost, e))
		}
	}
	return err
}

// Exchange leaves a frame and waits for its answer until ctx ends. Then the frame
// stays, and another Exchange of it takes the answer that has come meanwhile.
func (c *Client) Exchange(ctx context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	every := c.Every
	if every <= 0 {
		every = 500 * time.Millisecond
	}
	left := false
	for {
		out, there, err := c.Answers(f)
		if there {
			return out, c.Done(f)
		}
		if err == nil && !left {
			err = c.Leave(ctx, f)
			left = err == nil
		}
		if err != nil && !errors.Is(err, lrp.ErrLost) { // a stick that is out comes back
			return nil, err
		}
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("%w: %w", lrp.ErrLost, ctx.Err())
		case <-t.C:
		}
	}
}

// Mail reads the frames that waited in the mailbox of self, with numbers above
// after, in order, and removes those that are not.
func (c *Client) Mail(self lrp.Addr, after uint64) (out []lrp.Kept, err error) {
	d, err := openFolder(c.Dir)
	if err != nil {
		return nil, err
	}
	defer d.root.Close() //nolint:errcheck // nothing is held back
	for _, at := range d.list(self, mail) {
		data, err := d.read(at, maxAsk)
		if err != nil {
			continue
		}
		k, err := lrp.ParseKept(data)
		switch {
		case err != nil || k.Frame.Dst != self || at != numbered(self, k.Number): // foreign or damaged
		case k.Number <= after:
			_ = d.root.Remove(at)
		default:
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b lrp.Kept) int {
		if a.Number < b.Number {
			return -1
		}
		return 1
	})
	return out, nil
}

// Prepare makes the folder of an address, so that mail for it is put there.
func (c *Client) Prepare(self lrp.Addr) error {
	d, err := openFolder(c.Dir)
	if err != nil {
		return err
	}
	defer d.root.Close() //nolint:errcheck // nothing is held back
	if err := d.root.Mkdir(self.String(), os.ModePerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	return d.sync(self.String())
}
