package cpix

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the OAEP parameter that CPIX fixes; no collision matters there
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/content/cenc"
)

// ErrKey is returned for a wrapped key that does not open. It says no more.
var ErrKey = errors.New("cpix: a wrapped key does not open")

// Algorithms of key wrapping. Source: CPIX 2.4, mandatory algorithms.
const (
	aes256CBC  = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	rsaOAEP    = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	hmacSHA512 = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512"
)

const (
	documentKey = 32 // bytes: AES-256
	macKey      = 64 // bytes: HMAC-SHA-512
)

// Wrapped is a content key as it stands in a document: initialization vector and
// ciphertext under the document key, and the MAC over both.
type Wrapped struct {
	Cipher []byte
	MAC    []byte
}

// Delivery is what a document says for one recipient: the document key and the
// MAC key, each encrypted to the recipient's certificate. In a request that
// asks for keys both are absent.
type Delivery struct {
	Certificate []byte // DER
	DocumentKey []byte
	MACKey      []byte
}

// recipientKey checks a recipient's certificate. CPIX recommends 3072 bits and
// no SHA-1; SPEKE has 2048.
func recipientKey(cert *x509.Certificate) (*rsa.PublicKey, error) {
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || pub.N.BitLen() < minRSA || cert.SignatureAlgorithm == x509.SHA1WithRSA {
		return nil, fmt.Errorf("cpix: a recipient has an RSA certificate of at least %d bits, not signed with SHA-1", minRSA)
	}
	return pub, nil
}

// wrapper encrypts content keys under a fresh document key.
type wrapper struct {
	doc [documentKey]byte
	mac [macKey]byte
}

func newWrapper() *wrapper {
	w := new(wrapper)
	rand.Read(w.doc[:])
	rand.Read(w.mac[:])
	return w
}

func (w *wrapper) clear() { clear(w.doc[:]); clear(w.mac[:]) }

func (w *wrapper) deliver(to *x509.Certificate) (Delivery, error) {
	pub, err := recipientKey(to)
	if err != nil {
		return Delivery{}, err
	}
	d := Delivery{Certificate: to.Raw}
	if d.DocumentKey, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, pub, w.doc[:], nil); err != nil { //nolint:gosec // as the import says
		return Delivery{}, fmt.Errorf("cpix: wrap for a recipient: %w", err)
	}
	if d.MACKey, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, pub, w.mac[:], nil); err != nil { //nolint:gosec // as the import says
		return Delivery{}, fmt.Errorf("cpix: wrap for a recipient: %w", err)
	}
	return d, nil
}

func (w *wrapper) wrap(key cenc.ContentKey) (*Wrapped, error) {
	raw, err := key.Reveal()
	if err != nil {
		return nil, err
	}
	defer clear(raw[:])
	block, err := aes.NewCipher(w.doc[:])
	if err != nil {
		return nil, err
	}
	out := make([]byte, aes.BlockSize+2*aes.BlockSize)
	rand.Read(out[:aes.BlockSize])
	plain := append(append(make([]byte, 0, 2*aes.BlockSize), raw[:]...), padding()...)
	defer clear(plain)
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], plain)
	m := hmac.New(sha512.New, w.mac[:])
	m.Write(out)
	return &Wrapped{Cipher: out, MAC: m.Sum(nil)}, nil
}

// padding is the PKCS #7 padding behind a key of one block: a whole block.
func padding() []byte {
	p := make([]byte, aes.BlockSize)
	for i := range p {
		p[i] = aes.BlockSize
	}
	return p
}

// unwrapper opens content keys for a recipient.
type unwrapper struct {
	doc, mac []byte
}

// newUnwrapper decrypts the two keys of a delivery.
func newUnwrapper(d *Delivery, key crypto.Decrypter) (*unwrapper, error) {
	oaep := &rsa.OAEPOptions{Hash: crypto.SHA1}
	doc, err1 := key.Decrypt(rand.Reader, d.DocumentKey, oaep)
	mac, err2 := key.Decrypt(rand.Reader, d.MACKey, oaep)
	u := &unwrapper{doc, mac}
	if err1 != nil || err2 != nil || len(doc) != documentKey || len(mac) < 32 || len(mac) > 128 {
		u.clear()
		return nil, ErrKey
	}
	return u, nil
}

func (u *unwrapper) clear() { clear(u.doc); clear(u.mac) }

// open checks the MAC before it decrypts, as CPIX asks.
func (u *unwrapper) open(w *Wrapped) (cenc.ContentKey, error) {
	m := hmac.New(sha512.New, u.mac)
	m.Write(w.Cipher)
	if !hmac.Equal(m.Sum(nil), w.MAC) || len(w.Cipher) != 3*aes.BlockSize {
		return cenc.ContentKey{}, ErrKey
	}
	block, err := aes.NewCipher(u.doc)
	if err != nil {
		return cenc.ContentKey{}, ErrKey
	}
	plain := make([]byte, 2*aes.BlockSize)
	defer clear(plain)
	cipher.NewCBCDecrypter(block, w.Cipher[:aes.BlockSize]).CryptBlocks(plain, w.Cipher[aes.BlockSize:])
	if !hmac.Equal(plain[aes.BlockSize:], padding()) {
		return cenc.ContentKey{}, ErrKey
	}
	return cenc.NewContentKey(plain[:aes.BlockSize])
}
