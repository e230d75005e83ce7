package content_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// recipient makes a delivery key with a certificate of no authority.
func recipient(t testing.TB) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "delivery"}, NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func TestKeyDelivery_OpensForItsRecipientOnly(t *testing.T) {
	key, cert := recipient(t)
	kx, err := key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	in := &content.Delivery{Content: "film", DurationMS: 60_000, Keys: []content.TierKey{
		{KID: ident.NewKey(), Tier: content.Audio, Key: cenc.GenerateKey(), BPS: 6000},
		{KID: ident.NewKey(), Tier: content.HD, Key: cenc.GenerateKey(), BPS: 90_000},
	}}
	blob, err := content.SealKeys(cert, in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := content.OpenKeys(kx, cert, blob)
	if err != nil {
		t.Fatal(err)
	}
	if out.Content != in.Content || out.DurationMS != in.DurationMS || len(out.Keys) != 2 {
		t.Errorf("got %v", out)
	}
	for i, k := range out.Keys {
		w := in.Keys[i]
		if k.KID != w.KID || k.Tier != w.Tier || k.BPS != w.BPS || !k.Key.Equal(w.Key) {
			t.Errorf("key %d: got %v, want %v", i, k, w)
		}
	}
	other, otherCert := recipient(t)
	otherKX, err := other.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := content.OpenKeys(otherKX, cert, blob); !errors.Is(err, content.ErrDelivery) {
		t.Errorf("another key: %v", err)
	}
	if _, err := content.OpenKeys(kx, otherCert, blob); !errors.Is(err, content.ErrDelivery) {
		t.Errorf("another certificate: %v", err)
	}
	for i := range blob {
		bad := slices.Clone(blob)
		bad[i] ^= 1
		if _, err := content.OpenKeys(kx, cert, bad); !errors.Is(err, content.ErrDelivery) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := content.OpenKeys(kx, cert, blob[:i]); !errors.Is(err, content.ErrDelivery) {
			t.Fatalf("cut to %d: %v", i, err)
		}
	}
}

func TestKeyDelivery_PrintsNoKey(t *testing.T) {
	k, err := cenc.NewContentKey([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	d := content.Delivery{Content: "film", Keys: []content.TierKey{{Key: k}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		s := fmt.Sprintf(verb, d) + fmt.Sprintf(verb, &d)
		for _, leak := range []string{"0123456789", "30313233", "48, 49", "48 49", "0x30"} {
			if strings.Contains(s, leak) {
				t.Errorf("%s prints the key: %s", verb, s)
			}
		}
	}
}

func TestKeyDelivery_RefusesNonsense(t *testing.T) {
	_, cert := recipient(t)
	good := func() *content.Delivery {
		return &content.Delivery{Content: "film", Keys: []content.TierKey{{KID: ident.NewKey(), Tier: content.SD, Key: cenc.GenerateKey(), BPS: 1}}}
	}
	for name, spoil := range map[string]func(*content.Delivery){
		"no content ID": func(d *content.Delivery) { d.Content = "" },
		"no keys":       func(d *content.Delivery) { d.Keys = nil },
		"zero key":      func(d *content.Delivery) { d.Keys[0].Key = cenc.ContentKey{} },
		"no tier":       func(d *content.Delivery) { d.Keys[0].Tier = 0 },
		"no rate":       func(d *content.Delivery) { d.Keys[0].BPS = 0 },
		"same key ID":   func(d *content.Delivery) { d.Keys = append(d.Keys, d.Keys[0]) },
		"too many":      func(d *content.Delivery) { d.Keys = make([]content.TierKey, content.MaxDeliveryKeys+1) },
	} {
		d := good()
		spoil(d)
		if _, err := content.SealKeys(cert, d); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
	if _, err := content.SealKeys(cert, good()); err != nil {
		t.Error(err)
	}
}
