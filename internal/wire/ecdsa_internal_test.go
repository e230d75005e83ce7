package wire

import (
	"bytes"
	"crypto/elliptic"
	"encoding/asn1"
	"math/big"
	"testing"
)

type ecdsaSig struct{ R, S *big.Int }

func TestOrderOfP256(t *testing.T) {
	n := elliptic.P256().Params().N
	if string(n.Bytes()) != order || string(new(big.Int).Rsh(n, 1).FillBytes(make([]byte, 32))) != halfOrder {
		t.Error("the constants are not the order and its half")
	}
}

// FuzzDER holds both directions against encoding/asn1.
func FuzzDER(f *testing.F) {
	n := elliptic.P256().Params().N
	for _, s := range []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(0x80), big.NewInt(-1), new(big.Int).Rsh(n, 1), new(big.Int).Sub(n, big.NewInt(1)), n, new(big.Int).Lsh(n, 8)} {
		der, err := asn1.Marshal(ecdsaSig{big.NewInt(0x7f), s})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
		f.Add(append(der, 0))
	}
	f.Add([]byte{0x30, 7, 2, 2, 0, 1, 2, 1, 1})
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 64 {
			want, err := asn1.Marshal(ecdsaSig{new(big.Int).SetBytes(data[:32]), new(big.Int).SetBytes(data[32:])})
			if got := toDER(data); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%x is %x, encoding/asn1 has %x (%v)", data, got, want, err)
			}
		}
		var sig ecdsaSig
		rest, err := asn1.Unmarshal(data, &sig)
		ok := err == nil && len(rest) == 0
		if ok {
			ok = sig.R.Sign() > 0 && sig.S.Sign() > 0 && sig.R.Cmp(n) < 0 && sig.S.Cmp(n) < 0
		}
		if ok { // encoding/asn1 takes more than DER around the two numbers
			again, err := asn1.Marshal(sig)
			ok = err == nil && bytes.Equal(again, data)
		}
		rs := make([]byte, 64)
		if got := fromDER(rs, data); got != ok {
			t.Fatalf("%x: %v, encoding/asn1 %v", data, got, ok)
		}
		if !ok {
			return
		}
		if low := new(big.Int).Sub(n, sig.S); low.Cmp(sig.S) < 0 {
			sig.S = low
		}
		if want := append(sig.R.FillBytes(make([]byte, 32)), sig.S.FillBytes(make([]byte, 32))...); !bytes.Equal(rs, want) {
			t.Errorf("%x is %x, want %x", data, rs, want)
		}
	})
}
