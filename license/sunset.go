package license

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// The signed objects by which a service ends. Source: local, docs/spec/objects.md.
const (
	ObjectSunset     = wire.Object("sunset")            // by the notice key of the licenses
	ObjectWithdrawal = wire.Object("sunset-withdrawal") // by the same key
	ObjectStanding   = wire.Object("sunset-standing")   // by the state signer
)

// The modes of a sunset.
const (
	SunsetRebind  = 1 // the house binds the license to its new devices itself
	SunsetRelease = 2 // the house may write the ordinary file
)

// Limits of a notice. Source: local, docs/spec/sunset.md.
const (
	// NoticeAhead is how far behind the day from which it stands a notice takes effect
	// at the earliest, in ms: 30 days.
	NoticeAhead = 30 * 86400_000
	// MaxNotice bounds a signed notice, MaxStanding what the authority makes of it, in bytes.
	MaxNotice   = 4096
	MaxStanding = MaxNotice + 512
	// MaxScope is how many titles a notice names at most.
	MaxScope = 32
	// NoticeKeyLen is the length of a notice key: an uncompressed point of P-256.
	NoticeKeyLen = 65
)

// ErrNotice is returned for a notice of sunset that does not hold.
var ErrNotice = errors.New("license: the notice of sunset does not hold")

// Notice says that an issuer's service ends, for some titles or all.
type Notice struct {
	Issuer    ident.Issuer    `cbor:"1,keyasint"`
	Scope     []ident.Content `cbor:"2,keyasint"` // empty = all titles of the issuer
	Effective int64           `cbor:"3,keyasint"` // Unix ms
}

// Covers reports whether the notice is about a license.
func (n *Notice) Covers(i *Info) bool {
	return n.Issuer == i.Issuer && (len(n.Scope) == 0 || slices.Contains(n.Scope, i.Content))
}

// withdrawal takes a notice back.
type withdrawal struct {
	Issuer ident.Issuer `cbor:"1,keyasint"`
	Notice [32]byte     `cbor:"2,keyasint"` // hash of the signed notice
}

// standing is the state signer's word that a notice stands since then.
type standing struct {
	Notice []byte `cbor:"1,keyasint"` // signed
	Since  int64  `cbor:"2,keyasint"` // Unix ms
}

func noticeLimit(n int) wire.Limit { return wire.Limit{Bytes: n, Items: MaxScope + 8, Depth: 4} }

// NoticeKey is the form of a public key in a license and in x5t: who has no
// certificate is named by the key itself.
func NoticeKey(pub crypto.PublicKey) ([]byte, error) {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || k.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: its key is not of P-256", ErrNotice)
	}
	return k.Bytes()
}

// SignNotice signs a notice with the notice key.
func SignNotice(key crypto.Signer, n Notice) ([]byte, error) {
	if n.Scope == nil {
		n.Scope = []ident.Content{}
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	return signWithPoint(key, ObjectSunset, n)
}

func signWithPoint(key crypto.Signer, obj wire.Object, body any) ([]byte, error) {
	point, err := NoticeKey(key.Public())
	if err != nil {
		return nil, err
	}
	payload, err := wire.Marshal(body)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(key, point, obj, payload)
}

func (n *Notice) check() error {
	switch {
	case n.Issuer == "" || n.Effective <= 0 || n.Effective > maxTime:
		return fmt.Errorf("%w: issuer or time", ErrNotice)
	case len(n.Scope) > MaxScope || slices.Contains(n.Scope, ""):
		return fmt.Errorf("%w: at most %d titles, each with an ID", ErrNotice, MaxScope)
	}
	return nil
}

// SignedNotice is a notice that was read. Whoever signed it is not known before Verify.
type SignedNotice struct {
	Notice
	Hash [32]byte
	sig  *wire.Sign1
}

// ParseNotice reads a signed notice.
func ParseNotice(data []byte) (*SignedNotice, error) {
	s, err := wire.ParseSign1(data, ObjectSunset, noticeLimit(MaxNotice))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotice, err)
	}
	out := &SignedNotice{Hash: s.Hash(), sig: s}
	if err := wire.Unmarshal(s.Payload, &out.Notice, noticeLimit(MaxNotice)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotice, err)
	}
	return out, out.check()
}

