package tpm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"

	"github.com/lares-drm/lares/security/keystore"
)

// Lengths in bytes. Source: TPM 2.0 Library, part 1, 18 (header); part 2, 6.13
// (TPM2_PT_MAX_RESPONSE_SIZE is 4,096 on every TPM for PCs).
const (
	headerLen   = 10
	maxResponse = 4096
)

// maxRetries bounds how often a command is said again that the TPM did not
// begin, because it is busy or spares its memory. Source: local.
const maxRetries = 600

// Pauser is a stream to a TPM that knows how to wait before a command is said
// again. Its host has a clock, this package has none.
type Pauser interface{ Pause() }

// conn is the TPM behind a stream: a device that gives a response at one read,
// or a socket that may cut it anywhere. After a failure it is of no use, since
// nobody knows where in the stream the next response begins.
type conn struct {
	rw  io.ReadWriter
	err error
}

// Send gives the TPM one command and returns its response.
func (c *conn) Send(command []byte) ([]byte, error) {
	for range maxRetries {
		out, err := c.exchange(command)
		if err != nil || !again(out) {
			return out, err
		}
		if p, ok := c.rw.(Pauser); ok {
			p.Pause()
		}
	}
	return nil, fmt.Errorf("%w: it is busy", keystore.ErrGone)
}

// again reports whether a response asks for the command once more: the TPM is
// busy, tests itself, or limits how often its memory is written.
func again(response []byte) bool {
	switch tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])) {
	case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate:
		return true
	default:
		return false
	}
}

func (c *conn) exchange(command []byte) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	if _, err := c.rw.Write(command); err != nil {
		return nil, c.fail(err)
	}
	buf := make([]byte, maxResponse)
	for have := 0; ; {
		n, err := c.rw.Read(buf[have:])
		have += n
		if size, ok := responseLen(buf[:have]); ok {
			if size != have {
				return nil, c.fail(fmt.Errorf("a response of %d bytes that says %d", have, size))
			}
			return buf[:have], nil
		}
		if err == nil && n == 0 || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, c.fail(err)
		}
	}
}

// responseLen says how long a response is, once enough of it is there to be
// over: all of it, or more than a response may be.
func responseLen(b []byte) (size int, over bool) {
	if len(b) < headerLen {
		return 0, false
	}
	n := binary.BigEndian.Uint32(b[2:])
	if n < headerLen || n > maxResponse {
		return 0, true
	}
	return int(n), len(b) >= int(n)
}

func (c *conn) fail(err error) error {
	c.err = fmt.Errorf("%w: %w", keystore.ErrGone, err)
	return c.err
}
