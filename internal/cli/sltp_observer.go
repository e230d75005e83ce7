package cli

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// Labels of EDHOC_KDF (RFC 9528 section 4.1.2) and of the exporter
// (docs/spec/sltp.md, "Session").
const (
	kdfKeystream2  = 0
	kdfK3          = 3
	kdfIV3         = 4
	kdfPRKOut      = 7
	kdfK4          = 8
	kdfIV4         = 9
	kdfPRKExporter = 10

	exportIR  = 62224
	exportRI  = 62225
	exportIVs = 62226
	exportSID = 62227
)

// observer is a third party that was given the shared secret of one exchange.
// It follows the key schedule from RFC 9528 and the page by itself, so what it
// decrypts, it decrypts independently of the package under observation.
type observer struct {
	suite sltp.Suite
	rec   *shareRecorder
	certs [][]byte // leaves that x5t may name
	m1    []byte   // as the source got it
	th    []byte   // TH_2, then TH_3, then TH_4
	prk   []byte   // PRK_2e, which is PRK_3e2m and PRK_4e3m too
	chain [2][]byte
	salt  [2][]byte // of each direction
}

// kdf is EDHOC_KDF.
func kdf(prk []byte, label uint64, context []byte, n int) ([]byte, error) {
	var info []byte
	for _, v := range []any{label, append([]byte{}, context...), n} {
		b, err := wire.Marshal(v)
		if err != nil {
			return nil, err
		}
		info = append(info, b...)
	}
	return hkdf.Expand(sha256.New, prk, string(info), n)
}

// bstr is a CBOR byte string.
func bstr(b []byte) []byte {
	out, err := wire.Marshal(append([]byte{}, b...))
	if err != nil {
		panic(err) // a byte string always encodes
	}
	return out
}

func hash(parts ...[]byte) []byte {
	h := sha256.Sum256(slices.Concat(parts...))
	return h[:]
}

// classical reports a suite whose key share is one P-256 or X25519 key.
func (o *observer) classical() bool { return o.suite != edhoc.SuiteHybrid }

func (o *observer) ccm() bool { return o.suite == edhoc.Suite2 || o.suite == edhoc.Suite3 }

// ccmNonce is the nonce of AES-CCM-16-*-128 in bytes (RFC 9053 section 4.2).
const ccmNonce = 13

func (o *observer) nonceLen() int {
	if o.ccm() {
		return ccmNonce
	}
	return 12 // GCM
}

// share names the parts of G_X or G_Y.
func (o *observer) share(name string, b []byte) tracedField {
	f := tracedField{Name: name, Value: hex.EncodeToString(b), Note: "x-coordinate of a P-256 key"}
	switch n := len(b) - 32; {
	case !o.classical() && n == mlkem.EncapsulationKeySize768:
		f.Note = "ML-KEM-768 key, 1,184 bytes, and X25519 key, 32"
	case !o.classical():
		f.Note = "ML-KEM-768 ciphertext, 1,088 bytes, and X25519 key, 32"
	case o.suite == edhoc.Suite6:
		f.Note = "X25519 key"
	}
	return f
}

// start reads message_2 as far as it is in clear, and begins the key schedule.
func (o *observer) start(msg []byte) (plain []byte, fields []tracedField, err error) {
	body, err := bytesIn(msg)
	if err != nil {
		return nil, nil, err
	}
	n := 32
	if !o.classical() {
		n += mlkem.CiphertextSize768
	}
	if len(body) < n || len(o.rec.gxy) == 0 {
		return nil, nil, errors.New("message_2 is too short, or there was no agreement")
	}
	gy, ct := body[:n], body[n:]
	o.th = hash(bstr(gy), bstr(hash(o.m1)))
	if o.prk, err = hkdf.Extract(sha256.New, o.rec.gxy, o.th); err != nil {
		return nil, nil, err
	}
	stream, err := kdf(o.prk, kdfKeystream2, o.th, len(ct))
	if err != nil {
		return nil, nil, err
	}
	plain = make([]byte, len(ct))
	subtle.XORBytes(plain, ct, stream)
	return plain, []tracedField{
		o.share("G_Y", gy),
		{Name: "CIPHERTEXT_2", Value: fmt.Sprintf("%d bytes", len(ct)), Note: "PLAINTEXT_2 xor KEYSTREAM_2"},
		keyField("G_XY", o.rec.gxy, "the shared secret, on both sides and here only"),
		keyField("TH_2", o.th, "SHA-256(G_Y, SHA-256(message_1))"),
		keyField("PRK_2e", o.prk, "Extract(TH_2, G_XY)"),
	}, nil
}

