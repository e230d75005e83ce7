package edhoc

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
)

// schedule is the key schedule and transcript of one exchange. In method 0
// PRK_2e, PRK_3e2m and PRK_4e3m are one key.
type schedule struct {
	p   params
	th  [hashLen]byte // TH_2, then TH_3, then TH_4
	prk secret
	out secret // PRK_out, from TH_4 on
	exp secret // PRK_exporter, from TH_4 on
}

// Format prints no key.
func (schedule) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[key schedule]") }

// start begins the schedule with both shares and the hash of message_1.
func start(p params, h1 [hashLen]byte, gy, gxy []byte) (schedule, error) {
	s := schedule{p: p, th: sha256.Sum256(inputTH2(gy, h1[:]))} // at most 1.2 kB in one piece
	prk, err := hkdf.Extract(sha256.New, gxy, s.th[:])
	if err != nil {
		return schedule{}, fmt.Errorf("edhoc: PRK_2e: %w", err)
	}
	s.prk = newSecret(prk)
	return s, nil
}

// inputTH2 is what TH_2 is the hash of.
func inputTH2(gy, h []byte) []byte {
	return appendBytes(appendBytes(make([]byte, 0, len(gy)+hashLen+5), gy), h)
}

// context is context_2 or context_3 in parts; head is what stands before
// ID_CRED, that is, C_R or nothing.
func (s *schedule) context(head, header, cred, ead []byte) [][]byte {
	return [][]byte{head, header, bstr(s.th[:]), cred, ead}
}

// mac is MAC_2 or MAC_3.
func (s *schedule) mac(label uint64, head, header, cred, ead []byte) ([]byte, error) {
	return s.prk.kdfOf(label, s.context(head, header, cred, ead), hashLen)
}

// crypt2 turns PLAINTEXT_2 into CIPHERTEXT_2 and back.
func (s *schedule) crypt2(in []byte) ([]byte, error) {
	if len(in) > MaxPlaintext2 {
		return nil, fmt.Errorf("%w: PLAINTEXT_2", ErrTooLong)
	}
	out, err := s.prk.kdf(kdfKeystream2, s.th[:], len(in))
	if err != nil {
		return nil, err
	}
	subtle.XORBytes(out, out, in)
	return out, nil
}

// inputTH is what the next transcript hash is the hash of, in parts: TH_3 =
// H(TH_2, PLAINTEXT_2, CRED_R) and TH_4 = H(TH_3, PLAINTEXT_3, CRED_I).
func (s *schedule) inputTH(plain, cred []byte) [][]byte {
	return [][]byte{bstr(s.th[:]), plain, cred}
}

// advance moves the transcript hash.
func (s *schedule) advance(plain, cred []byte) {
	h := sha256.New()
	for _, part := range s.inputTH(plain, cred) {
		h.Write(part)
	}
	h.Sum(s.th[:0])
}

// finish derives PRK_out and PRK_exporter from TH_4.
func (s *schedule) finish() error {
	var err error
	if s.out, err = s.prk.derive(kdfPRKOut, s.th[:]); err != nil {
		return err
	}
	s.exp, err = s.out.derive(kdfPRKExporter, nil)
	return err
}

// update is EDHOC_KeyUpdate (RFC 9528 appendix H). Both keys before it are gone
// after it.
func (s *schedule) update(context []byte) error {
	out, err := s.out.derive(kdfUpdate, context)
	if err != nil {
		return err
	}
	exp, err := out.derive(kdfPRKExporter, nil)
	if err != nil {
		return err
	}
	s.out.wipe()
	s.exp.wipe()
	s.out, s.exp = out, exp
	return nil
}

// aad is A_3 or A_4: the Enc_structure ["Encrypt0", h”, TH] (RFC 9052 section 5.3).
func (s *schedule) aad() []byte {
	return appendBytes(append(make([]byte, 0, 45), "\x83\x68Encrypt0\x40"...), s.th[:])
}

// box gives what seals message_3 or message_4 under the current transcript hash.
func (s *schedule) box(keyLabel, ivLabel uint64) (key, iv []byte, err error) {
	if key, err = s.prk.kdf(keyLabel, s.th[:], keyLen); err != nil {
		return nil, nil, err
	}
	iv, err = s.prk.kdf(ivLabel, s.th[:], s.p.nonce)
	return key, iv, err
}

func (s *schedule) seal(keyLabel, ivLabel uint64, plain []byte) ([]byte, error) {
	key, iv, err := s.box(keyLabel, ivLabel)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	ct, err := s.p.aead.seal(key, iv, s.aad(), plain)
	if err != nil {
		return nil, err
	}
	msg := bstr(ct)
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
	key, iv, err := s.box(keyLabel, ivLabel)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return s.p.aead.open(key, iv, s.aad(), ct)
}

// export is EDHOC_Exporter (RFC 9528 section 4.2.1).
func (s *schedule) export(label uint64, context []byte, n int) ([]byte, error) {
	return s.exp.kdf(label, context, n)
}

func (s *schedule) wipe() {
	s.prk.wipe()
	s.out.wipe()
	s.exp.wipe()
}
