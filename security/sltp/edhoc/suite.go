package edhoc

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"fmt"
	"slices"
)

// Suite is an EDHOC cipher suite number (IANA EDHOC Cipher Suites registry).
type Suite int

// The suites of this package. All hash with SHA-256.
const (
	// Suite0 is AES-CCM with an 8-byte tag, X25519, EdDSA.
	Suite0 Suite = 0
	// Suite2 is AES-CCM with an 8-byte tag, P-256, ES256.
	Suite2 Suite = 2
	// Suite3 is AES-CCM with a 16-byte tag, P-256, ES256.
	Suite3 Suite = 3
	// Suite6 is AES-GCM with a 16-byte tag, X25519, ES256.
	Suite6 Suite = 6
	// SuiteHybrid is AES-GCM with a 16-byte tag, X25519MLKEM768, ES256. Its number
	// is of the registry's private-use range, -24 to -21. It follows the way of
	// draft-ietf-lake-pqsuites, which defines no hybrid suite of its own; once one
	// is registered, that takes its place. Source: local, docs/spec/sltp.md.
	SuiteHybrid Suite = -22
)

// maxSuites is how many suites one message may list. Source: local.
const maxSuites = 16

type aead interface {
	seal(key, nonce, aad, plain []byte) ([]byte, error)
	open(key, nonce, aad, sealed []byte) ([]byte, error)
}

// params are the algorithms of a suite.
type params struct {
	aead   aead
	nonce  int        // bytes
	tag    int        // bytes
	curve  ecdh.Curve // of the ephemeral keys
	gx, gy int        // bytes of G_X and of G_Y
	edDSA  bool       // signatures are EdDSA, else ES256
	hybrid bool       // ML-KEM-768 beside the curve
}

// keyLen is the key length in bytes of every suite's AEAD.
const keyLen = 16

func (s Suite) params() (params, bool) {
	switch s {
	case Suite0:
		return params{aead: ccm{tag: 8}, nonce: ccmNonce, tag: 8, curve: ecdh.X25519(), gx: dhLen, gy: dhLen, edDSA: true}, true
	case Suite2:
		return params{aead: ccm{tag: 8}, nonce: ccmNonce, tag: 8, curve: ecdh.P256(), gx: dhLen, gy: dhLen}, true
	case Suite3:
		return params{aead: ccm{tag: 16}, nonce: ccmNonce, tag: 16, curve: ecdh.P256(), gx: dhLen, gy: dhLen}, true
	case Suite6:
		return params{aead: gcm{}, nonce: 12, tag: 16, curve: ecdh.X25519(), gx: dhLen, gy: dhLen}, true
	case SuiteHybrid:
		return params{aead: gcm{}, nonce: 12, tag: 16, curve: ecdh.X25519(), gx: offered, gy: answer, hybrid: true}, true
	}
	return params{}, false
}

// Known reports whether this package implements the suite.
func (s Suite) Known() bool {
	_, ok := s.params()
	return ok
}

// TagLen is the length in bytes of the tags of messages 3 and 4; 0 for a suite
// that is not known.
func (s Suite) TagLen() int {
	p, _ := s.params()
	return p.tag
}

func (s Suite) String() string { return fmt.Sprintf("suite %d", int(s)) }

// fits reports whether a key makes the suite's signatures.
func (p params) fits(pub crypto.PublicKey) bool {
	switch k := pub.(type) {
	case ed25519.PublicKey:
		return p.edDSA
	case *ecdsa.PublicKey:
		return !p.edDSA && k.Curve == elliptic.P256()
	}
	return false
}

// Acceptable reports whether a Responder that supports own may go on with the
// selected, last, suite of an Initiator's list: it must support it and none
// that the Initiator prefers (RFC 9528 section 5.2.3). Where it must not, wrong
// is the SUITES_R to answer with.
func Acceptable(suitesI, own []Suite) (wrong []Suite, ok bool) {
	for i, s := range suitesI {
		if slices.Contains(own, s) {
			if i == len(suitesI)-1 {
				return nil, true
			}
			break
		}
	}
	return own, false
}

// Propose returns the list for message_1: the Initiator's suites in its order
// up to the first that the Responder is said to support, which it selects. A
// nil peer means nothing is known of the Responder. No suite in common gives nil.
func Propose(own, peer []Suite) []Suite {
	for i, s := range own {
		if peer == nil || slices.Contains(peer, s) {
			return own[:i+1]
		}
	}
	return nil
}

func checkSuites(list []Suite) error {
	if len(list) == 0 || len(list) > maxSuites {
		return fmt.Errorf("edhoc: %d suites configured", len(list))
	}
	for i, s := range list {
		if !s.Known() || slices.Contains(list[:i], s) {
			return fmt.Errorf("edhoc: %v is unknown or listed twice", s)
		}
	}
	return nil
}
