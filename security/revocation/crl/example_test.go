package crl_test

import (
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/lares-drm/lares/security/revocation/crl"
)

// A path of NIST PKITS, judged by the lists of its two issuers.
func Example() {
	var path []*x509.Certificate
	for _, name := range []string{"InvalidRevokedEETest3EE.crt", "GoodCACert.crt", "TrustAnchorRootCertificate.crt"} {
		der, err := os.ReadFile("testdata/pkits/certs/" + name)
		if err != nil {
			panic(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		path = append(path, c)
	}
	var lists []*crl.List
	for _, name := range []string{"GoodCACRL.crl", "TrustAnchorRootCRL.crl"} {
		der, err := os.ReadFile("testdata/pkits/crls/" + name)
		if err != nil {
			panic(err)
		}
		l, err := crl.Parse(der)
		if err != nil {
			panic(err)
		}
		lists = append(lists, l)
	}
	fmt.Println(crl.NewChecker(lists...).Check(path, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)))
	// Output: crl: certificate 0 (serial f): rule "revoked" broken: reason 1, list 1
}
