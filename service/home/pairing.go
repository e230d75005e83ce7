package home

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lares-drm/lares/license/ident"
)

// Limits of pairing. Source: local, docs/spec/pairing.md.
const (
	// PairingLife is how long a device may wait for the owner.
	PairingLife = 10 * time.Minute
	// PairingTries is how many wrong codes end a pairing.
	PairingTries = 5
	// PairingKept is how long an answered pairing is kept for the device to fetch.
	PairingKept = 24 * time.Hour

	maxPairings  = 8    // that wait for the owner or their nonce
	maxName      = 64   // bytes of a device's name
	maxHardware  = 8192 // bytes
	maxChain     = 4    // certificates
	maxCert      = 8192 // bytes each
	pairingIDLen = 16   // bytes
)

// Errors of pairing.
var (
	// ErrPairing is returned for a request that is not of the layout.
	ErrPairing = errors.New("home: not a pairing request")
	// ErrTooMany is returned when too many devices wait.
	ErrTooMany = errors.New("home: too many devices are waiting")
	// ErrCode is returned for a code that no waiting device shows.
	ErrCode = errors.New("home: no device shows this code")
)

// PairingState says how far a pairing is.
type PairingState string

// The states.
const (
	PairingOpened   PairingState = "opened"   // the device's nonce is not known yet
	PairingPending  PairingState = "pending"  // waits for the owner
	PairingAllowed  PairingState = "allowed"  // the owner approved; the module has not signed yet
	PairingApproved PairingState = "approved" // Admission is there
	PairingRefused  PairingState = "refused"  // by the owner, by five wrong codes, or by the module
	PairingExpired  PairingState = "expired"
)

// Admission is the membership that a device fetches.
type Admission struct {
	Membership []byte   `json:"membership"`
	Manager    [][]byte `json:"manager"` // leaf first, DER
}

// Pairing is a device's wish to belong to the house.
type Pairing struct {
	ID        string       `json:"id"`
	Device    ident.Device `json:"device"`
	Name      string       `json:"name"`
	Chain     [][]byte     `json:"chain"`
	Delivery  []byte       `json:"delivery,omitempty"`
	Hardware  []byte       `json:"hardware,omitempty"`
	Commit    []byte       `json:"commit"`
	Nonce     []byte       `json:"nonce"`          // the home server's
	Code      string       `json:"code,omitempty"` // empty until the device's nonce is known
	State     PairingState `json:"state"`
	Tries     int          `json:"tries"` // wrong codes so far
	Expires   time.Time    `json:"expires"`
	Admission *Admission   `json:"admission,omitempty"`
	Idle      bool         `json:"idle,omitempty"` // in a full house it gets the place of the device that was not seen for the longest time
}

// PairingOffer is what a device sends first.
type PairingOffer struct {
	Chain    [][]byte `json:"chain"`              // its certificates, leaf first, DER
	Delivery []byte   `json:"delivery,omitempty"` // certificate of its delivery key, DER
	Commit   []byte   `json:"commit"`             // Commit of its nonce
	Hardware []byte   `json:"hardware,omitempty"` // machine ID; the module hashes it
	Name     string   `json:"name"`
}

// PairingOpening is the answer: the ID to ask by and the home server's half.
type PairingOpening struct {
	ID      string    `json:"id"`
	Nonce   []byte    `json:"nonce"`
	Leaf    []byte    `json:"leaf"` // the home server's certificate, DER
	Expires time.Time `json:"expires"`
}

