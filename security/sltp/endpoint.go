package sltp

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// Suite is an EDHOC cipher suite.
type Suite = edhoc.Suite

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
	Proof    []byte    // stapled proof of the own certificate; nil without
}

// Config is what an Endpoint needs. The zero value of an optional field means
// the default that its comment gives.
type Config struct {
	Signer   crypto.Signer // required: the P-256 key of Chain[0]
	Chain    [][]byte      // required: own certificates in DER, leaf first, without the root
	Verifier Verifier      // required
	Self     ident.Device  // own ID; default, and always checked to be, the ID of Chain[0]

	Suites       []Suite    // in order of preference; default suite 2 alone
	Sources      []pki.Role // who may be a Responder; default license issuer, home server, device
	Destinations []pki.Role // who may be an Initiator; default home server, device

	// Allow judges a suite for a verified peer, by its class or role; false
	// ends the exchange with AlertSuiteFloor. Default: every configured suite.
	Allow func(peer *pki.Peer, s Suite) bool
	// Status is asked whenever it is needed. Default: no state is known.
	Status func() Status

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

// cidLen is the length in bytes of a connection ID. Source: local, docs/spec/sltp.md.
const cidLen = 8

type cid = [cidLen]byte

// Handle names an exchange and the session that it becomes, inside one Endpoint.
type Handle uint64

// Message is one SLTP message and the connection ID of its receiver, as a
// relay's frame carries both.
type Message struct {
	CID   []byte // 8 bytes; nil when the receiver has none yet
	Bytes []byte
}

// Endpoint is one TREM's end of any number of exchanges and sessions, in both
// roles. It is not safe for concurrent use.
type Endpoint struct {
	cfg      Config
	x5t      [wire.X5TLen]byte // of the own leaf
	expiry   time.Time         // of the first of the own certificates
	last     Handle
	byHandle map[Handle]*session
	byCID    map[cid]*session
	byM1     map[[32]byte]*session
	bySID    map[[sidLen]byte]*session
	known    peers
	halfOpen int
	due      time.Time // no deadline is before this
}

// NewEndpoint checks the configuration and allocates; it starts nothing.
func NewEndpoint(cfg Config) (*Endpoint, error) {
	if cfg.Signer == nil || len(cfg.Chain) == 0 || cfg.Verifier == nil {
		return nil, errors.New("sltp: Signer, Chain and Verifier are required")
	}
	if cfg.TTL < 0 || cfg.TTL > maxTTL {
		return nil, fmt.Errorf("sltp: TTL %v is not between 0 and %v", cfg.TTL, maxTTL)
	}
	if cfg.MaxHalfOpen < 0 || cfg.MaxSessions < 0 || cfg.MaxPeers < 0 {
		return nil, errors.New("sltp: a bound is negative")
	}
	expiry, err := earliest(cfg.Chain)
	if err != nil {
		return nil, fmt.Errorf("read own certificates: %w", err)
	}
	leaf, err := x509.ParseCertificate(cfg.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("read own certificate: %w", err)
	}
	pub, ok := cfg.Signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(leaf.PublicKey) {
		return nil, errors.New("sltp: Signer is not the key of Chain[0]")
	}
	id := ident.DeviceOf(leaf.RawSubjectPublicKeyInfo)
	if cfg.Self != id && cfg.Self != (ident.Device{}) {
		return nil, errors.New("sltp: Self is not the ID of Chain[0]")
	}
	cfg.Self = id
	cfg = cfg.withDefaults()
	if _, err := edhoc.NewInitiator(edhoc.Config{Suites: cfg.Suites}); err != nil {
		return nil, err
	}
	return &Endpoint{
		cfg: cfg, x5t: wire.X5T(cfg.Chain[0]), expiry: expiry,
		byHandle: map[Handle]*session{}, byCID: map[cid]*session{}, byM1: map[[32]byte]*session{},
		bySID: map[[sidLen]byte]*session{}, known: newPeers(cfg.MaxPeers),
	}, nil
}

func (c Config) withDefaults() Config {
	if len(c.Suites) == 0 {
		c.Suites = []Suite{edhoc.Suite2}
	}
	c.Suites = slices.Clone(c.Suites)
	if len(c.Sources) == 0 {
		c.Sources = []pki.Role{pki.LicenseIssuer, pki.HomeServer, pki.Device}
	}
	if len(c.Destinations) == 0 {
		c.Destinations = []pki.Role{pki.HomeServer, pki.Device}
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

// Format prints no key.
func (e *Endpoint) Format(w fmt.State, _ rune) {
	_, _ = fmt.Fprintf(w, "[sltp endpoint %v]", e.cfg.Self)
}

// Receive takes one message from a courier and returns what to send back and
// what happened. What is not expected gives neither. now is the trusted time.
func (e *Endpoint) Receive(m Message, now time.Time) (out []Message, ev []Event) {
	ev = e.Tick(now)
	if len(m.Bytes) == 0 || len(m.Bytes) > MaxMessage || len(m.CID) != 0 && len(m.CID) != cidLen {
		return nil, append(ev, EventDropped{Err: alert(AlertRejected, "size of the message or its connection ID")})
	}
	var more []Event
	if len(m.CID) == 0 {
		out, more = e.unaddressed(m.Bytes, now)
	} else {
		out, more = e.addressed(cid(m.CID), m.Bytes, now)
	}
	return out, append(ev, more...)
}

// unaddressed takes message_1, and the notice that a session is not known.
func (e *Endpoint) unaddressed(msg []byte, now time.Time) ([]Message, []Event) {
	if msg[0] == 0 { // METHOD 0; an error code is never 0
		return e.message1(msg, now)
	}
	m, err := edhoc.ParseError(msg)
	if err != nil || Alert(m.Code) != AlertUnknownSession {
		return nil, []Event{EventDropped{Err: alert(AlertRejected, "neither a message_1 nor a notice")}}
	}
	return e.unknownSession(m)
}

func (e *Endpoint) addressed(id cid, msg []byte, now time.Time) ([]Message, []Event) {
	major := msg[0] >> 5
	s := e.byCID[id]
	if s == nil {
		if major == 4 {
			return e.forgotten(msg)
		}
		return nil, nil
	}
	if s.answered != nil && sha256.Sum256(msg) == s.answeredIn {
		return s.answered, nil
	}
	switch {
	case major <= 1:
		return e.peerError(s, msg, now)
	case major == 2 && s.state == waitMessage2:
		return e.message2(s, msg, now)
	case major == 2 && s.state == waitMessage3:
		return e.message3(s, msg, now)
	case major == 2 && s.state == waitMessage4:
		return e.message4(s, msg, now)
	case major == 4 && s.state == established:
		return e.app(s, msg, now)
	}
	return nil, nil // late, early or not ours
}

// Resend returns the last messages sent in this exchange or session, for a
// host that has no answer to them: the same bytes.
func (e *Endpoint) Resend(h Handle) ([]Message, error) {
	s := e.byHandle[h]
	if s == nil {
		return nil, ErrHandle
	}
	return s.sent, nil
}

// Close ends an exchange or session and forgets its keys. The peer is not told.
func (e *Endpoint) Close(h Handle) {
	if s := e.byHandle[h]; s != nil {
		e.end(s)
	}
}

// EpochAdvanced ends every session and forgets every certificate: the
// revocation state moved on. Exchanges go on; their peers are verified again.
func (e *Endpoint) EpochAdvanced() {
	for _, s := range e.ordered() {
		if s.state == established {
			e.end(s)
		}
	}
	e.known = newPeers(e.cfg.MaxPeers)
}

// Tick ends what is past its time. Receive and Open call it; a host that waits
// for an answer calls it when its own timer fires.
func (e *Endpoint) Tick(now time.Time) (ev []Event) {
	if len(e.byHandle) == 0 || now.Before(e.due) {
		return nil
	}
	e.due = time.Time{}
	for _, s := range e.ordered() {
		if now.Before(s.deadline) {
			e.dueBy(s.deadline)
			continue
		}
		e.end(s)
		if s.state == waitMessage2 || s.state == waitMessage4 || s.state == waitReply {
			ev = append(ev, EventFailed{Handle: s.handle, Alert: AlertExpired, Err: alert(AlertExpired, "no answer in time")})
		}
	}
	return ev
}

func (e *Endpoint) dueBy(t time.Time) {
	if e.due.IsZero() || t.Before(e.due) {
		e.due = t
	}
}

// ordered lists sessions by handle, so that nothing depends on map order.
func (e *Endpoint) ordered() []*session {
	all := make([]*session, 0, len(e.byHandle))
	for _, s := range e.byHandle {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.handle, b.handle) })
	return all
}

// newCID draws a connection ID that is not in use.
func (e *Endpoint) newCID() (id cid, err error) {
	for range 8 {
		if _, err := io.ReadFull(e.cfg.Rand, id[:]); err != nil {
			return id, fmt.Errorf("draw connection ID: %w", err)
		}
		if e.byCID[id] == nil {
			return id, nil
		}
	}
	return id, errors.New("sltp: randomness repeats itself")
}

// identity is how the own certificate is named: by hash when the peer holds it.
func (e *Endpoint) identity(byHash bool) edhoc.Identity {
	id := edhoc.Identity{Signer: e.cfg.Signer, ID: edhoc.X5Chain(e.cfg.Chain), Cred: edhoc.CertCred(e.cfg.Chain[0])}
	if byHash {
		id.ID = edhoc.X5T(e.cfg.Chain[0])
	}
	return id
}

// holdsOurs reports whether a hash is that of the own leaf.
func (e *Endpoint) holdsOurs(x5t []byte) bool { return bytes.Equal(x5t, e.x5t[:]) }
