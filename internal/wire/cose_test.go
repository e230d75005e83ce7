package wire_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"math/big"
	"testing"

	"github.com/veraison/go-cose"

	"github.com/lares-drm/lares/internal/wire"
)

const film = wire.Object("film")

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRFC9052_4_4_Sign1(t *testing.T) {
	key, cert := newKey(t), []byte("certificate")
	data, err := wire.NewSign1(key, cert, film, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := wire.ParseSign1(data, film, wire.Limit{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(key.Public()); err != nil || string(s.Payload) != "payload" || s.X5T != wire.X5T(cert) {
		t.Errorf("own signature: %v, payload %q", err, s.Payload)
	}
	if err := s.Verify(newKey(t).Public()); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("a stranger's key: %v", err)
	}
	if _, err := wire.ParseSign1(data, "other", wire.Limit{}); !errors.Is(err, wire.ErrShape) {
		t.Errorf("as another kind of object: %v", err)
	}
	again, err := wire.NewSign1(key, cert, film, []byte("payload"))
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("signing is not deterministic: %v", err)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if s, err := wire.ParseSign1(bad, film, wire.Limit{}); err == nil && s.Verify(key.Public()) == nil {
			t.Errorf("byte %d changed and the signature holds", i)
		}
	}
}

// TestRFC9052_OtherImplementation checks our object with go-cose.
func TestRFC9052_OtherImplementation(t *testing.T) {
	key := newKey(t)
	data, err := wire.NewSign1(key, []byte("certificate"), film, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	var msg cose.UntaggedSign1Message
	if err := msg.UnmarshalCBOR(data); err != nil {
		t.Fatal(err)
	}
	v, err := cose.NewVerifier(cose.AlgorithmES256, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.Verify(film.AAD(), v); err != nil {
		t.Errorf("go-cose: %v", err)
	}
	if err := msg.Verify([]byte("lares/1/other"), v); err == nil {
		t.Error("go-cose accepts another external_aad")
	}
}

func TestLicense_1_HighSIsRefused(t *testing.T) {
	key := newKey(t)
	data, err := wire.NewSign1(key, nil, film, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(data[len(data)-32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(data[len(data)-32:])
	p, err := wire.ParseSign1(data, film, wire.Limit{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(key.Public()); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("s above half the order: %v", err)
	}
}

func TestSignRawEd25519(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := wire.SignRaw(key, []byte("m"))
	if err != nil || wire.VerifyRaw(pub, []byte("m"), sig) != nil || wire.VerifyRaw(pub, []byte("n"), sig) == nil {
		t.Errorf("Ed25519: %v", err)
	}
}

func TestRFC9052_5_2_Encrypt0(t *testing.T) {
	key, nonce, prot, aad := make([]byte, 16), make([]byte, 12), []byte{0xa1, 1, 1}, []byte("aad")
	gcm, err := wire.A128GCM(key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := wire.SealEncrypt0(gcm, nonce, prot, aad, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.SealEncrypt0(gcm, nonce[1:], prot, aad, nil); !errors.Is(err, wire.ErrShape) {
		t.Errorf("a short nonce: %v", err)
	}
	p, ct, err := wire.ParseEncrypt0(data, wire.Limit{})
	if err != nil || !bytes.Equal(p, prot) {
		t.Fatalf("parse: %v, header %x", err, p)
	}
	if plain, err := wire.OpenEncrypt0(key, nonce, p, aad, ct); err != nil || string(plain) != "plain" {
		t.Errorf("open: %v, %q", err, plain)
	}
	for name, open := range map[string]func() ([]byte, error){
		"other aad":    func() ([]byte, error) { return wire.OpenEncrypt0(key, nonce, p, []byte("bad"), ct) },
		"other header": func() ([]byte, error) { return wire.OpenEncrypt0(key, nonce, []byte{0xa0}, aad, ct) },
		"cut":          func() ([]byte, error) { return wire.OpenEncrypt0(key, nonce, p, aad, ct[1:]) },
	} {
		if _, err := open(); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseSign1(f *testing.F) {
	key := newKey(f)
	good, err := wire.NewSign1(key, []byte("c"), film, []byte("p"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := wire.ParseSign1(in, film, wire.Limit{})
		if err != nil {
			return
		}
		if s.Verify(key.Public()) == nil && !bytes.Equal(in, good) && bytes.Equal(s.Payload, []byte("p")) && s.X5T == wire.X5T([]byte("c")) {
			t.Errorf("%x verifies and is not what was signed", in)
		}
	})
}

func FuzzParseEncrypt0(f *testing.F) {
	f.Add([]byte{0x83, 0x40, 0xa0, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		p, ct, err := wire.ParseEncrypt0(in, wire.Limit{})
		if err == nil && len(p)+len(ct) > len(in) {
			t.Errorf("%x gives more than it has", in)
		}
	})
}

func TestReader(t *testing.T) {
	r := wire.NewReader([]byte{1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 5})
	if r.Peek() != 1 {
		t.Errorf("a look ahead sees %d", r.Peek())
	}
	if a, b, c, d := r.U8(), r.U16(), r.U32(), r.U64(); a != 1 || b != 2 || c != 3 || d != 4 || r.Err() != nil {
		t.Errorf("read %d %d %d %d, %v", a, b, c, d, r.Err())
	}
	if err := r.End(); !errors.Is(err, wire.ErrTrailing) {
		t.Errorf("one byte is left: %v", err)
	}
	if r.Bytes(2) != nil || !errors.Is(r.End(), wire.ErrTruncated) {
		t.Errorf("past the end: %v", r.Err())
	}
	if r.U8() != 0 || r.Peek() != 0 || r.Bytes(-1) != nil {
		t.Error("a reader goes on after its first error")
	}
}