// OpenPairing takes a device's offer. The device is only checked for form
// here; the module verifies its chain when the owner has approved.
func (h *Home) OpenPairing(ctx context.Context, o PairingOffer) (PairingOpening, error) {
	spki, err := o.check()
	if err != nil {
		return PairingOpening{}, err
	}
	st, err := h.cfg.Module.Status(ctx)
	if err != nil {
		return PairingOpening{}, fmt.Errorf("read the module's certificate: %w", err)
	}
	if len(st.Leaf) == 0 {
		return PairingOpening{}, errors.New("home: the house has no certificate yet")
	}
	var id [pairingIDLen]byte
	nonce := make([]byte, NonceSize)
	rand.Read(id[:])
	rand.Read(nonce)
	now := h.cfg.Now()
	p := &Pairing{
		ID: hex.EncodeToString(id[:]), Device: ident.DeviceOf(spki), Name: cleanName(o.Name),
		Chain: o.Chain, Delivery: o.Delivery, Hardware: o.Hardware, Commit: o.Commit, Nonce: nonce,
		State: PairingOpened, Expires: now.Add(PairingLife).UTC(),
	}
	m := h.members
	m.mu.Lock()
	defer m.mu.Unlock()
	waiting := 0
	for _, q := range m.pairings {
		if q.waits() && now.Before(q.Expires) {
			waiting++
		}
	}
	if waiting >= maxPairings {
		return PairingOpening{}, ErrTooMany
	}
	if err := m.put(p); err != nil {
		return PairingOpening{}, err
	}
	return PairingOpening{ID: p.ID, Nonce: nonce, Leaf: st.Leaf, Expires: p.Expires}, nil
}

func (o *PairingOffer) check() (spki []byte, err error) {
	if len(o.Chain) == 0 || len(o.Chain) > maxChain || len(o.Commit) != 32 || len(o.Hardware) > maxHardware || len(o.Delivery) > maxCert {
		return nil, ErrPairing
	}
	for _, c := range o.Chain {
		if len(c) > maxCert {
			return nil, ErrPairing
		}
	}
	leaf, err := x509.ParseCertificate(o.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("%w: its certificate cannot be read", ErrPairing)
	}
	return leaf.RawSubjectPublicKeyInfo, nil
}

// cleanName keeps what can be shown of a name that a stranger chose.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if n := maxName; len(s) > n {
		for !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	if s = strings.TrimSpace(s); s == "" {
		return "A device without a name"
	}
	return s
}

func (p *Pairing) waits() bool { return p.State == PairingOpened || p.State == PairingPending }

// RevealPairing takes the nonce that the device committed to. From then on the
// owner sees the device and its code.
func (h *Home) RevealPairing(ctx context.Context, id string, nonce []byte) error {
	st, err := h.cfg.Module.Status(ctx)
	if err != nil {
		return fmt.Errorf("read the module's certificate: %w", err)
	}
	m := h.members
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.find(id)
	if p == nil || !h.cfg.Now().Before(p.Expires) {
		return fmt.Errorf("pairing: %w", ErrUnknown)
	}
	if len(nonce) != NonceSize {
		return ErrPairing
	}
	commit := Commit([NonceSize]byte(nonce))
	if subtle.ConstantTimeCompare(commit[:], p.Commit) != 1 {
		return fmt.Errorf("%w: the nonce is not the one it committed to", ErrPairing)
	}
	if p.State != PairingOpened {
		return nil // a repeat
	}
	homeKey, err := keyHash(st.Leaf)
	if err != nil {
		return err
	}
	deviceKey, err := keyHash(p.Chain[0])
	if err != nil {
		return err
	}
	q := *p
	q.State = PairingPending
	q.Code = PairingFacts{deviceKey, homeKey, [NonceSize]byte(nonce), [NonceSize]byte(p.Nonce)}.Code()
	if err := m.put(&q); err != nil {
		return err
	}
	h.publish(Event{Kind: EventPairings})
	return nil
}

func keyHash(der []byte) ([32]byte, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return [32]byte{}, fmt.Errorf("read a certificate: %w", err)
	}
	return sha256.Sum256(c.RawSubjectPublicKeyInfo), nil
}

// PairingOf tells a device how far its pairing is. Only the device knows the ID.
func (h *Home) PairingOf(id string) (Pairing, error) {
	h.members.mu.Lock()
	defer h.members.mu.Unlock()
	p := h.members.find(id)
	if p == nil {
		return Pairing{}, fmt.Errorf("pairing: %w", ErrUnknown)
	}
	q := *p
	if q.waits() && !h.cfg.Now().Before(q.Expires) {
		q.State = PairingExpired
	}
	return q, nil
}

