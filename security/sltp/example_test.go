package sltp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
)

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// domain is a small trust domain: a root and a CA for home servers and issuers.
type domain struct {
	now time.Time
	cas map[pki.Role]*pki.Authority
	all *pki.TrustStore
}

func key() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func newDomain() *domain {
	d := &domain{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), cas: map[pki.Role]*pki.Authority{}}
	rootKey := key()
	root := must(pki.IssueRoot(rootKey, pki.Profile{Name: "Root", CA: &pki.CA{PathLen: 2, Range: pki.Range{Last: pki.MaxClass}}}, d.now))
	d.all = must(pki.NewTrustStore(root))
	for i, role := range []pki.Role{pki.LicenseIssuer, pki.HomeServer} {
		caKey, class := key(), pki.Class(i+1)
		der := must(pki.Issue(&pki.Authority{Root: root, Signer: rootKey}, pki.Profile{
			Name: role.String() + " CA", Role: role, Member: pki.Member{Index: uint32(i) + 1}, Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
			CA: &pki.CA{Range: pki.Range{First: class, Last: class}},
		}, caKey.Public(), d.now))
		d.cas[role] = &pki.Authority{Chain: [][]byte{der}, Root: root, Signer: caKey}
	}
	return d
}

// endpoint certifies a new party and opens its end of the protocol.
func (d *domain) endpoint(role pki.Role, class pki.Class) (*sltp.Endpoint, ident.Device) {
	own, ca := key(), d.cas[role]
	leaf := must(pki.Issue(ca, pki.Profile{
		Name: "a " + role.String(), Role: role, Member: pki.Member{Class: class}, Issuer: "example", NotAfter: d.now.AddDate(0, 0, 60),
		Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
	}, own.Public(), d.now))
	chain := append([][]byte{leaf}, ca.Chain...)
	verifier := &pki.Verifier{Trust: d.all}
	return must(sltp.NewEndpoint(sltp.Config{Signer: own, Chain: chain, Verifier: verifier})), must(verifier.Verify(chain, d.now)).ID()
}

// A home server asks an issuer for a license; the messages go through a
// courier that cannot read them.
func Example() {
	d := newDomain()
	shop, shopID := d.endpoint(pki.LicenseIssuer, 1)
	home, homeID := d.endpoint(pki.HomeServer, 2)

	body := must(sltp.LicenseRequest{
		What: sltp.Reference{Content: "film-1"}, Permission: 1, Subject: sltp.Subject{Kind: sltp.SubjectDevice, ID: homeID}, Level: 1,
	}.Encode())
	_, m1, err := home.Open(shopID, sltp.Request{Purpose: sltp.PurposeLicense, ReqID: ident.NewRequest(), Body: body}, d.now)
	if err != nil {
		log.Fatal(err)
	}
	m2, _ := shop.Receive(m1[0], d.now)
	m3, _ := home.Receive(m2[0], d.now)
	_, events := shop.Receive(m3[0], d.now)

	asked, ok := events[0].(sltp.EventRequest)
	if !ok {
		log.Fatal(events)
	}
	want := must(sltp.ParseLicenseRequest(asked.Request.Body))
	fmt.Printf("a %v asks for %v\n", asked.Peer.Role(), want.What.Content)
	license := must(sltp.License{Chain: [][]byte{[]byte("the license")}, Bundle: []byte("its keys")}.Encode())
	m4 := must(shop.Reply(asked.Handle, sltp.Reply{Status: sltp.StatusDone, Body: license}, d.now))

	_, events = home.Receive(m4[0], d.now)
	got, ok := events[0].(sltp.EventReply)
	if !ok {
		log.Fatal(events)
	}
	fmt.Printf("a %v answers with %d license\n", got.Peer.Role(), len(must(sltp.ParseLicense(got.Reply.Body)).Chain))
	// Output:
	// a home server asks for film-1
	// a license issuer answers with 1 license
}
