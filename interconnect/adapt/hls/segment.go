package hls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/lares-drm/lares/content/cenc"
)

// PlayerKey is the key that a player of whole segments gets: not the session's
// own, which encrypts samples in another mode. It follows from it, so that it is
// of this session alone: the first 16 bytes of SHA-256("lares hls" ‖ key).
func PlayerKey(session cenc.ContentKey) (cenc.ContentKey, error) {
	raw, err := session.Reveal()
	if err != nil {
		return cenc.ContentKey{}, err
	}
	defer clear(raw[:])
	sum := sha256.Sum256(append([]byte("lares hls"), raw[:]...))
	defer clear(sum[:])
	return cenc.NewContentKey(sum[:cenc.KeySize])
}

// Encrypt encrypts a whole segment with AES-128-CBC and PKCS #7 padding. The
// initialization vector is the media sequence number, which is what a playlist
// without one says. Source: RFC 8216, 5.2.
func Encrypt(key cenc.ContentKey, sequence uint64, segment []byte) ([]byte, error) {
	block, err := key.Block()
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(segment)%aes.BlockSize
	out := make([]byte, len(segment)+pad)
	copy(out, segment)
	for i := len(segment); i < len(out); i++ {
		out[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(block, vector(sequence)).CryptBlocks(out, out)
	return out, nil
}

var errSegment = errors.New("hls: a segment that does not decrypt")

// Decrypt reverses Encrypt, for tests of players and for who receives.
func Decrypt(key cenc.ContentKey, sequence uint64, data []byte) ([]byte, error) {
	block, err := key.Block()
	if err != nil {
		return nil, err
	}
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errSegment
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, vector(sequence)).CryptBlocks(out, data)
	pad := int(out[len(out)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, errSegment
	}
	for _, b := range out[len(out)-pad:] {
		if int(b) != pad {
			return nil, errSegment
		}
	}
	return out[:len(out)-pad], nil
}

func vector(sequence uint64) []byte {
	iv := make([]byte, aes.BlockSize)
	binary.BigEndian.PutUint64(iv[8:], sequence)
	return iv
}
