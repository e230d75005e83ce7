package sltp

import (
	"slices"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// SuiteFloor is the rule for what stays secret for ever: a license without an
// end time does not travel in a classical session to a peer whose certificate
// lists the hybrid suite, because who records it now could open it later.
func SuiteFloor(peer *pki.Peer, s Suite) bool {
	return s == edhoc.SuiteHybrid || !slices.Contains(peer.Suites(), int(edhoc.SuiteHybrid))
}

// floor holds a reply against the rule. The host knows when a license ends;
// what it says nothing of counts as endless.
func (e *Endpoint) floor(s *session, r Reply) error {
	return e.endless(s.peer, s.suite(), r.Status == StatusDone && !r.Ends, r.Body)
}

func (e *Endpoint) endless(peer *pki.Peer, suite Suite, endless bool, body Body) error {
	n, ok := body.Number()
	carries := ok && (n == NumberLicense || n == numberXFER || n == numberLEND)
	if endless && carries && !e.cfg.Floor(peer, suite) {
		return ErrSuiteFloor
	}
	return nil
}
