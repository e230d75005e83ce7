package core

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"

	box "github.com/lares-drm/lares/content"
)

// content holds the title keys of one content in an input TREM.
type content struct {
	durationMS uint64
	keys       []box.TierKey
}

func spkiOf(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode the identity key: %w", err)
	}
	return der, nil
}

// request makes the certificate requests of both keys. Each is proof of
// possession; what the module is stands in the one of the signing key, and
// which certificate it has.
func (c *Core) request() (trem.SigningRequest, error) {
	delivery, err := c.cfg.Keystore.Signer(keystore.Delivery)
	if err != nil {
		return trem.SigningRequest{}, err
	}
	k := c.storage()
	out := trem.SigningRequest{Level: k.Level, Anchor: k.Anchor}
	m := pki.Module{SVN: trem.SecurityVersion, Implementation: []byte(trem.Implementation)}
	if c.identity != nil {
		sum := sha256.Sum256(c.identity.Chain[0])
		m.Renews = sum[:]
	}
	if out.Signing, err = pki.NewRequest(c.signer, &m); err == nil {
		out.Delivery, err = pki.NewRequest(delivery, nil)
	}
	return out, err
}

// enroll stores certificates that are for this module's own keys. The root of
// a first enrollment stays, with those that it led to (learnRotations): a later
// one renews under one of them.
func (c *Core) enroll(in trem.Enrollment, r Reading) error {
	if len(in.Roots) != 1 { // the host may not add a root of its own beside it
		return rejected(fmt.Errorf("enrollment: %d roots; a module trusts the one that its own certificate is under", len(in.Roots)))
	}
	roots := in.Roots
	if c.identity != nil {
		roots = c.identity.Roots
		if !slices.ContainsFunc(roots, func(der []byte) bool { return bytes.Equal(der, in.Roots[0]) }) {
			return rejected(fmt.Errorf("enrollment: the root is none of those this module trusts"))
		}
	}
	trust, err := pki.NewTrustStore(in.Roots...)
	if err != nil {
		return rejected(err)
	}
	v := &pki.Verifier{Trust: trust}
	at, err := enrollTime(in.Chain, c.certTime(r))
	if err != nil {
		return rejected(err)
	}
	peer, err := v.Verify(in.Chain, at)
	if err != nil {
		return rejected(err)
	}
	if peer.ID() != c.self {
		return rejected(fmt.Errorf("enrollment: the certificate is for another key"))
	}
	if err := c.checkReach(peer); err != nil {
		return rejected(err)
	}
	if err := c.checkDelivery(v, peer, in.Delivery, at); err != nil {
		return rejected(err)
	}
	rec := identityRecord{Chain: in.Chain, Delivery: in.Delivery, Roots: roots}
	if err := c.commit(kindIdentity, rec); err != nil {
		return err
	}
	c.identity = &rec
	return c.ready(r)
}

// enrollTime is the time a module's own new certificate is judged at: its clock
// may be behind the certificate's start, because it is set only after enrollment.
func enrollTime(chain [][]byte, now time.Time) (time.Time, error) {
	if len(chain) == 0 {
		return now, fmt.Errorf("enrollment: no certificate")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return now, fmt.Errorf("enrollment: %w", err)
	}
	if now.Before(leaf.NotBefore) {
		return leaf.NotBefore, nil
	}
	return now, nil
}

// ownTime is the same for a restart.
func (c *Core) ownTime(r Reading) time.Time {
	at, err := enrollTime(c.identity.Chain, c.certTime(r))
	if err != nil {
		return c.certTime(r)
	}
	leaf, err := x509.ParseCertificate(c.identity.Chain[0])
	if err == nil && at.After(leaf.NotAfter) {
		return leaf.NotAfter // its peers refuse it; its own licenses still play
	}
	return at
}

// checkReach refuses a certificate that says more of this module than is true.
// A1 is about the household, which no keystore knows.
func (c *Core) checkReach(peer *pki.Peer) error {
	k := c.storage()
	if uint8(peer.Level()) > k.Level {
		return fmt.Errorf("enrollment: the certificate says %v, and these keys reach SL%d", peer.Level(), k.Level)
	}
	if peer.Anchor() == pki.A2 && k.Anchor < uint8(pki.A2) {
		return fmt.Errorf("enrollment: the certificate says %v, and this module has no register that is worth it", peer.Anchor())
	}
	return nil
}