// Verify checks that the holder of a notice key signed it.
func (n *SignedNotice) Verify(key []byte) error { return verifyPoint(n.sig, key) }

func verifyPoint(s *wire.Sign1, key []byte) error {
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key)
	if err != nil || s.X5T != wire.X5T(key) {
		return fmt.Errorf("%w: it is signed with another key", ErrNotice)
	}
	if err := s.Verify(pub); err != nil {
		return fmt.Errorf("%w: %w", ErrNotice, err)
	}
	return nil
}

// SignWithdrawal takes a signed notice back, with the same key.
func SignWithdrawal(key crypto.Signer, notice []byte) ([]byte, error) {
	n, err := ParseNotice(notice)
	if err != nil {
		return nil, err
	}
	return signWithPoint(key, ObjectWithdrawal, withdrawal{Issuer: n.Issuer, Notice: n.Hash})
}

// parseWithdrawal reads a signed withdrawal, unchecked.
func parseWithdrawal(data []byte) (w withdrawal, s *wire.Sign1, err error) {
	if s, err = wire.ParseSign1(data, ObjectWithdrawal, noticeLimit(MaxNotice)); err == nil {
		err = wire.Unmarshal(s.Payload, &w, noticeLimit(MaxNotice))
	}
	if err != nil {
		return w, nil, fmt.Errorf("%w: withdrawal: %w", ErrNotice, err)
	}
	return w, s, nil
}

// Withdrawn checks that a withdrawal is of the notice, and by the key that signed it.
func (n *SignedNotice) Withdrawn(data, key []byte) error {
	w, s, err := parseWithdrawal(data)
	if err != nil {
		return err
	}
	if w.Issuer != n.Issuer || w.Notice != n.Hash {
		return fmt.Errorf("%w: the withdrawal is of another notice", ErrNotice)
	}
	return errors.Join(verifyPoint(s, key), n.Verify(key))
}

// SignStanding says as the state signer since when a notice stands.
func SignStanding(signer crypto.Signer, cert, notice []byte, since int64) ([]byte, error) {
	payload, err := wire.Marshal(standing{Notice: notice, Since: since})
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, cert, ObjectStanding, payload)
}

// ParseStanding reads what the state signer says with the key, and the notice in it.
func ParseStanding(data []byte, signer crypto.PublicKey) (n *SignedNotice, since int64, err error) {
	s, err := wire.ParseSign1(data, ObjectStanding, noticeLimit(MaxStanding))
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrNotice, err)
	}
	if err := s.Verify(signer); err != nil {
		return nil, 0, fmt.Errorf("%w: the authority's word: %w", ErrNotice, err)
	}
	var st standing
	if err := wire.Unmarshal(s.Payload, &st, noticeLimit(MaxStanding)); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrNotice, err)
	}
	if n, err = ParseNotice(st.Notice); err != nil {
		return nil, 0, err
	}
	if st.Since <= 0 || st.Since > maxTime || n.Effective < plus(st.Since, NoticeAhead) {
		return nil, 0, fmt.Errorf("%w: it takes effect less than 30 days behind the day from which it stands", ErrNotice)
	}
	return n, st.Since, nil
}

// NoticeIn is the signed notice in what the state signer says, unchecked.
func NoticeIn(data []byte) ([]byte, error) {
	s, err := wire.ParseSign1(data, ObjectStanding, noticeLimit(MaxStanding))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotice, err)
	}
	var st standing
	if err := wire.Unmarshal(s.Payload, &st, noticeLimit(MaxStanding)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotice, err)
	}
	return st.Notice, nil
}

// SunsetEvidence is what is known of an issuer, in authenticated time: of what an
// authority has signed, and of nothing that a machine's owner can set.
type SunsetEvidence struct {
	Time     int64         // newest signed statement of the time, Unix ms; 0 = none
	Head     int64         // when the newest revocation state was issued, Unix ms; 0 = none
	Listed   bool          // the state has a leaf of the issuer
	LastSeen int64         // of the leaf, Unix ms
	Flag     bool          // of the leaf: a notice stands
	Notice   *SignedNotice // that stands by ParseStanding; nil = none
	Since    int64         // since when it stands, Unix ms
}

