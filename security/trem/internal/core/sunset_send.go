package core

import (
	"fmt"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// sendSunset signs that this module's issuer sends a notice of sunset, or takes one
// back. The notice key lies in a file of the host, so who has read that file could end
// the shop with it; who wants this word needs the module besides. It has the module's
// time, by which the authority knows the newer of two.
func (c *Core) sendSunset(in trem.SunsetOrder, r Reading) (trem.Proof, error) {
	if err := c.need(pki.LicenseIssuer); err != nil {
		return trem.Proof{}, err
	}
	now := c.clock.judge(r)
	if now.Q == license.Unset {
		return trem.Proof{}, stateError("the clock is not set: it learns the time from the authority")
	}
	s, err := license.ParseStatement(in.Statement)
	if err == nil {
		err = s.Verify(in.Key)
	}
	if err == nil && s.Issuer != c.peer.Issuer() {
		err = fmt.Errorf("it is of another issuer")
	}
	if err != nil {
		return trem.Proof{}, rejected(fmt.Errorf("sunset: %w", err))
	}
	signed, err := license.SignSent(c.signer, c.identity.Chain[0], license.SentBy(s.Issuer, in.Statement, in.Key, now.Est))
	return trem.Proof{Object: signed, Chain: c.identity.Chain}, err
}
