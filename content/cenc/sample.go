package cenc

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// IV is an initialization vector. One of 8 bytes is padded with zeros on the
// right, where the block counter counts.
type IV [BlockSize]byte

// NewIV takes 8 or 16 bytes.
func NewIV(b []byte) (IV, error) {
	var iv IV
	if len(b) != 8 && len(b) != BlockSize {
		return iv, fmt.Errorf("%w: %d bytes", ErrIV, len(b))
	}
	copy(iv[:], b)
	return iv, nil
}

// Subsample is a clear range followed by a protected one, both in bytes.
type Subsample struct{ Clear, Protected uint32 }

// Sample is one protected sample: its bytes and how they are protected.
type Sample struct {
	Scheme      Scheme
	IV          IV
	Crypt, Skip uint8       // pattern in blocks, 0:0 for none; cens and cbcs only
	Subsamples  []Subsample // none: the whole sample is protected
	Data        []byte      // worked on in place
}

// Check reports whether the sample can be worked on: a known scheme, a pattern
// it allows, and subsamples that cover the data exactly.
func (s *Sample) Check() error { return s.CheckSize(len(s.Data)) }

// CheckSize is Check for a sample whose data is not at hand yet: n bytes.
func (s *Sample) CheckSize(n int) error {
	if !s.Scheme.Known() {
		return ErrScheme
	}
	if s.Crypt > 15 || s.Skip > 15 || (s.Crypt|s.Skip) != 0 && !s.Scheme.pattern() || s.Crypt == 0 && s.Skip != 0 {
		return ErrPattern
	}
	if len(s.Subsamples) == 0 {
		return nil
	}
	var sum uint64
	for _, sub := range s.Subsamples {
		sum += uint64(sub.Clear) + uint64(sub.Protected)
		if s.Scheme == SchemeCBC1 && sub.Protected%BlockSize != 0 {
			return fmt.Errorf("%w: cbc1 range of %d bytes", ErrSample, sub.Protected)
		}
	}
	if sum != uint64(n) { //nolint:gosec // a length
		return fmt.Errorf("%w: %d of %d bytes", ErrSample, sum, n)
	}
	return nil
}

// Cipher works on samples under one key. It keeps buffers between samples and
// is not safe for concurrent use.
type Cipher struct {
	block    cipher.Block
	ctr      keyStream
	dec, enc cipher.BlockMode
	buf      []byte // blocks of a pattern, gathered for one call
}

// NewCipher returns the cipher of a key.
func NewCipher(k ContentKey) (*Cipher, error) {
	b, err := k.Block()
	if err != nil {
		return nil, err
	}
	return &Cipher{block: b, ctr: newKeyStream(k.b.b, b), dec: newCBCDecrypter(k.b.b, b)}, nil
}

// Close overwrites what the cipher has derived from its key. It is of no use
// after that.
func (c *Cipher) Close() {
	for _, v := range []any{c.block, c.dec, c.enc} {
		wipe(v)
	}
	if c.ctr != nil {
		c.ctr.close()
	}
	*c = Cipher{}
}

// Decrypt turns the protected bytes of s into clear ones, in place.
func (c *Cipher) Decrypt(s *Sample) error { return c.crypt(s, false) }

// Encrypt turns the clear bytes of s into protected ones, in place. The caller
// never uses an IV twice under one key, except the constant IV of cbcs.
func (c *Cipher) Encrypt(s *Sample) error { return c.crypt(s, true) }

