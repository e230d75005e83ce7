package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// AlgA128GCM is AES-GCM with a 128-bit key and tag (IANA COSE Algorithms registry).
const AlgA128GCM = 1

// A128GCM returns AES-128-GCM under a key, for SealEncrypt0 and UnsealEncrypt0.
func A128GCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	return gcm, nil
}

// SealEncrypt0 seals plain under a caller's protected header (encoded), nonce
// and external_aad: an untagged COSE_Encrypt0 (RFC 9052 section 5.2).
func SealEncrypt0(aead cipher.AEAD, nonce, protected, aad, plain []byte) ([]byte, error) {
	if err := checkNonce(aead, nonce); err != nil {
		return nil, err
	}
	n := len(plain) + aead.Overhead()
	out := AppendArray(make([]byte, 0, 2+2*headLen+len(protected)+n), 3)
	out = append(AppendBytes(out, protected), emptyMap)
	out = appendHead(out, majorBytes, uint64(n)) //nolint:gosec // a length
	return aead.Seal(out, nonce, plain, encStructure(protected, aad)), nil
}

// emptyMap is the encoding of an unprotected header with nothing in it.
const emptyMap = 0xa0

// ParseEncrypt0 splits a COSE_Encrypt0 with an empty unprotected header. Both
// parts are parts of data.
func ParseEncrypt0(data []byte, lim Limit) (protected, ciphertext []byte, err error) {
	r, err := ItemsOf(data, 3, 3, lim)
	if err != nil {
		return nil, nil, err
	}
	protected = r.Bytes()
	unprotected := r.Raw()
	ciphertext = r.Bytes()
	if r.Err() != nil || len(unprotected) != 1 || unprotected[0] != emptyMap || len(ciphertext) < 16 {
		return nil, nil, fmt.Errorf("%w: COSE_Encrypt0", ErrShape)
	}
	return protected, ciphertext, nil
}

// OpenEncrypt0 is UnsealEncrypt0 with AES-128-GCM under a key.
func OpenEncrypt0(key, nonce, protected, aad, ciphertext []byte) ([]byte, error) {
	gcm, err := A128GCM(key)
	if err != nil {
		return nil, err
	}
	return UnsealEncrypt0(gcm, nonce, protected, aad, ciphertext)
}

// UnsealEncrypt0 opens what SealEncrypt0 sealed. What does not open is ErrSignature.
func UnsealEncrypt0(aead cipher.AEAD, nonce, protected, aad, ciphertext []byte) ([]byte, error) {
	if err := checkNonce(aead, nonce); err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nonce, ciphertext, encStructure(protected, aad))
	if err != nil {
		return nil, ErrSignature
	}
	return plain, nil
}

func checkNonce(aead cipher.AEAD, nonce []byte) error {
	if len(nonce) != aead.NonceSize() {
		return fmt.Errorf("%w: nonce of %d bytes", ErrShape, len(nonce))
	}
	return nil
}

// encStructure is the Enc_structure of a COSE_Encrypt0 (RFC 9052 section 5.3).
func encStructure(protected, aad []byte) []byte {
	const context = "Encrypt0"
	b := AppendArray(make([]byte, 0, 1+3*headLen+len(context)+len(protected)+len(aad)), 3)
	return AppendBytes(AppendBytes(AppendText(b, context), protected), aad)
}
