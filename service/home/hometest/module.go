// Package hometest is the test kit of service/home: a stand-in for the trusted
// module that really re-encrypts packed content for the link, so that the host
// side, the HTTP side and a browser can be tested without the module's core.
//
// It is for tests only. Its rules are what a test sets, its memberships are not
// signed by a real manager, and it keeps nothing.
package hometest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// Module stands in for *trem.Client. Set the exported fields before use; the
// functions may be nil.
type Module struct {
	Keys     map[ident.Key]cenc.ContentKey // content keys
	State    trem.Status
	Decide   func(trem.Ask) license.Decision // default: allow
	OnOpen   func(trem.LicenseRequest) (trem.Opened, error)
	OnResend func(ident.Device) (trem.Opened, error)
	OnAdmit  func(trem.Candidate) (trem.Admission, error)

	OnPost     func([]byte) (trem.Handed, error)
	OnHandOver func(trem.HandOver) (trem.Handed, error)
	OnExport   func(trem.Export) (trem.Exported, error)
	OnProtect  func() error    // before a license is issued
	Unheard    func() error    // after a license of an own film was issued or destroyed: an error takes the reply's place
	Pending    trem.Handed     // what Letters gives; guarded by Lock
	Moving     []trem.Transfer // guarded by Lock

	OnLog  func(want [][32]byte) (trem.Log, []byte, error)
	OnHeal func(segments [][]byte) (trem.Healed, error)
	Seen   []trem.LogSeen // what Kept lists; guarded by Lock

	delivery *ecdsa.PrivateKey // of State.Delivery

	mu       sync.Mutex
	sessions map[uint64]*session
	next     uint64
	shared   []byte         // what Buffer gave
	Held     []trem.Held    // guarded by Lock
	Learned  []trem.Learned // guarded by Lock
	Ended    []uint64       // guarded by Lock
	Removed  []ident.Device // guarded by Lock
	Roll     []trem.Member  // guarded by Lock
	Slots    []trem.Slot    // what Places lists; guarded by Lock

	OnKeepPlace func(trem.PlaceAsk) (trem.PlaceKept, error)
}

type session struct {
	ask    trem.Ask
	tracks []*content.Init
	link   map[ident.Key]cenc.ContentKey
}

// New returns a module with a certificate of its own and the keys of one title.
func New(tb testing.TB, keys map[ident.Key]cenc.ContentKey) *Module {
	tb.Helper()
	leaf := Certificate(tb, "home")
	cert, err := x509.ParseCertificate(leaf)
	if err != nil {
		tb.Fatal(err)
	}
	certificate, key := Keyed(tb, "delivery")
	return &Module{
		Keys: keys, sessions: map[uint64]*session{}, delivery: key,
		State: trem.Status{Device: ident.DeviceOf(cert.RawSubjectPublicKeyInfo), Role: "home server", Leaf: leaf, Delivery: certificate, Level: 1, Domain: ident.Domain{1}, Clock: trem.ClockStatus{Quality: "SECURE"}},
	}
}

// Certificate makes a self-signed certificate of a fresh key, DER.
func Certificate(tb testing.TB, name string) []byte {
	tb.Helper()
	leaf, _ := Keyed(tb, name)
	return leaf
}

// Keyed is Certificate for who needs the key, too.
func Keyed(tb testing.TB, name string) (leaf []byte, key *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return der, key
}

// Who is the introduction of the device with this certificate and key to a relay.
func Who(leaf []byte, key *ecdsa.PrivateKey, self, relay ident.Device) *lrp.Introduction {
	return &lrp.Introduction{
		Self: lrp.Addr(self), Relay: lrp.Addr(relay), Hello: lrp.DefaultHello("http"),
		Sign: func(_ context.Context, link lrp.LinkID, to lrp.Addr, hello [32]byte) (lrp.Proof, error) {
			s, err := pki.SignLink(key, leaf, pki.LinkStatement{Link: link, Relay: ident.Device(to), Hello: hello})
			return lrp.Proof{Leaf: leaf, Statement: s}, err
		},
	}
}

// Lock guards the fields that say so, for a test that reads them.
func (m *Module) Lock() { m.mu.Lock() }

// Unlock ends Lock.
func (m *Module) Unlock() { m.mu.Unlock() }

// Status returns State.
func (m *Module) Status(context.Context) (trem.Status, error) { return m.State, nil }

// Open calls OnOpen.
func (m *Module) Open(_ context.Context, r trem.LicenseRequest) (trem.Opened, error) {
	if m.OnOpen == nil {
		return trem.Opened{}, &trem.Error{Code: trem.CodeState, Text: "no exchange in this test"}
	}
	return m.OnOpen(r)
}

// Resend calls OnResend; by default nothing is open.
func (m *Module) Resend(_ context.Context, peer ident.Device) (trem.Opened, error) {
	if m.OnResend == nil {
		return trem.Opened{}, nil
	}
	return m.OnResend(peer)
}

// Receive echoes a message, so that a relay test sees both directions.
func (m *Module) Receive(_ context.Context, msg trem.SLTPMessage) (trem.Received, error) {
	return trem.Received{Messages: []trem.SLTPMessage{{Bytes: append([]byte("echo "), msg.Bytes...)}}}, nil
}