// storage is what the keystore is and reaches.
func (c *Core) storage() trem.KeystoreStatus {
	s := trem.KeystoreStatus{Kind: c.cfg.Storage, Level: c.cfg.Keystore.Level()}
	switch c.cfg.Keystore.(type) { // as anchored chooses
	case keystore.Anchorer:
		s.Register = trem.RegisterExtend
	case keystore.Counter:
		s.Register = trem.RegisterCounter
	}
	if r, ok := c.cfg.Keystore.(keystore.Rated); ok && s.Register != "" {
		s.Anchor = r.AnchorLevel()
	}
	return s
}

// level is the security level that counts: what the certificate says, which is
// never more than the keystore reaches.
func (c *Core) level() uint8 {
	if c.peer == nil {
		return c.cfg.Keystore.Level()
	}
	return min(uint8(c.peer.Level()), c.cfg.Keystore.Level())
}

func (c *Core) checkDelivery(v *pki.Verifier, peer *pki.Peer, leaf []byte, at time.Time) error {
	pub, err := v.VerifyDelivery(peer, leaf, at)
	if err != nil {
		return err
	}
	own, err := c.cfg.Keystore.KeyExchanger(keystore.Delivery)
	if err != nil {
		return err
	}
	if !own.PublicKey().Equal(pub) {
		return fmt.Errorf("enrollment: the delivery certificate is for another key")
	}
	return nil
}

// registerKeys opens a key delivery that a packer sealed to this input TREM.
func (c *Core) registerKeys(sealed []byte) (ident.Content, error) {
	if err := c.need(pki.LicenseIssuer); err != nil {
		return "", err
	}
	key, err := c.cfg.Keystore.KeyExchanger(keystore.Delivery)
	if err != nil {
		return "", err
	}
	d, err := box.OpenKeys(key, c.identity.Delivery, sealed)
	if err != nil {
		return "", rejected(err)
	}
	if old, ok := c.contents[d.Content]; ok && !old.same(d.Keys) {
		return "", rejected(fmt.Errorf("key delivery: this content is registered with other keys"))
	} else if ok {
		return d.Content, nil
	}
	k := &content{durationMS: d.DurationMS, keys: d.Keys}
	for _, key := range k.keys {
		c.cfg.Memory.Keep(key.Key)
	}
	rec, err := k.record(d.Content)
	if err != nil {
		return "", err
	}
	if err := c.commit(kindContent, rec); err != nil {
		return "", err
	}
	c.contents[d.Content] = k
	return d.Content, nil
}

func (k *content) record(id ident.Content) (contentRecord, error) {
	rec := contentRecord{Content: id, DurationMS: k.durationMS}
	for _, key := range k.keys {
		plain, err := key.Key.Reveal()
		if err != nil {
			return rec, err
		}
		rec.Keys = append(rec.Keys, keyRecord{KID: key.KID, Tier: uint64(key.Tier), Key: plain, BPS: key.BPS})
	}
	return rec, nil
}

func (c *Core) replayContent(body []byte) error {
	var rec contentRecord
	if err := wire.Unmarshal(body, &rec, recordLimit); err != nil {
		return err
	}
	k := &content{durationMS: rec.DurationMS}
	defer clear(rec.Keys)
	for _, r := range rec.Keys {
		key, err := cenc.NewContentKey(r.Key[:])
		if err != nil {
			return err
		}
		c.cfg.Memory.Keep(key)
		k.keys = append(k.keys, box.TierKey{KID: r.KID, Tier: box.Tier(r.Tier), Key: key, BPS: r.BPS}) //nolint:gosec // written from a Tier
	}
	c.contents[rec.Content] = k
	return nil
}

func (k *content) same(keys []box.TierKey) bool {
	return slices.EqualFunc(k.keys, keys, func(a, b box.TierKey) bool {
		return a.KID == b.KID && a.Tier == b.Tier && a.Key.Equal(b.Key)
	})
}

// grant picks the keys of the wanted tiers: what a license names, and what its
// bundle carries.
func (k *content) grant(id ident.Content, tiers []uint64) (refs []license.KeyRef, keys map[ident.Key]cenc.ContentKey, err error) {
	keys = map[ident.Key]cenc.ContentKey{}
	for _, key := range k.keys {
		if len(tiers) > 0 && !slices.Contains(tiers, uint64(key.Tier)) {
			continue
		}
		plain, err := key.Key.Reveal()
		if err != nil {
			return nil, nil, err
		}
		keys[key.KID] = key.Key
		refs = append(refs, license.KeyRef{KID: key.KID, Tier: license.Tier(key.Tier), Check: license.KeyCheck(key.KID, id, plain[:]), BPS: key.BPS})
	}
	return refs, keys, nil
}
