package pki

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"slices"
)

// maxSuites is how many suites a certificate may list. Source: local, docs/spec/certificates.md.
const maxSuites = 16

// SLTP is what a certificate says of its party's abilities in the transaction
// protocol, so that nobody on the way can talk a peer into less. Source: local,
// docs/spec/certificates.md.
type SLTP struct {
	// Suites that the party can run, ascending. None: it has no Diffie-Hellman
	// mode and takes licenses by RSA key transport only.
	Suites []int
}

// DiffieHellman reports whether the party must be dealt with in that mode. A
// certificate without the extension (nil) does not say that it has none.
func (s *SLTP) DiffieHellman() bool { return s == nil || len(s.Suites) > 0 }

type sltpASN1 struct {
	Version int
	Suites  []int
}

var errSLTP = errors.New("not the extension's layout")

func (s *SLTP) marshal() ([]byte, error) {
	suites := s.Suites
	if suites == nil {
		suites = []int{}
	}
	if len(suites) > maxSuites {
		return nil, errSLTP
	}
	for i, n := range suites {
		if n < -65536 || n > 65535 || i > 0 && suites[i-1] >= n {
			return nil, errSLTP
		}
	}
	return asn1.Marshal(sltpASN1{Version: 1, Suites: suites})
}

// parseSLTP reads the extension; anything but its one encoding is refused.
func parseSLTP(der []byte) (*SLTP, error) {
	var a sltpASN1
	if rest, err := asn1.Unmarshal(der, &a); err != nil || len(rest) > 0 || a.Version != 1 {
		return nil, errSLTP
	}
	s := &SLTP{Suites: a.Suites}
	if again, err := s.marshal(); err != nil || !bytes.Equal(again, der) {
		return nil, errSLTP
	}
	return s, nil
}

// SLTPOf reads the extension of a certificate that is not verified, such as
// one's own; nil when there is none.
func SLTPOf(der []byte) (*SLTP, error) {
	c, err := read(der, 0)
	if err != nil {
		return nil, err
	}
	return c.sltp, nil
}

// readSLTP reads the extension of an end entity; most have none. A critical one
// was refused with every other critical extension that crypto/x509 does not know.
func (c *cert) readSLTP() error {
	for _, e := range c.Extensions {
		if !e.Id.Equal(sltpOID) {
			continue
		}
		s, err := parseSLTP(e.Value)
		if err != nil {
			return broken(c, RuleSLTP, "%w", err)
		}
		if c.IsCA {
			return broken(c, RuleSLTP, "a CA is no party")
		}
		c.sltp = s
	}
	return nil
}

// DiffieHellman reports whether the peer must be dealt with in the
// Diffie-Hellman mode: always, unless its certificate says that it has none.
// It is true of no Peer.
func (p *Peer) DiffieHellman() bool {
	return !p.Verified() || p.cert.sltp.DiffieHellman()
}

// Suites is the cipher suites that the certificate lists, ascending; nil when
// it lists none or has no list.
func (p *Peer) Suites() []int {
	if !p.Verified() || p.cert.sltp == nil {
		return nil
	}
	return slices.Clone(p.cert.sltp.Suites)
}
