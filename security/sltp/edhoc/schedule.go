package edhoc

import (
	"crypto"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
)

// hashLen is the output length in bytes of every suite's hash, SHA-256; with
// signature keys it is the MAC length too (RFC 9528 section 4.1.2).
const hashLen = sha256.Size

// Labels of EDHOC_KDF (RFC 9528 section 4.1.2).
const (
	kdfKeystream2  = 0
	kdfMAC2        = 2
	kdfK3          = 3
	kdfIV3         = 4
	kdfMAC3        = 6
	kdfPRKOut      = 7
	kdfK4          = 8
	kdfIV4         = 9
	kdfPRKExporter = 10
)

// secret is a pseudorandom key. It prints redacted.
type secret struct {
	_ [0]func()
	b *[hashLen]byte
}

// Format prints nothing of the key.
func (secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[secret]") }

func newSecret(b []byte) secret { return secret{b: (*[hashLen]byte)(b)} }

func (s secret) wipe() {
	if s.b != nil {
		clear(s.b[:])
	}
}

// schedule is the key schedule and transcript of one exchange. In method 0
// PRK_2e, PRK_3e2m and PRK_4e3m are one key.
type schedule struct {
	p   params
	th  [hashLen]byte // TH_2, then TH_3, then TH_4
	prk secret
	exp secret // PRK_exporter, from TH_4 on
}

// Format prints no key.
func (schedule) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[key schedule]") }

// start begins the schedule with both shares and message_1 as it was sent.
func start(p params, msg1, gy, gxy []byte) (schedule, error) {
	h := sha256.Sum256(msg1)
	s := schedule{p: p, th: sha256.Sum256(slices.Concat(encode(gy), encode(h[:])))}
	prk, err := hkdf.Extract(sha256.New, gxy, s.th[:])
	if err != nil {
		return schedule{}, fmt.Errorf("edhoc: PRK_2e: %w", err)
	}
	s.prk = newSecret(prk)
	return s, nil
}

// kdf is EDHOC_KDF (RFC 9528 section 4.1.2).
func kdf(prk secret, label uint64, context []byte, n int) ([]byte, error) {
	if n < 0 || n > 255*hashLen {
		return nil, fmt.Errorf("%w: output of EDHOC_KDF", ErrTooLong)
	}
	info := slices.Concat(encode(label), bstr(context), encode(n))
	return hkdf.Expand(sha256.New, prk.b[:], string(info), n)
}

// mac is MAC_2 or MAC_3; head is what the context has before ID_CRED, that is,
// C_R or nothing.
func (s *schedule) mac(label uint64, head, header, cred, ead []byte) ([]byte, error) {
	return kdf(s.prk, label, slices.Concat(head, header, encode(s.th[:]), cred, ead), hashLen)
}

// toBeSigned is the Sig_structure of Signature_2 or Signature_3.
func (s *schedule) toBeSigned(header, cred, ead, mac []byte) ([]byte, error) {
	return wire.SigStructure(header, slices.Concat(encode(s.th[:]), cred, ead), mac)
}

func (s *schedule) sign(id Identity, label uint64, head, ead []byte) ([]byte, error) {
	if id.Signer == nil || !s.p.fits(id.Signer.Public()) {
		return nil, fmt.Errorf("edhoc: signing key does not fit the suite")
	}
	header, err := id.ID.header()
	if err != nil {
		return nil, err
	}
	mac, err := s.mac(label, head, header, id.Cred, ead)
	if err != nil {
		return nil, err
	}
	tbs, err := s.toBeSigned(header, id.Cred, ead, mac)
	if err != nil {
		return nil, err
	}
	return wire.SignRaw(id.Signer, tbs)
}

func (s *schedule) verify(p plaintext, label uint64, head, cred []byte, pub crypto.PublicKey) error {
	if !s.p.fits(pub) {
		return fmt.Errorf("%w: kind of the authentication key", ErrRejected)
	}
	if err := wire.Check(cred, wire.Limit{Bytes: MaxMessage}); err != nil {
		return fmt.Errorf("%w: credential is no CBOR item", ErrRejected)
	}
	header, err := p.id.header()
	if err != nil {
		return fmt.Errorf("%w: ID_CRED", ErrRejected)
	}
	mac, err := s.mac(label, head, header, cred, p.ead)
	if err != nil {
		return err
	}
	tbs, err := s.toBeSigned(header, cred, p.ead, mac)
	if err != nil {
		return err
	}
	if err := wire.VerifyRaw(pub, tbs, p.sig); err != nil {
		return fmt.Errorf("%w: signature", ErrRejected)
	}
	return nil
}

// crypt2 turns PLAINTEXT_2 into CIPHERTEXT_2 and back.
func (s *schedule) crypt2(in []byte) ([]byte, error) {
	if len(in) > MaxPlaintext2 {
		return nil, fmt.Errorf("%w: PLAINTEXT_2", ErrTooLong)
	}
	out, err := kdf(s.prk, kdfKeystream2, s.th[:], len(in))
	if err != nil {
		return nil, err
	}
	subtle.XORBytes(out, out, in)
	return out, nil
}

// advance moves the transcript hash: TH_3 = H(TH_2, PLAINTEXT_2, CRED_R) and
// TH_4 = H(TH_3, PLAINTEXT_3, CRED_I).
func (s *schedule) advance(plain, cred []byte) {
	s.th = sha256.Sum256(slices.Concat(encode(s.th[:]), plain, cred))
}

// finish derives PRK_exporter from TH_4.
func (s *schedule) finish() error {
	out, err := kdf(s.prk, kdfPRKOut, s.th[:], hashLen)
	if err != nil {
		return err
	}
	prk := newSecret(out)
	defer prk.wipe()
	exp, err := kdf(prk, kdfPRKExporter, nil, hashLen)
	if err != nil {
		return err
	}
	s.exp = newSecret(exp)
	return nil
}

// box seals or opens message_3 or message_4 under the current transcript hash.
func (s *schedule) box(keyLabel, ivLabel uint64) (key, iv, aad []byte, err error) {
	if key, err = kdf(s.prk, keyLabel, s.th[:], keyLen); err != nil {
		return nil, nil, nil, err
	}
	if iv, err = kdf(s.prk, ivLabel, s.th[:], s.p.nonce); err != nil {
		return nil, nil, nil, err
	}
	aad, err = wire.Marshal([]any{"Encrypt0", []byte{}, s.th[:]})
	return key, iv, aad, err
}

func (s *schedule) seal(keyLabel, ivLabel uint64, plain []byte) ([]byte, error) {
	key, iv, aad, err := s.box(keyLabel, ivLabel)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	ct, err := s.p.aead.seal(key, iv, aad, plain)
	if err != nil {
		return nil, err
	}
	msg := encode(ct)
	if len(msg) > MaxMessage {
		return nil, fmt.Errorf("%w: message", ErrTooLong)
	}
	return msg, nil
}

func (s *schedule) open(keyLabel, ivLabel uint64, msg []byte) ([]byte, error) {
	ct, err := only(msg)
	if err != nil {
		return nil, err
	}
	key, iv, aad, err := s.box(keyLabel, ivLabel)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return s.p.aead.open(key, iv, aad, ct)
}

func (s *schedule) export(label uint64, context []byte, n int) ([]byte, error) {
	if s.exp.b == nil {
		return nil, ErrStep
	}
	return kdf(s.exp, label, context, n)
}

func (s *schedule) wipe() {
	s.prk.wipe()
	s.exp.wipe()
}
