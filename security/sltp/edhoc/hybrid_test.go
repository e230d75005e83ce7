package edhoc

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"errors"
	"slices"
	"testing"
)

// fixedHybrid is an Ephemeral for SuiteHybrid whose randomness is recorded.
type fixedHybrid struct {
	t testing.TB
	v values // seed_I, x_I, m_R, y_R
}

func (f fixedHybrid) x25519(name string) *ecdh.PrivateKey {
	key, err := ecdh.X25519().NewPrivateKey(f.v[name])
	if err != nil {
		f.t.Fatal(err)
	}
	return key
}

func (f fixedHybrid) Offer(Suite) (Share, error) {
	dk, err := mlkem.NewDecapsulationKey768(f.v["seed_I"])
	if err != nil {
		f.t.Fatal(err)
	}
	return NewHybridShare(dk, f.x25519("x_I"))
}

func (f fixedHybrid) Answer(_ Suite, gx []byte) (gy, gxy []byte, err error) {
	return AnswerHybrid(gx, f.x25519("y_R"), func(ek *mlkem.EncapsulationKey768) (shared, ciphertext []byte) {
		shared, ciphertext, err := mlkemtest.Encapsulate768(ek, f.v["m_R"])
		if err != nil {
			f.t.Fatal(err)
		}
		return shared, ciphertext
	})
}

// TestEDHOC_22_Halves puts the shares together from their halves, made apart
// from this package's code, in the order that docs/spec/sltp.md gives.
func TestEDHOC_22_Halves(t *testing.T) {
	v := vector(t, hybridFile)
	f := fixedHybrid{t, v}
	dk, err := mlkem.NewDecapsulationKey768(v["seed_I"])
	if err != nil {
		t.Fatal(err)
	}
	ss, ct, err := mlkemtest.Encapsulate768(dk.EncapsulationKey(), v["m_R"])
	if err != nil {
		t.Fatal(err)
	}
	z, err := f.x25519("x_I").ECDH(f.x25519("y_R").PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "ek_I", dk.EncapsulationKey().Bytes(), v["ek_I"])
	same(t, "X_I", f.x25519("x_I").PublicKey().Bytes(), v["X_I"])
	same(t, "ct_R", ct, v["ct_R"])
	same(t, "Y_R", f.x25519("y_R").PublicKey().Bytes(), v["Y_R"])
	same(t, "ss", ss, v["ss"])
	same(t, "z", z, v["z"])
	same(t, "G_X", slices.Concat(v["ek_I"], v["X_I"]), v["G_X"])
	same(t, "G_Y", slices.Concat(v["ct_R"], v["Y_R"]), v["G_Y"])
	same(t, "G_XY", slices.Concat(v["ss"], v["z"]), v["G_XY"])
	for name, n := range map[string]int{"ek_I": 1184, "ct_R": 1088, "ss": 32, "G_X": 1216, "G_Y": 1120, "G_XY": 64} {
		if len(v[name]) != n {
			t.Errorf("%s has %d bytes, want %d", name, len(v[name]), n)
		}
	}
}

// edit gives b with other bytes from at on.
func edit(b []byte, at int, with ...byte) []byte {
	b = slices.Clone(b)
	copy(b[at:], with)
	return b
}

