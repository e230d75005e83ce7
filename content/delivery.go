package content

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// ErrDelivery is returned for a key delivery that does not open. It says no
// more: the peer learns nothing.
var ErrDelivery = errors.New("content: key delivery does not open")

// Limits of a key delivery. Source: local, docs/spec/key-delivery.md.
const (
	MaxDelivery     = 1 << 14 // whole blob, bytes
	MaxDeliveryKeys = 64
)

const (
	deliveryFormat = 1
	deliveryLabel  = "lares/1/key-delivery" // before the certificate's hash, in HPKE's info
)

// Delivery is what a packer hands to a license issuer's TREM: the content keys
// of one piece of content.
type Delivery struct {
	Content    ident.Content
	DurationMS uint64 // of the content, milliseconds
	Keys       []TierKey
}

// TierKey is one content key and the tier that it opens.
type TierKey struct {
	KID  ident.Key
	Tier Tier
	Key  cenc.ContentKey
	BPS  uint64 // peak protected bytes a second
}

type sealedDelivery struct {
	_       struct{} `cbor:",toarray"`
	Format  uint
	X5T     [wire.X5TLen]byte
	Enc, CT []byte
}

type openDelivery struct {
	_          struct{} `cbor:",toarray"`
	Content    ident.Content
	DurationMS uint64
	Keys       []openKey
}

type openKey struct {
	_    struct{} `cbor:",toarray"`
	KID  ident.Key
	Tier Tier
	Key  [cenc.KeySize]byte
	BPS  uint64
}

// SealKeys seals a delivery to the P-256 key of a delivery certificate (DER),
// which the caller has verified. Source: docs/spec/key-delivery.md; RFC 9180.
func SealKeys(cert []byte, d *Delivery) ([]byte, error) {
	pub, err := deliveryKey(cert)
	if err != nil {
		return nil, err
	}
	plain, err := d.encode()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	to, err := hpke.NewDHKEMPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("content: delivery certificate: %w", err)
	}
	enc, sender, err := hpke.NewSender(to, hpke.HKDFSHA256(), hpke.AES128GCM(), deliveryInfo(cert))
	if err != nil {
		return nil, fmt.Errorf("content: seal keys: %w", err)
	}
	ct, err := sender.Seal(nil, plain)
	if err != nil {
		return nil, fmt.Errorf("content: seal keys: %w", err)
	}
	return wire.Marshal(sealedDelivery{Format: deliveryFormat, X5T: wire.X5T(cert), Enc: enc, CT: ct})
}

// OpenKeys opens a delivery with the key of the delivery certificate (DER) to
// which it was sealed.
func OpenKeys(kx ecdh.KeyExchanger, cert, blob []byte) (*Delivery, error) {
	var s sealedDelivery
	if err := wire.Unmarshal(blob, &s, wire.Limit{Bytes: MaxDelivery, Items: 4, Depth: 1}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDelivery, err)
	}
	if s.Format != deliveryFormat || s.X5T != wire.X5T(cert) {
		return nil, fmt.Errorf("%w: other format or recipient", ErrDelivery)
	}
	priv, err := hpke.NewDHKEMPrivateKey(kx)
	if err != nil || kx.Curve() != ecdh.P256() {
		return nil, fmt.Errorf("%w: delivery key is not on P-256", ErrDelivery)
	}
	rcpt, err := hpke.NewRecipient(s.Enc, priv, hpke.HKDFSHA256(), hpke.AES128GCM(), deliveryInfo(cert))
	if err != nil {
		return nil, ErrDelivery
	}
	plain, err := rcpt.Open(nil, s.CT)
	if err != nil {
		return nil, ErrDelivery
	}
	defer clear(plain)
	return decodeDelivery(plain)
}

func deliveryInfo(cert []byte) []byte {
	h := sha256.Sum256(cert)
	return append([]byte(deliveryLabel), h[:]...)
}

func deliveryKey(cert []byte) (*ecdh.PublicKey, error) {
	c, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, fmt.Errorf("content: delivery certificate: %w", err)
	}
	pub, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("content: delivery certificate has no elliptic curve key")
	}
	k, err := pub.ECDH()
	if err != nil || k.Curve() != ecdh.P256() {
		return nil, errors.New("content: delivery certificate has no P-256 key")
	}
	return k, nil
}

func (d *Delivery) encode() ([]byte, error) {
	if len(d.Keys) == 0 || len(d.Keys) > MaxDeliveryKeys {
		return nil, fmt.Errorf("content: delivery of %d keys", len(d.Keys))
	}
	o := openDelivery{Content: d.Content, DurationMS: d.DurationMS}
	defer func() { clear(o.Keys) }()
	for _, k := range d.Keys {
		raw, err := k.Key.Reveal()
		if err != nil {
			return nil, fmt.Errorf("content key %v: %w", k.KID, err)
		}
		o.Keys = append(o.Keys, openKey{KID: k.KID, Tier: k.Tier, Key: raw, BPS: k.BPS})
		clear(raw[:])
	}
	plain, err := wire.Marshal(o)
	if err == nil {
		_, err = decodeDelivery(plain)
	}
	return plain, err
}

func decodeDelivery(plain []byte) (*Delivery, error) {
	var o openDelivery
	defer func() { clear(o.Keys) }()
	if err := wire.Unmarshal(plain, &o, wire.Limit{Bytes: MaxDelivery, Items: MaxDeliveryKeys, Depth: 3}); err != nil {
		return nil, fmt.Errorf("%w: content", ErrDelivery)
	}
	if o.Content == "" || len(o.Keys) == 0 || o.DurationMS >= 1<<53 {
		return nil, fmt.Errorf("%w: content", ErrDelivery)
	}
	d := &Delivery{Content: o.Content, DurationMS: o.DurationMS}
	for i := range o.Keys {
		k := &o.Keys[i]
		for _, before := range d.Keys {
			if before.KID == k.KID {
				return nil, fmt.Errorf("%w: key %v twice", ErrDelivery, k.KID)
			}
		}
		if k.Tier == 0 || k.BPS == 0 || k.BPS >= 1<<53 {
			return nil, fmt.Errorf("%w: key %v", ErrDelivery, k.KID)
		}
		key, err := cenc.NewContentKey(k.Key[:])
		if err != nil {
			return nil, err
		}
		d.Keys = append(d.Keys, TierKey{KID: k.KID, Tier: k.Tier, Key: key, BPS: k.BPS})
	}
	return d, nil
}