// Pending lists the devices that wait for the owner, oldest first.
func (h *Home) Pending() []Pairing {
	h.members.mu.Lock()
	defer h.members.mu.Unlock()
	var out []Pairing
	for _, p := range h.members.pairings {
		if p.State == PairingPending && h.cfg.Now().Before(p.Expires) {
			out = append(out, *p)
		}
	}
	return out
}

// Approve admits the waiting device that shows this code. With an id only that
// pairing counts. A wrong code counts against every pairing that it could have
// meant; after PairingTries they are refused.
func (h *Home) Approve(ctx context.Context, id, typed string) (Device, error) {
	return h.approve(ctx, id, typed, false)
}

// ApproveInPlace is Approve, and the owner agrees that in a full house the device that
// was not seen for the longest time, and not for 30 days, gives its place.
func (h *Home) ApproveInPlace(ctx context.Context, id, typed string) (Device, error) {
	return h.approve(ctx, id, typed, true)
}

func (h *Home) approve(ctx context.Context, id, typed string, idle bool) (Device, error) {
	m := h.members
	m.approve.Lock()
	defer m.approve.Unlock()
	p, err := h.allow(id, NormalCode(typed), idle)
	if err != nil {
		return Device{}, err
	}
	defer h.publish(Event{Kind: EventPairings})
	if err := h.admit(ctx, p); err != nil {
		return Device{}, err
	}
	return Device{ID: p.Device, Name: p.Name}, nil
}

// allow notes the owner's approval durably, before the module is asked.
func (h *Home) allow(id, code string, idle bool) (Pairing, error) {
	m := h.members
	m.mu.Lock()
	defer m.mu.Unlock()
	var tried []*Pairing
	for _, p := range m.pairings {
		if p.State != PairingPending || id != "" && p.ID != id || !h.cfg.Now().Before(p.Expires) {
			continue
		}
		if code != "" && subtle.ConstantTimeCompare([]byte(p.Code), []byte(code)) == 1 {
			q := *p
			q.State, q.Idle = PairingAllowed, idle
			return q, m.put(&q)
		}
		tried = append(tried, p)
	}
	if len(tried) == 0 && id != "" {
		return Pairing{}, fmt.Errorf("pairing: %w", ErrUnknown)
	}
	for _, p := range tried {
		q := *p
		if q.Tries++; q.Tries >= PairingTries {
			q.State = PairingRefused
		}
		if err := m.put(&q); err != nil {
			return Pairing{}, err
		}
	}
	if len(tried) > 0 {
		h.publish(Event{Kind: EventPairings})
	}
	return Pairing{}, ErrCode
}

// RefusePairing is the owner's no.
func (h *Home) RefusePairing(id string) error {
	m := h.members
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.find(id)
	if p == nil || !p.waits() {
		return fmt.Errorf("pairing: %w", ErrUnknown)
	}
	q := *p
	q.State = PairingRefused
	defer h.publish(Event{Kind: EventPairings})
	return m.put(&q)
}

// sweepPairings finishes approvals that a crash interrupted and forgets old
// pairings.
func (h *Home) sweepPairings(ctx context.Context) {
	m := h.members
	m.approve.Lock()
	defer m.approve.Unlock()
	m.mu.Lock()
	var allowed []Pairing
	for _, p := range m.pairings {
		if p.State == PairingAllowed {
			allowed = append(allowed, *p)
		}
	}
	now := h.cfg.Now()
	keep := slices.DeleteFunc(slices.Clone(m.pairings), func(p *Pairing) bool {
		return p.State != PairingAllowed && now.After(p.Expires.Add(PairingKept))
	})
	if len(keep) != len(m.pairings) && save(m.dir, pairingsFile, pairingsState{Pairings: keep}) == nil {
		m.pairings = keep
	}
	m.mu.Unlock()
	for _, p := range allowed {
		if err := h.admit(ctx, p); err == nil {
			h.publish(Event{Kind: EventPairings})
		}
	}
}