// SunsetCause is why a sunset has come.
type SunsetCause string

// The causes.
const (
	CauseFreeAfter SunsetCause = "FREE_AFTER"
	CauseNotice    SunsetCause = "NOTICE"
	CauseSilence   SunsetCause = "SILENCE"  // of the issuer
	CauseNobody    SunsetCause = "NO_STATE" // of the authority itself
)

// SunsetBy reports whether the sunset of a root license is proven, and by what.
func (i *Info) SunsetBy(e SunsetEvidence) (SunsetCause, bool) {
	s := i.Sunset
	switch {
	case s == nil:
	case s.FreeAfter != 0 && e.Time >= s.FreeAfter:
		return CauseFreeAfter, true
	case s.stands(i, e) && e.Head >= e.Notice.Effective:
		return CauseNotice, true
	case e.Head != 0 && e.Listed && e.Head-e.LastSeen >= s.SilenceMS:
		return CauseSilence, true
	case e.Head != 0 && e.Time-e.Head >= plus(s.SilenceMS, s.SilenceMS):
		return CauseNobody, true
	}
	return "", false
}

// SunsetFrom is when the sunset comes by what is known, Unix ms; 0 = not in sight.
func (i *Info) SunsetFrom(e SunsetEvidence) int64 {
	s := i.Sunset
	if s == nil {
		return 0
	}
	at := s.FreeAfter
	if s.stands(i, e) {
		at = earliest(at, e.Notice.Effective)
	}
	return at
}

// stands: there is a notice about the license, by its key, and the leaf says so.
// While one stands the leaf's last_seen is when it began to: so the leaf speaks of
// this notice, and of none that was withdrawn before.
func (s *Sunset) stands(i *Info, e SunsetEvidence) bool {
	return e.Listed && e.Flag && e.Notice != nil && e.LastSeen == e.Since && e.Notice.Covers(i) && e.Notice.Verify(s.NoticeKey) == nil
}

// CheckRebind judges a re-binding by the license it is of: the root license of a
// sunset of mode 1, without anything that is counted; the child for one device,
// which hands nothing on. That the sunset has come is for who takes it.
func CheckRebind(child, parent *License) error {
	p, c := &parent.info, &child.info
	switch {
	case parent.Derived() || p.Sunset == nil || p.Sunset.Mode != SunsetRebind:
		return fmt.Errorf("%w: the license it is of permits no re-binding", ErrNotNarrower)
	case !parent.rebindable():
		return fmt.Errorf("%w: what is counted, or runs from the first use, is not re-bound", ErrNotNarrower)
	case c.Subject.Kind != SubjectDevice:
		return fmt.Errorf("%w: a re-binding is for one device", ErrNotNarrower)
	}
	for _, q := range []permission.Permission{permission.Copy, permission.Move, permission.Transfer, permission.Lend, permission.Export} {
		if child.units.Grants(q) {
			return fmt.Errorf("%w: %v in a re-binding", ErrNotNarrower, q)
		}
	}
	return nil
}

// rebindable: there is no state of it that two devices could not share.
func (l *License) rebindable() bool {
	for i := range l.units.Usage {
		if x := &l.units.Usage[i]; x.PlayCount != 0 || x.Accumulated != 0 || x.Interval != 0 {
			return false
		}
	}
	return true
}

func (l *License) rebind(child *Info, d *Derivation) (*permission.Units, error) {
	if l.Derived() || l.info.Sunset == nil || l.info.Sunset.Mode != SunsetRebind || !l.rebindable() {
		return nil, fmt.Errorf("%w: it permits no re-binding", ErrNoRight)
	}
	u := l.units
	child.Subject = DeviceSubject(d.Device)
	cu := bare(u)
	return cu, l.shares(cu, u.Usage, d, true)
}