// TestEDHOC_22_BadOffer: a G_X that is not what it must be ends the exchange at
// the Responder.
func TestEDHOC_22_BadOffer(t *testing.T) {
	v := vector(t, hybridFile)
	f := fixedHybrid{t, v}
	zero, low := make([]byte, 32), append([]byte{1}, make([]byte, 31)...)
	for _, tc := range []struct {
		name string
		gx   []byte
		want error
	}{
		{"coefficient beyond q", edit(v["G_X"], 0, 0xff, 0xff, 0xff), ErrRejected},
		{"X25519 of zeros", edit(v["G_X"], ekLen, zero...), ErrRejected},
		{"X25519 of low order", edit(v["G_X"], ekLen, low...), ErrRejected},
		{"a byte short", v["G_X"][1:], ErrMalformed},
		{"a byte long", append([]byte{0}, v["G_X"]...), ErrMalformed},
		{"nothing", nil, ErrMalformed},
	} {
		if gy, gxy, err := f.Answer(SuiteHybrid, tc.gx); !errors.Is(err, tc.want) || gy != nil || gxy != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		res, err := NewResponder(Config{Suites: []Suite{SuiteHybrid}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = res.Message1(message1{suites: []Suite{SuiteHybrid}, gx: tc.gx, ci: []byte{1}}.encode())
		if err == nil {
			_, err = res.Message2([]byte{2}, testIdentity(t, SuiteHybrid), nil)
		}
		if !errors.Is(err, tc.want) {
			t.Errorf("%s at the Responder: %v", tc.name, err)
		}
	}
}

// TestEDHOC_22_BadAnswer: a G_Y that is not what it must be is refused, and a
// ciphertext that is not the Responder's gives a secret that it does not have.
func TestEDHOC_22_BadAnswer(t *testing.T) {
	v := vector(t, hybridFile)
	f := fixedHybrid{t, v}
	for _, tc := range []struct {
		name string
		gy   []byte
		want error
	}{
		{"X25519 of zeros", edit(v["G_Y"], ctLen, make([]byte, 32)...), ErrRejected},
		{"a byte short", v["G_Y"][1:], ErrMalformed},
		{"a byte long", append([]byte{0}, v["G_Y"]...), ErrMalformed},
	} {
		share, err := f.Offer(SuiteHybrid)
		if err != nil {
			t.Fatal(err)
		}
		if z, err := share.Agree(tc.gy); !errors.Is(err, tc.want) || z != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	share, err := f.Offer(SuiteHybrid)
	if err != nil {
		t.Fatal(err)
	}
	z, err := share.Agree(edit(v["G_Y"], 0, ^v["G_Y"][0]))
	if err != nil || bytes.Equal(z[:32], v["ss"]) || !bytes.Equal(z[32:], v["z"]) {
		t.Errorf("another ciphertext gives %x, %v", z, err)
	}
}

// TestEDHOC_22_WrongCiphertext: the secret differs then, and message_2 is not
// accepted, whatever it decrypts to.
func TestEDHOC_22_WrongCiphertext(t *testing.T) {
	id := testIdentity(t, SuiteHybrid)
	ini, m1 := begun(t, SuiteHybrid)
	res, err := NewResponder(Config{Suites: []Suite{SuiteHybrid}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := res.Message1(m1); err != nil {
		t.Fatal(err)
	}
	m2, err := res.Message2([]byte{1}, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	m2[3+7] ^= 1
	if _, err := ini.Message2(m2); err == nil {
		_, err = ini.Authenticate(id.Cred, id.Signer.Public())
		if !errors.Is(err, ErrRejected) {
			t.Errorf("Authenticate: %v", err)
		}
	}
}

// TestEDHOC_22_KeysThatDoNotFit: each constructor names the suite it is for.
func TestEDHOC_22_KeysThatDoNotFit(t *testing.T) {
	v := vector(t, hybridFile)
	p256, err := ecdh.P256().NewPrivateKey(v["sk_I"])
	if err != nil {
		t.Fatal(err)
	}
	dk, err := mlkem.NewDecapsulationKey768(v["seed_I"])
	if err != nil {
		t.Fatal(err)
	}
	big, err := mlkem.NewDecapsulationKey1024(v["seed_I"])
	if err != nil {
		t.Fatal(err)
	}
	x := fixedHybrid{t, v}.x25519("x_I")
	if _, err := NewHybridShare(dk, p256); err == nil {
		t.Error("a P-256 key was taken")
	}
	if _, err := NewHybridShare(big, x); err == nil {
		t.Error("an ML-KEM-1024 key was taken")
	}
	if _, _, err := AnswerHybrid(v["G_X"], p256, encapsulate); err == nil {
		t.Error("a P-256 key answered")
	}
	if _, err := NewShare(SuiteHybrid, x); err == nil {
		t.Error("an X25519 key alone was taken")
	}
	if _, _, err := AnswerHybrid(v["G_X"], x, func(*mlkem.EncapsulationKey768) (shared, ciphertext []byte) { return v["ss"], v["ct_R"][1:] }); err == nil {
		t.Error("a short ciphertext was sent")
	}
}