// open decrypts message_3 or message_4 under the current transcript hash.
func (o *observer) open(msg []byte, n string, keyLabel, ivLabel uint64) (plain []byte, fields []tracedField, err error) {
	ct, err := bytesIn(msg)
	if err != nil {
		return nil, nil, err
	}
	key, err1 := kdf(o.prk, keyLabel, o.th, 16)
	iv, err2 := kdf(o.prk, ivLabel, o.th, o.nonceLen())
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	fields = []tracedField{
		{Name: "CIPHERTEXT_" + n, Value: fmt.Sprintf("%d bytes", len(ct)), Note: fmt.Sprintf("with a tag of %d", o.suite.TagLen())},
		keyField("K_"+n, key, ""), keyField("IV_"+n, iv, ""),
	}
	if len(ct) < o.suite.TagLen() {
		return nil, nil, errors.New("shorter than its tag")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	if o.ccm() { // its key stream; the tag is for the receiver to check
		text := ct[:len(ct)-o.suite.TagLen()]
		plain = make([]byte, len(text))
		cipher.NewCTR(block, slices.Concat([]byte{1}, iv, []byte{0, 1})).XORKeyStream(plain, text)
		return plain, fields, nil
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, nil, err
	}
	aad, err := wire.Marshal([]any{"Encrypt0", []byte{}, o.th})
	if err != nil {
		return nil, nil, err
	}
	plain, err = gcm.Open(nil, iv, ct, aad)
	return plain, fields, err
}

// advance moves the transcript hash: TH_3 over PLAINTEXT_2 and CRED_R, TH_4
// over PLAINTEXT_3 and CRED_I.
func (o *observer) advance(plain, leaf []byte) { o.th = hash(bstr(o.th), plain, bstr(leaf)) }

// finish derives what the session uses.
func (o *observer) finish() ([]tracedField, error) {
	out, err := kdf(o.prk, kdfPRKOut, o.th, 32)
	if err != nil {
		return nil, err
	}
	exp, err := kdf(out, kdfPRKExporter, nil, 32)
	if err != nil {
		return nil, err
	}
	ir, err1 := kdf(exp, exportIR, nil, 32)
	ri, err2 := kdf(exp, exportRI, nil, 32)
	ivs, err3 := kdf(exp, exportIVs, nil, 24)
	sid, err4 := kdf(exp, exportSID, nil, 8)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	o.chain, o.salt = [2][]byte{ir, ri}, [2][]byte{ivs[:12], ivs[12:]}
	return []tracedField{
		keyField("PRK_out", out, ""), keyField("PRK_exporter", exp, ""), keyField("K_I→R", ir, "chain key of phase 0"),
		keyField("K_R→I", ri, "chain key of phase 0"), keyField("IVs", ivs, "salts of both directions"), keyField("session ID", sid, ""),
	}, nil
}

// app decrypts an APP message. direction is 0 from the Initiator, 1 to it.
func (o *observer) app(msg []byte, direction uint64) (plain []byte, fields []tracedField, err error) {
	prot, ct, err := wire.ParseEncrypt0(msg, traceLimit())
	if err != nil {
		return nil, nil, err
	}
	var h struct {
		Alg int    `cbor:"1,keyasint"`
		Seq []byte `cbor:"6,keyasint"`
		SID []byte `cbor:"10,keyasint"`
	}
	if err := wire.Unmarshal(prot, &h, traceLimit()); err != nil {
		return nil, nil, err
	}
	var seq [8]byte
	copy(seq[8-min(8, len(h.Seq)):], h.Seq)
	key, err1 := kdf(o.chain[direction], 0, nil, 16)
	nonce, err2 := kdf(o.chain[direction], 1, o.salt[direction], 12)
	aad, err3 := wire.Marshal([]any{"SLTP-APP", direction, o.th, 0}) // a trace stays in key phase 0
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, err
	}
	subtle.XORBytes(nonce[4:], nonce[4:], seq[:])
	plain, err = wire.OpenEncrypt0(key, nonce, prot, aad, ct)
	return plain, []tracedField{
		{Name: "protected", Fields: []tracedField{
			{Name: "alg", Value: fmt.Sprint(h.Alg), Note: "A128GCM"},
			{Name: "seq", Value: fmt.Sprint(binary.BigEndian.Uint64(seq[:])), Note: "of this direction, never reset"},
			{Name: "session ID", Value: hex.EncodeToString(h.SID)},
		}},
		{Name: "ciphertext", Value: fmt.Sprintf("%d bytes", len(ct)), Note: "with a tag of 16"},
		keyField("key", key, "of key phase 0"), keyField("nonce", nonce, "IV xor seq"),
	}, err
}

// keyField is a derived value.
func keyField(name string, b []byte, note string) tracedField {
	return tracedField{Name: name, Value: hex.EncodeToString(b), Note: note}
}
