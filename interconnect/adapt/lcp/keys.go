package lcp

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// KeySize is the length of LCP's keys in bytes: AES-256. Source: LCP 1.0.3, 6.3.
const KeySize = 32

// ErrKey is returned for a passphrase that is not the license's, and for
// resources that do not decrypt.
var ErrKey = errors.New("lcp: the key does not fit")

// Key is a user key or a publication's content key. It prints redacted.
type Key struct {
	_ [0]func()
	b *[KeySize]byte
}

// NewKey copies 32 bytes.
func NewKey(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, ErrKey
	}
	k := [KeySize]byte(b)
	return Key{b: &k}, nil
}

// GenerateKey returns a random key, for a publication that is packed.
func GenerateKey() Key {
	k := new([KeySize]byte)
	rand.Read(k[:])
	return Key{b: k}
}

// UserKey is the key of a passphrase. Source: LCP 1.0.3, 4.2.
func UserKey(passphrase string) Key {
	k := sha256.Sum256([]byte(passphrase))
	return Key{b: &k}
}

// Format prints the same words whatever the key.
func (Key) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[LCP key]") }

// MarshalText refuses.
func (Key) MarshalText() ([]byte, error) { return nil, errors.New("lcp: a key is not marshaled") }

// Equal compares in constant time. No key equals the zero Key.
func (k Key) Equal(o Key) bool {
	return k.b != nil && o.b != nil && subtle.ConstantTimeCompare(k.b[:], o.b[:]) == 1
}

// Clear overwrites the key.
func (k Key) Clear() {
	if k.b != nil {
		clear(k.b[:])
	}
}

// Encrypt encrypts a resource or a value: AES-256-CBC with a random
// initialization vector before the ciphertext and padding behind. Source: LCP
// 1.0.3, 6.3; XML Encryption.
func (k Key) Encrypt(plain []byte) ([]byte, error) {
	block, err := k.block()
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	out := make([]byte, aes.BlockSize, aes.BlockSize+len(plain)+pad)
	rand.Read(out)
	out = append(out, plain...)
	for range pad {
		out = append(out, byte(pad))
	}
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], out[aes.BlockSize:])
	return out, nil
}

// Decrypt reverses Encrypt. CBC authenticates nothing: LCP trusts the signature
// of the license and, where it has one, the hash of the publication.
func (k Key) Decrypt(data []byte) ([]byte, error) {
	block, err := k.block()
	if err != nil {
		return nil, err
	}
	if len(data) < 2*aes.BlockSize || len(data)%aes.BlockSize != 0 {
		return nil, ErrKey
	}
	plain := make([]byte, len(data)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, data[:aes.BlockSize]).CryptBlocks(plain, data[aes.BlockSize:])
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize { // of the padding bytes XML Encryption fixes the last only
		return nil, ErrKey
	}
	return plain[:len(plain)-pad], nil
}

func (k Key) block() (cipher.Block, error) {
	if k.b == nil {
		return nil, ErrKey
	}
	return aes.NewCipher(k.b[:])
}

// Open gives the content key to who knows the user key.
func (l *License) Open(user Key) (Key, error) {
	id, err := user.Decrypt(l.Encryption.UserKey.KeyCheck)
	if err != nil || subtle.ConstantTimeCompare(id, []byte(l.ID)) != 1 {
		return Key{}, ErrKey
	}
	raw, err := user.Decrypt(l.Encryption.ContentKey.EncryptedValue)
	defer clear(raw)
	if err != nil {
		return Key{}, ErrKey
	}
	return NewKey(raw)
}

// Issue says what a draft needs to become a license document.
type Issue struct {
	Content  Key           // of the publication
	User     Key           // of the reader's passphrase
	Hint     string        // words that remind of it
	Links    []Link        // at least of rel "hint" and "publication"
	Provider string        // URI of who issues; required
	Signer   crypto.Signer // RSA, of the provider's certificate
	Chain    *x509.Certificate
}

// Issue completes and signs a draft, the body of an artifact of Export. The
// caller holds the publication's key: no key of Lares goes in here.
func (d *Draft) Issue(in Issue) ([]byte, error) {
	l := License{ID: d.ID, Issued: d.Issued, Provider: in.Provider, Links: in.Links, Rights: &d.Rights}
	if in.Chain == nil || in.Signer == nil {
		return nil, errors.New("lcp: a provider has a key and its certificate")
	}
	if pub, ok := in.Chain.PublicKey.(*rsa.PublicKey); !ok || !pub.Equal(in.Signer.Public()) {
		return nil, errors.New("lcp: a provider has an RSA key and its certificate")
	}
	check, err := in.User.Encrypt([]byte(d.ID))
	if err != nil {
		return nil, err
	}
	if in.Content.b == nil {
		return nil, ErrKey
	}
	wrapped, err := in.User.Encrypt(in.Content.b[:])
	if err != nil {
		return nil, err
	}
	l.Encryption = &Encryption{
		Profile: BasicProfile, ContentKey: ContentKey{EncryptedValue: wrapped, Algorithm: aes256CBC},
		UserKey: UserKeyRef{Algorithm: sha256Hash, KeyCheck: check, TextHint: in.Hint},
	}
	unsigned, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("lcp: write: %w", err)
	}
	form, err := Canonical(unsigned)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(form)
	sig, err := in.Signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("lcp: sign: %w", err)
	}
	l.Signature = &Signature{Algorithm: rsaSHA256, Certificate: in.Chain.Raw, Value: sig}
	out, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("lcp: write: %w", err)
	}
	_, err = Parse(out) // what a reader would refuse is not given out
	return out, err
}