func (c *Cipher) crypt(s *Sample, encrypt bool) error {
	if err := s.Check(); err != nil {
		return err
	}
	if s.Scheme.ctr() {
		st := c.ctr
		st.reset(s.IV)
		defer st.done()
		s.ranges(func(b []byte) {
			if s.Skip == 0 {
				if s.Scheme == SchemeCENS { // whole blocks, as shaka-packager does
					b = b[:len(b)/BlockSize*BlockSize]
				}
				st.xor(b)
				return
			}
			s.blocks(b, st.xor)
		})
		return nil
	}
	mode := c.cbc(s.IV, encrypt)
	s.ranges(func(b []byte) {
		if s.Scheme == SchemeCBCS { // the IV begins anew in each subsample
			mode = c.cbc(s.IV, encrypt)
		}
		if s.Skip == 0 {
			b = b[:len(b)/BlockSize*BlockSize]
			mode.CryptBlocks(b, b)
			return
		}
		c.gather(s, b, mode)
	})
	return nil
}

// ranges calls f with each protected range in turn.
func (s *Sample) ranges(f func([]byte)) {
	if len(s.Subsamples) == 0 {
		f(s.Data)
		return
	}
	rest := s.Data
	for _, sub := range s.Subsamples {
		rest = rest[sub.Clear:]
		if sub.Protected > 0 {
			f(rest[:sub.Protected:sub.Protected])
		}
		rest = rest[sub.Protected:]
	}
}

// blocks calls f with each group of Crypt blocks of a range. A last group that
// is not whole stays in the clear.
func (s *Sample) blocks(b []byte, f func([]byte)) {
	n, gap := int(s.Crypt)*BlockSize, int(s.Skip)*BlockSize
	for len(b) >= n {
		f(b[:n:n])
		b = b[min(n+gap, len(b)):]
	}
}

// gather runs a pattern's blocks through one call: CBC decryption is several
// times faster on one long slice than on many short ones.
func (c *Cipher) gather(s *Sample, b []byte, mode cipher.BlockMode) {
	c.buf = c.buf[:0]
	s.blocks(b, func(p []byte) { c.buf = append(c.buf, p...) })
	mode.CryptBlocks(c.buf, c.buf)
	from := c.buf
	s.blocks(b, func(p []byte) { from = from[copy(p, from):] })
	clear(c.buf)
}

// cbc returns the mode with its IV set. That of encryption is made when it is
// first needed.
func (c *Cipher) cbc(iv IV, encrypt bool) cipher.BlockMode {
	mode, make := &c.dec, cipher.NewCBCDecrypter
	if encrypt {
		mode, make = &c.enc, cipher.NewCBCEncrypter
	}
	if m, ok := (*mode).(interface{ SetIV([]byte) }); ok {
		m.SetIV(iv[:])
		return *mode
	}
	*mode = make(c.block, iv[:])
	return *mode
}

// keyStream is the key stream of one sample after another. The low 64 bits of the
// counter block wrap alone: nothing is carried into the IV's first 8 bytes, where
// cipher.NewCTR would carry over all 128.
type keyStream interface {
	reset(IV)
	xor([]byte)
	done()  // overwrites what is left of a sample
	close() // overwrites what comes from the key
}

// counter is the keyStream of the standard library's ciphers: it makes a new one
// for each sample, and where the low half wraps.
type counter struct {
	block  cipher.Block
	iv     IV
	stream cipher.Stream
	left   uint64 // bytes of stream until the low half wraps; 0 with low == 0: 2^64 blocks, never reached
}

func (st *counter) reset(iv IV) {
	*st = counter{block: st.block, iv: iv, stream: cipher.NewCTR(st.block, iv[:]), left: ^uint64(0)}
	if blocks := -binary.BigEndian.Uint64(iv[8:]); blocks != 0 && blocks < 1<<59 {
		st.left = blocks * BlockSize
	}
}

func (st *counter) xor(b []byte) {
	if uint64(len(b)) > st.left {
		head := b[:st.left]
		st.stream.XORKeyStream(head, head)
		b = b[st.left:]
		clear(st.iv[8:])
		st.close()
		st.reset(st.iv)
	}
	st.stream.XORKeyStream(b, b)
	st.left -= uint64(len(b))
}

func (st *counter) done()  { st.close() }
func (st *counter) close() { wipe(st.stream) }
