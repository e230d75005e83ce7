package edhoc

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"testing"
)

// token is a signing key that does not leave its security module. It knows
// nothing but crypto.Signer; form says what its signatures look like.
type token struct {
	key  *ecdsa.PrivateKey
	form func(der []byte) []byte
}

func (k token) Public() crypto.PublicKey { return k.key.Public() }

func (k token) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != crypto.SHA256 || len(digest) != 32 {
		return nil, errors.New("token: only SHA-256")
	}
	der, err := k.key.Sign(rand.Reader, digest, opts)
	if err != nil {
		return nil, err
	}
	return k.form(der), nil
}

// parts gives r and s, and s or n - s as high says.
func parts(t testing.TB, key *ecdsa.PrivateKey, der []byte, high bool) ecdsaSignature {
	t.Helper()
	var rs ecdsaSignature
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		t.Fatal(err)
	}
	n := key.Params().N
	if half := new(big.Int).Rsh(n, 1); (rs.S.Cmp(half) > 0) != high {
		rs.S.Sub(n, rs.S)
	}
	return rs
}

// TestEDHOC_SecurityModules: signatures of a module go out as r ‖ s with the
// lower s, whatever form they come in. Each form signs many times, because in
// DER the length depends on the values.
func TestEDHOC_SecurityModules(t *testing.T) {
	for name, form := range map[string]func(rs ecdsaSignature) []byte{
		"DER": func(rs ecdsaSignature) []byte {
			der, err := asn1.Marshal(rs)
			if err != nil {
				t.Fatal(err)
			}
			return der
		},
		"raw": func(rs ecdsaSignature) []byte {
			return append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...)
		},
	} {
		for _, high := range []bool{false, true} {
			for range 20 {
				idI, idR := testIdentity(t, Suite2), testIdentity(t, Suite2)
				for _, id := range []*Identity{&idI, &idR} {
					key, ok := id.Signer.(*ecdsa.PrivateKey)
					if !ok {
						t.Fatal("not ES256")
					}
					id.Signer = token{key, func(der []byte) []byte { return form(parts(t, key, der, high)) }}
				}
				exchange(t, Suite2, idI, idR)
			}
			t.Logf("%s, high s %v", name, high)
		}
	}
}

// TestEDHOC_SecurityModules_Nonsense: what is no signature is refused here, not
// sent.
func TestEDHOC_SecurityModules_Nonsense(t *testing.T) {
	for _, sig := range [][]byte{nil, {}, make([]byte, 63), make([]byte, 65), {0x30, 0}, make([]byte, 1<<16)} {
		id := testIdentity(t, Suite2)
		key, ok := id.Signer.(*ecdsa.PrivateKey)
		if !ok {
			t.Fatal("not ES256")
		}
		id.Signer = token{key, func([]byte) []byte { return sig }}
		res, err := NewResponder(Config{Suites: []Suite{Suite2}})
		if err != nil {
			t.Fatal(err)
		}
		_, m1 := begun(t, Suite2)
		if _, err := res.Message1(m1); err != nil {
			t.Fatal(err)
		}
		if m2, err := res.Message2([]byte{1}, id, nil); err == nil {
			t.Errorf("%d bytes went out as a signature: %x", len(sig), m2)
		}
	}
}

// TestEDHOC_SecurityModules_Both: 64 bytes that are DER stay DER.
func TestEDHOC_SecurityModules_Both(t *testing.T) {
	der, err := asn1.Marshal(ecdsaSignature{new(big.Int).Lsh(big.NewInt(1), 29*8-2), new(big.Int).Lsh(big.NewInt(1), 29*8-2)})
	if err != nil || len(der) != sigLen {
		t.Fatalf("%d bytes, %v", len(der), err)
	}
	id := testIdentity(t, Suite2)
	key, ok := id.Signer.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("not ES256")
	}
	got, err := anySigner{token{key, func([]byte) []byte { return der }}}.Sign(nil, make([]byte, 32), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "signature", got, der)
}

// vault is an Ephemeral whose Diffie-Hellman keys stay behind ecdh.KeyExchanger.
type vault struct{ agreed *int }

type handle struct {
	key    *ecdh.PrivateKey
	agreed *int
}

func (h handle) Curve() ecdh.Curve          { return h.key.Curve() }
func (h handle) PublicKey() *ecdh.PublicKey { return h.key.PublicKey() }
func (h handle) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	*h.agreed++
	return h.key.ECDH(peer)
}

func (v vault) Offer(s Suite) (Share, error) {
	p, _ := s.params()
	key, err := p.curve.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return NewShare(s, handle{key, v.agreed})
}

func (v vault) Answer(s Suite, gx []byte) (gy, gxy []byte, err error) {
	share, err := v.Offer(s)
	if err != nil {
		return nil, nil, err
	}
	gxy, err = share.Agree(gx)
	return share.Public(), gxy, err
}

// TestEDHOC_KeysElsewhere runs exchanges whose ephemeral keys are handles.
func TestEDHOC_KeysElsewhere(t *testing.T) {
	for _, s := range []Suite{Suite0, Suite2, Suite3, Suite6} {
		n := 0
		v := vault{&n}
		share, err := v.Offer(s)
		if err != nil {
			t.Fatal(err)
		}
		gy, gxy, err := v.Answer(s, share.Public())
		if err != nil {
			t.Fatal(err)
		}
		z, err := share.Agree(gy)
		if err != nil || n != 2 {
			t.Fatalf("%v: %d agreements, %v", s, n, err)
		}
		same(t, s.String(), z, gxy)
	}
}

// zeros is a careless module: it does not look at what it computes.
type zeros struct{ handle }

func (zeros) ECDH(*ecdh.PublicKey) ([]byte, error) { return make([]byte, 32), nil }

// TestEDHOC_9_ZeroSecret: a secret of zeros is refused here too.
func TestEDHOC_9_ZeroSecret(t *testing.T) {
	for _, curve := range []ecdh.Curve{ecdh.X25519(), ecdh.P256()} {
		key, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		share := &dhShare{curve, zeros{handle{key: key}}}
		if z, err := share.Agree(share.Public()); !errors.Is(err, ErrRejected) || z != nil {
			t.Errorf("%v: %x, %v", curve, z, err)
		}
	}
}
