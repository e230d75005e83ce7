package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// Sides of a trace.
const (
	destination = "destination"
	source      = "source"
)

// throwaway is a party that exists for one trace.
type throwaway struct {
	side  string
	role  pki.Role
	key   *ecdsa.PrivateKey
	id    ident.Device
	chain [][]byte
	end   *sltp.Endpoint
}

// Class IDs of a trace's trust domain. Source: local.
const (
	tracedIssuers pki.Class = 1
	tracedHomes   pki.Class = 2
)

// newThrowaways makes a root, two CAs, an issuer and a home server, and forgets
// the keys of the first three.
func newThrowaways(now time.Time) (src, dst *throwaway, trust *pki.TrustStore, err error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, nil, err
	}
	root, err := pki.IssueRoot(key, pki.Profile{Name: "Trace Root", CA: &pki.CA{PathLen: 1, Range: pki.Range{First: 0, Last: pki.MaxClass}}}, now)
	if err != nil {
		return nil, nil, nil, err
	}
	if trust, err = pki.NewTrustStore(root); err != nil {
		return nil, nil, nil, err
	}
	up := &pki.Authority{Root: root, Signer: key}
	if src, err = newThrowaway(up, source, pki.LicenseIssuer, tracedIssuers, now); err != nil {
		return nil, nil, nil, err
	}
	dst, err = newThrowaway(up, destination, pki.HomeServer, tracedHomes, now)
	return src, dst, trust, err
}

// newThrowaway makes a class CA and a party of its class.
func newThrowaway(up *pki.Authority, side string, role pki.Role, class pki.Class, now time.Time) (*throwaway, error) {
	grants := pki.Profile{Role: role, Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0}}
	caKey, err := newKey()
	if err != nil {
		return nil, err
	}
	ca := grants
	ca.Name, ca.Member = "Trace CA of the "+role.String(), pki.Member{Index: uint32(class)}
	ca.CA = &pki.CA{Range: pki.Range{First: class, Last: class}}
	caDER, err := pki.Issue(up, ca, caKey.Public(), now)
	if err != nil {
		return nil, fmt.Errorf("issue %s: %w", ca.Name, err)
	}
	t := &throwaway{side: side, role: role}
	if t.key, err = newKey(); err != nil {
		return nil, err
	}
	leaf := grants
	leaf.Name, leaf.Issuer, leaf.Member.Class = "Trace "+role.String(), "trace.example", class
	leaf.NotAfter = now.AddDate(0, 0, pki.MaxDays(role))
	der, err := pki.Issue(&pki.Authority{Chain: [][]byte{caDER}, Root: up.Root, Signer: caKey}, leaf, t.key.Public(), now)
	if err != nil {
		return nil, fmt.Errorf("issue %s: %w", leaf.Name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", leaf.Name, err)
	}
	t.chain, t.id = [][]byte{der, caDER}, ident.DeviceOf(cert.RawSubjectPublicKeyInfo)
	return t, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

// traced says who a party is, without anything secret.
func (t *throwaway) traced() tracedParty {
	p := tracedParty{Side: t.side, Role: t.role.String(), EDHOC: "Initiator", ID: t.id.String(), X5T: hex.EncodeToString(edhoc.X5T(t.chain[0]).Hash)}
	if t.side == source {
		p.EDHOC = "Responder"
	}
	for _, der := range t.chain {
		p.Chain = append(p.Chain, len(der))
	}
	if pub, err := t.key.PublicKey.Bytes(); err == nil {
		p.Public = hex.EncodeToString(pub)
	}
	return p
}

// shareRecorder is an Ephemeral that makes fresh key shares and keeps the shared
// secret: it is how a trace can decrypt without being either side.
type shareRecorder struct {
	edhoc.Fresh
	gxy []byte // of the last exchange
}

// Answer is the Responder's, and sees the secret of both.
func (r *shareRecorder) Answer(s edhoc.Suite, gx []byte) (gy, gxy []byte, err error) {
	gy, gxy, err = r.Fresh.Answer(s, gx)
	r.gxy = bytes.Clone(gxy)
	return gy, gxy, err
}

// tracedEpoch is the revocation epoch of both sides.
func tracedEpoch() pki.Epoch { return pki.Epoch{Generation: 1, Number: 27} }

// join gives both parties their endpoints. With plain, no chain is packed.
func join(src, dst *throwaway, trust *pki.TrustStore, suite sltp.Suite, plain bool) (*shareRecorder, error) {
	rec := &shareRecorder{}
	for _, t := range []*throwaway{src, dst} {
		cfg := sltp.Config{
			Signer: t.key, Chain: t.chain, Verifier: &pki.Verifier{Trust: trust}, Suites: []sltp.Suite{suite}, Ephemeral: rec, PlainChains: plain,
			Status: func() sltp.Status { return sltp.Status{Epoch: tracedEpoch(), MinEpoch: tracedEpoch()} },
		}
		var err error
		if t.end, err = sltp.NewEndpoint(cfg); err != nil {
			return nil, err
		}
	}
	return rec, nil
}

// tracedFilm is what is asked for.
const tracedFilm = "film-1"

func tracedDomain() [ident.Size]byte { return [ident.Size]byte{0: 0xd0, 15: 1} }

// tracedRequest is the n-th request.
func tracedRequest(n byte, now time.Time) (sltp.Request, error) {
	body, err := sltp.LicenseRequest{
		What: sltp.Reference{Content: tracedFilm}, Permission: uint8(permission.Play), Level: 1, Tiers: []uint64{uint64(license.TierSD)},
		Subject: sltp.Subject{Kind: sltp.SubjectDomain, ID: tracedDomain(), Generation: 1},
	}.Encode()
	id := ident.NewRequest()
	id[0] = n
	return sltp.Request{Purpose: sltp.PurposeLicense, ReqID: id, ClockMS: now.UnixMilli(), Quality: 2, Body: body}, err
}

// tracedReply is a license that the issuer signs, and a key that opens nothing.
func tracedReply(issuer *throwaway, now time.Time) (sltp.Reply, error) {
	units, err := permission.ParseText("PLAY; EXPORT=clearkey")
	if err != nil {
		return sltp.Reply{}, err
	}
	code, err := units.Encode()
	if err != nil {
		return sltp.Reply{}, err
	}
	kid, key := ident.NewKey(), ident.NewKey() // random bytes
	content, err := cenc.NewContentKey(key[:])
	if err != nil {
		return sltp.Reply{}, err
	}
	data, err := license.Sign(issuer.key, issuer.chain[0], &license.Info{
		ID: ident.NewLicense(), Issuer: "trace.example", IssuedAt: now.UnixMilli(), Content: tracedFilm, Version: 1, Code: code,
		Subject: license.DomainSubject(tracedDomain(), 1),
		Keys:    []license.KeyRef{{KID: kid, Tier: license.TierSD, Check: license.KeyCheck(kid, tracedFilm, key[:]), BPS: 250_000}},
	})
	if err != nil {
		return sltp.Reply{}, err
	}
	lic, err := license.Inspect(data)
	if err != nil {
		return sltp.Reply{}, err
	}
	bundle, err := (&license.KeyBundle{License: lic.Hash(), Keys: []license.BundleKey{{KID: kid, Key: content}}}).Encode()
	if err != nil {
		return sltp.Reply{}, err
	}
	body, err := sltp.License{Chain: [][]byte{data}, Bundle: bundle}.Encode()
	return sltp.Reply{Body: body, TimeMS: now.UnixMilli()}, err
}
