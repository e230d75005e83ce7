package core

import (
	"crypto/x509"
	"fmt"
	"time"
)

// signerTime is the time at which a license's signer is judged: now, when the
// license comes from its issuer. Another module that hands it over has accepted
// it before, and its word for that, under its own certificate, is the evidence of
// age: the signer is then judged at the end of its certificate when that is past,
// if the license says that it was issued by then. So what was bought outlives the
// certificate of its shop, on other devices too. Revocation counts as it is now.
func signerTime(chain [][]byte, issuedAt int64, handedOver bool, now time.Time) (time.Time, error) {
	if len(chain) == 0 || !handedOver {
		return now, nil
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil || !now.After(leaf.NotAfter) {
		return now, nil //nolint:nilerr // Verify names what is wrong with it
	}
	if issuedAt > leaf.NotAfter.UnixMilli() {
		return now, fmt.Errorf("the license was issued after the end of its certificate")
	}
	return leaf.NotAfter, nil
}
