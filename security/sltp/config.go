package sltp

import (
	"cmp"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// Verifier checks a chain (leaf first, without the root) at a time and gives
// the party. *pki.Verifier is one.
type Verifier interface {
	Verify(chain [][]byte, now time.Time, roles ...pki.Role) (*pki.Peer, error)
}

// Status is what an endpoint says of its own revocation state.
type Status struct {
	Epoch    pki.Epoch
	Head     [32]byte  // SHA-256 of the head held; zero without one
	MinEpoch pki.Epoch // deal with nobody whose state is older; zero = no demand
	Proof    []byte    // staple of the own certificate, for askers whose state is older; nil without
}

// Config is what an Endpoint needs. The zero value of an optional field means
// the default that its comment gives.
type Config struct {
	Signer   crypto.Signer // required: the P-256 key of Chain[0]
	Chain    [][]byte      // required: own certificates in DER, leaf first, without the root
	Verifier Verifier      // required

	// Proven judges a source by the staple that it shows, at a trusted time; nil: nobody looks at staples.
	Proven func(peer *pki.Peer, staple []byte, now time.Time) error

	Self ident.Device // own ID; default, and always checked to be, the ID of Chain[0]

	Suites       []Suite    // in order of preference; default -22, 6, 3, 2
	Sources      []pki.Role // who may be a Responder; default license issuer, home server, device
	Destinations []pki.Role // who may be an Initiator; default home server, device

	// Allow judges a suite for a verified peer, by its class or role; false
	// ends the exchange with AlertSuiteFloor. Default: every configured suite.
	Allow func(peer *pki.Peer, s Suite) bool
	// Floor judges a suite for a license without an end time; false makes Reply
	// return ErrSuiteFloor. For a push, which is as classical, s is suite 2.
	// Default: SuiteFloor.
	Floor func(peer *pki.Peer, s Suite) bool
	// AllowRSA allows RSA key transport, as a source, to a destination whose
	// certificate says that it has no Diffie-Hellman. Default nil: off.
	AllowRSA func(peer *pki.Peer) bool
	// RSA makes this a legacy destination. Default nil: it is none.
	RSA *RSAKey
	// Delivery and DeliveryCert, its certificate in DER, open pushes. Default
	// nil: none is opened.
	Delivery     ecdh.KeyExchanger
	DeliveryCert []byte
	// Status is asked whenever it is needed. Default: no state is known.
	Status func() Status

	// PlainChains sends every chain as x5chain and takes none packed, as an
	// endpoint does that knows no packed chains. Default: both, where both sides can.
	PlainChains bool

	Ephemeral edhoc.Ephemeral // key shares; default fresh ones
	Rand      io.Reader       // connection IDs; default crypto/rand

	MaxHalfOpen int           // exchanges of unauthenticated Initiators; default 64
	MaxSessions int           // all exchanges and sessions; default 1024
	MaxPeers    int           // certificates remembered for x5t; default 1024
	TTL         time.Duration // of an unfinished exchange; default 15 min, at most 7 days
}

// Limits of sessions. Source: local, docs/spec/sltp.md.
const (
	defaultHalfOpen = 64
	defaultSessions = 1024
	defaultPeers    = 1024
	defaultTTL      = 15 * time.Minute
	maxTTL          = 7 * 24 * time.Hour
	sessionLife     = 24 * time.Hour
	maxFailures     = 8 // messages that do not open, until the session ends
)

// check looks at what is there before anything is read.
func (c *Config) check() error {
	switch {
	case c.Signer == nil || len(c.Chain) == 0 || c.Verifier == nil:
		return errors.New("sltp: Signer, Chain and Verifier are required")
	case c.TTL < 0 || c.TTL > maxTTL:
		return fmt.Errorf("sltp: TTL %v is not between 0 and %v", c.TTL, maxTTL)
	case c.MaxHalfOpen < 0 || c.MaxSessions < 0 || c.MaxPeers < 0:
		return errors.New("sltp: a bound is negative")
	}
	if c.Delivery != nil {
		if err := isCertOf(c.DeliveryCert, c.Delivery.PublicKey()); err != nil {
			return fmt.Errorf("delivery certificate: %w", err)
		}
	}
	if c.RSA != nil {
		if err := c.RSA.check(); err != nil {
			return fmt.Errorf("RSA key: %w", err)
		}
	}
	return nil
}

// identity is the ID of the own certificate, which must be the signer's.
func (c *Config) identity() (ident.Device, error) {
	leaf, err := x509.ParseCertificate(c.Chain[0])
	if err != nil {
		return ident.Device{}, fmt.Errorf("read own certificate: %w", err)
	}
	pub, ok := c.Signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(leaf.PublicKey) {
		return ident.Device{}, errors.New("sltp: Signer is not the key of Chain[0]")
	}
	id := ident.DeviceOf(leaf.RawSubjectPublicKeyInfo)
	if c.Self != id && c.Self != (ident.Device{}) {
		return id, errors.New("sltp: Self is not the ID of Chain[0]")
	}
	return id, nil
}

// isCertOf checks that a certificate is of a key.
func isCertOf(der []byte, pub crypto.PublicKey) error {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	of := c.PublicKey
	if k, ok := of.(interface {
		ECDH() (*ecdh.PublicKey, error)
	}); ok {
		if of, err = k.ECDH(); err != nil {
			return err
		}
	}
	key, ok := pub.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !key.Equal(of) {
		return errors.New("sltp: the certificate is of another key")
	}
	return nil
}

func (c Config) withDefaults() Config {
	if len(c.Suites) == 0 {
		c.Suites = []Suite{edhoc.SuiteHybrid, edhoc.Suite6, edhoc.Suite3, edhoc.Suite2}
	}
	c.Suites = slices.Clone(c.Suites)
	if len(c.Sources) == 0 {
		c.Sources = []pki.Role{pki.LicenseIssuer, pki.HomeServer, pki.Device}
	}
	if len(c.Destinations) == 0 {
		c.Destinations = []pki.Role{pki.HomeServer, pki.Device}
	}
	if c.Floor == nil {
		c.Floor = SuiteFloor
	}
	if c.Status == nil {
		c.Status = func() Status { return Status{} }
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	c.MaxHalfOpen = cmp.Or(c.MaxHalfOpen, defaultHalfOpen)
	c.MaxSessions = cmp.Or(c.MaxSessions, defaultSessions)
	c.MaxPeers = cmp.Or(c.MaxPeers, defaultPeers)
	c.TTL = cmp.Or(c.TTL, defaultTTL)
	return c
}

// earliest is the first expiry among certificates.
func earliest(chain [][]byte) (time.Time, error) {
	var first time.Time
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return first, err
		}
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first, nil
}