// Licenses returns Held.
func (m *Module) Licenses(context.Context) ([]trem.Held, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Held, nil
}

// Evaluate asks Decide.
func (m *Module) Evaluate(_ context.Context, a trem.Ask) (license.Decision, error) {
	if m.Decide == nil {
		return license.Decision{Allow: true, Action: permission.Play}, nil
	}
	d := m.Decide(a)
	d.Action = a.Action
	return d, nil
}

// Begin opens a session with fresh session keys for all keys of the module.
func (m *Module) Begin(ctx context.Context, a trem.Ask) (trem.Session, error) {
	d, _ := m.Evaluate(ctx, a) //nolint:errcheck // never fails
	if !d.Allow {
		return trem.Session{}, &trem.RefusalError{Decision: d}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	s := &session{ask: a, link: map[ident.Key]cenc.ContentKey{}}
	out := trem.Session{Handle: m.next, Decision: d}
	for kid := range m.Keys {
		s.link[kid] = cenc.GenerateKey()
		out.KIDs = append(out.KIDs, kid)
	}
	m.sessions[m.next] = s
	return out, nil
}

func (m *Module) session(n uint64) (*session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sessions[n]; s != nil {
		return s, nil
	}
	return nil, &trem.Error{Code: trem.CodeUnknown, Text: "no such session"}
}

// Track parses an initialization segment and returns it as it is.
func (m *Module) Track(_ context.Context, n uint64, segment []byte) (uint64, []byte, error) {
	s, err := m.session(n)
	if err != nil {
		return 0, nil, err
	}
	in, err := content.ParseInit(segment)
	if err != nil {
		return 0, nil, &trem.Error{Code: trem.CodeRejected, Text: err.Error()}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.tracks = append(s.tracks, in)
	return uint64(len(s.tracks) - 1), segment, nil
}

// Decrypt re-encrypts a segment from the content key to the session key, when
// Decide still allows it.
func (m *Module) Decrypt(ctx context.Context, n, track uint64, segment []byte) ([]byte, error) {
	return segment, m.reencrypt(ctx, n, track, segment)
}

// Buffer makes memory for DecryptBuffer.
func (m *Module) Buffer(_ context.Context, size int) ([]byte, error) {
	m.shared = make([]byte, size)
	return m.shared, nil
}

// DecryptBuffer is Decrypt for a segment that stands in the buffer.
func (m *Module) DecryptBuffer(ctx context.Context, n, track uint64, at, size int) error {
	return m.reencrypt(ctx, n, track, m.shared[at:][:size])
}

func (m *Module) reencrypt(ctx context.Context, n, track uint64, segment []byte) error {
	s, err := m.session(n)
	if err != nil {
		return err
	}
	if d, _ := m.Evaluate(ctx, s.ask); !d.Allow { //nolint:errcheck // never fails
		return &trem.RefusalError{Decision: d}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := s.tracks[track].Fragment(segment)
	if err != nil {
		return &trem.Error{Code: trem.CodeRejected, Text: err.Error()}
	}
	return f.Reencrypt(from(m.Keys), from(s.link))
}

func from(keys map[ident.Key]cenc.ContentKey) content.Keys {
	return func(kid ident.Key) (cenc.ContentKey, error) {
		k, ok := keys[kid]
		if !ok {
			return k, fmt.Errorf("no key %v", kid)
		}
		return k, nil
	}
}

// LinkKeys returns the session's keys.
func (m *Module) LinkKeys(_ context.Context, n uint64) ([]trem.LinkKey, error) {
	s, err := m.session(n)
	if err != nil {
		return nil, err
	}
	var out []trem.LinkKey
	for kid, key := range s.link {
		b, err := key.Reveal()
		if err != nil {
			return nil, err
		}
		out = append(out, trem.LinkKey{KID: kid, Key: b[:]})
	}
	return out, nil
}

// End closes a session.
func (m *Module) End(_ context.Context, n uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, n)
	m.Ended = append(m.Ended, n)
	return nil
}

// Admit calls OnAdmit; by default everybody is admitted by this module.
func (m *Module) Admit(_ context.Context, c trem.Candidate) (trem.Admission, error) {
	if m.OnAdmit != nil {
		return m.OnAdmit(c)
	}
	return trem.Admission{Membership: []byte("membership"), Manager: [][]byte{m.State.Leaf}}, nil
}

// Members returns Roll.
func (m *Module) Members(context.Context) ([]trem.Member, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Roll, nil
}

// Remove notes the device.
func (m *Module) Remove(_ context.Context, d ident.Device) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Removed = append(m.Removed, d)
	return nil
}

// Pairwise returns an ID that differs by issuer.
func (m *Module) Pairwise(_ context.Context, i ident.Issuer) (d ident.Domain, err error) {
	copy(d[:], i)
	return d, nil
}

// Nonce returns 16 bytes.
func (m *Module) Nonce(context.Context) ([]byte, error) { return make([]byte, 16), nil }

// Learn notes what it is shown.
func (m *Module) Learn(_ context.Context, l trem.Learned) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Learned = append(m.Learned, l)
	return nil
}
