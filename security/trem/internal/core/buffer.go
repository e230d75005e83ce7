package core

import (
	"fmt"

	"github.com/lares-drm/lares/security/trem"

	box "github.com/lares-drm/lares/content"
)

// buffer is memory that the host has in common with this module, and as much of
// the module's own. The host may write to the one at any time: nothing in it is
// read twice, and nothing is put into it that the host may not have.
type buffer struct {
	shared []byte
	own    []byte
}

// makeBuffer makes the buffer of this stream.
func (c *Core) makeBuffer(in trem.BufferOrder) (trem.Buffer, error) {
	switch {
	case in.Bytes == 0 || in.Bytes > trem.MaxPayload:
		return trem.Buffer{}, malformed(fmt.Errorf("a buffer of %d bytes; 1 to %d are possible", in.Bytes, trem.MaxPayload))
	case c.cfg.Share == nil:
		return trem.Buffer{}, stateError("this module shares no memory on this stream")
	case c.buffer.shared != nil:
		return trem.Buffer{}, stateError("the buffer of this stream was given out before")
	}
	shared, own, err := c.cfg.Share(int(in.Bytes))
	if err != nil {
		return trem.Buffer{}, stateError("no memory to share: " + err.Error())
	}
	c.buffer = buffer{shared, own}
	return trem.Buffer{Bytes: uint64(len(shared))}, nil
}

// decryptBuffer is decrypt for a segment in the buffer. What goes to an internal
// output is decrypted where it lies. For a link it is not: between decryption and
// the new encryption it is clear, and that is not for the host.
func (c *Core) decryptBuffer(in trem.Part, s *session, r Reading) error {
	size := uint64(len(c.buffer.shared))
	if in.Bytes == 0 || in.At > size || in.Bytes > size-in.At {
		return malformed(fmt.Errorf("a segment of %d bytes at %d in a buffer of %d", in.Bytes, in.At, size))
	}
	seg, own := c.buffer.shared[in.At:][:in.Bytes], c.buffer.own[:in.Bytes]
	if s.link == nil {
		if f, err := s.tracks[in.Track].FragmentShared(seg, own); err == nil {
			return c.unlock(s, f, r)
		}
	}
	copy(own, seg)
	if err := c.decryptOwn(in, s, own, r); err != nil {
		return err
	}
	copy(seg, own)
	return nil
}

// decryptOwn decrypts a segment that only this module has.
func (c *Core) decryptOwn(in trem.Part, s *session, segment []byte, r Reading) error {
	f, err := s.tracks[in.Track].Fragment(segment)
	if err != nil {
		return rejected(fmt.Errorf("segment: %w", err))
	}
	return c.unlock(s, f, r)
}

// unlock pays for a fragment, and then decrypts it or encrypts it for the link.
func (c *Core) unlock(s *session, f *box.Fragment, r Reading) error {
	if err := c.pay(s, f, r); err != nil {
		return err
	}
	var err error
	if s.link != nil {
		err = f.Reencrypt(s.title, s.session)
	} else {
		err = f.Decrypt(s.title)
	}
	if err != nil {
		return rejected(fmt.Errorf("segment: %w", err))
	}
	return nil
}
