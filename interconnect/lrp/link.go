package lrp

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

// Limits of links. Source: local, docs/spec/lrp.md section 8.
const (
	// MaxLinks is how many proven links are remembered.
	MaxLinks = 1024
	// MaxLinksOf is how many links one address has proven itself on.
	MaxLinksOf = 16
	// MaxSources is how many addresses prove themselves on one link.
	MaxSources = 8
	// ProveWithin is how long a link's name may be used for a first proof.
	ProveWithin = 5 * time.Minute
	// LinkLife is how long a proof holds; then the source proves itself again.
	LinkLife = time.Hour

	maxProof = 3072 // bytes of a proof: it fits into a HELLO
)

// ErrProof is returned for a proof that does not hold.
var ErrProof = errors.New("lrp: the sender does not prove its address")

// LinkID names a link between two LRMs. The accepting one makes it, from the time,
// random bytes and a tag of its own; who knows it can send on the link.
type LinkID [32]byte

// String is a short form for logs: the ID itself is a secret of both ends.
func (id LinkID) String() string {
	sum := sha256.Sum256(id[:])
	return fmt.Sprintf("link %x", sum[:4])
}

// Header is the ID as bindings without connections carry it.
func (id LinkID) Header() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseLinkID reads what Header wrote.
func ParseLinkID(s string) (id LinkID, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%w: not a link", ErrProof)
	}
	return LinkID(b), nil
}

// Proof is the value of a HELLO that proves its sender: a certificate, of which
// only the key counts, and a pki.LinkStatement signed with that key.
type Proof struct {
	_         struct{} `cbor:",toarray"`
	Leaf      []byte
	Statement []byte
}

// Encode returns the proof's one encoding.
func (p Proof) Encode() ([]byte, error) { return wire.Marshal(p) }

// verify checks that the proof is for this link, relay and HELLO, and returns
// whose it is.
func verify(proof []byte, want pki.LinkStatement) (Addr, error) {
	var p Proof
	if err := wire.Unmarshal(proof, &p, wire.Limit{Bytes: maxProof, Items: 2, Depth: 1}); err != nil {
		return Addr{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	src, err := pki.VerifyLink(p.Leaf, p.Statement, want)
	if err != nil {
		return Addr{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return Addr(src), nil
}

// Links remembers which addresses have proven themselves on which links of one
// LRM. A link costs nothing until an address that the LRM knows has proven itself
// on it. It is not safe for concurrent use.
type Links struct {
	self   Addr
	secret [32]byte
	byID   map[LinkID]*list.Element // of *link
	order  *list.List               // oldest first
}

type link struct {
	id      LinkID
	sources map[Addr]int64 // until when, Unix ms
}

// NewLinks returns the links of the LRM with this address. Its secret is random:
// after a restart no older link holds.
func NewLinks(self Addr) *Links {
	l := &Links{self: self, byID: map[LinkID]*list.Element{}, order: list.New()}
	rand.Read(l.secret[:]) // never returns an error
	return l
}

// Open names a new link.
func (l *Links) Open(now time.Time) (id LinkID) {
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli()))
	rand.Read(id[8:16]) // never returns an error
	l.tag(&id)
	return id
}

func (l *Links) tag(id *LinkID) {
	m := hmac.New(sha256.New, l.secret[:])
	m.Write(id[:16])
	copy(id[16:], m.Sum(nil))
}

// opened reports whether this LRM has named the link, and not long ago.
func (l *Links) opened(id LinkID, now time.Time) bool {
	again := id
	l.tag(&again)
	age := now.UnixMilli() - int64(binary.BigEndian.Uint64(id[:8])) //nolint:gosec // the tag says who wrote it
	return subtle.ConstantTimeCompare(again[16:], id[16:]) == 1 && age >= 0 && age <= ProveWithin.Milliseconds()
}

// Prove takes the proof in a HELLO's body that came on a link. known says whether
// the LRM serves that address at all; a stranger is refused and costs no memory.
func (l *Links) Prove(id LinkID, body []byte, now time.Time, known func(Addr) bool) (Addr, error) {
	el, held := l.byID[id]
	if !held && !l.opened(id, now) {
		return Addr{}, fmt.Errorf("%w: the link is not, or no longer, open", ErrProof)
	}
	src, err := SignedBy(body, id, l.self)
	if err != nil {
		return Addr{}, err
	}
	if !known(src) {
		return Addr{}, fmt.Errorf("%w: nobody here knows it", ErrProof)
	}
	if !held {
		l.makeRoom(src, now)
		el = l.order.PushBack(&link{id: id, sources: map[Addr]int64{}})
		l.byID[id] = el
	}
	k := el.Value.(*link) //nolint:forcetypeassert,errcheck // the list holds links only
	if _, again := k.sources[src]; !again && len(k.sources) >= MaxSources {
		return Addr{}, fmt.Errorf("%w: %d others are on this link", ErrProof, MaxSources)
	}
	k.sources[src] = now.Add(LinkLife).UnixMilli()
	return src, nil
}

// Proved reports whether the address has proven itself on the link and is still
// taken at its word.
func (l *Links) Proved(id LinkID, src Addr, now time.Time) bool {
	el, ok := l.byID[id]
	if !ok {
		return false
	}
	until, ok := el.Value.(*link).sources[src] //nolint:forcetypeassert,errcheck // the list holds links only
	return ok && now.UnixMilli() < until
}

// Sources are the addresses that are proven on a link, in order.
func (l *Links) Sources(id LinkID, now time.Time) (out []Addr) {
	el, ok := l.byID[id]
	if !ok {
		return nil
	}
	for src, until := range el.Value.(*link).sources { //nolint:forcetypeassert,errcheck // the list holds links only
		if now.UnixMilli() < until {
			out = append(out, src)
		}
	}
	slices.SortFunc(out, func(a, b Addr) int { return slices.Compare(a[:], b[:]) })
	return out
}

// Forget ends what an address has proven, as when it is put out of the house.
func (l *Links) Forget(src Addr) {
	for el := l.order.Front(); el != nil; {
		next := el.Next()
		k := el.Value.(*link) //nolint:forcetypeassert,errcheck // the list holds links only
		if delete(k.sources, src); len(k.sources) == 0 {
			l.drop(el)
		}
		el = next
	}
}

// Close ends a link.
func (l *Links) Close(id LinkID) {
	if el, ok := l.byID[id]; ok {
		l.drop(el)
	}
}

// makeRoom ends what has lapsed, and the oldest link of src, or of all, when a
// limit is reached: one address cannot put another's links out.
func (l *Links) makeRoom(src Addr, now time.Time) {
	var own []*list.Element
	for el := l.order.Front(); el != nil; {
		next := el.Next()
		k := el.Value.(*link) //nolint:forcetypeassert,errcheck // the list holds links only
		for s, until := range k.sources {
			if until <= now.UnixMilli() {
				delete(k.sources, s)
			}
		}
		if _, its := k.sources[src]; its {
			own = append(own, el)
		}
		if len(k.sources) == 0 {
			l.drop(el)
		}
		el = next
	}
	switch {
	case len(own) >= MaxLinksOf:
		l.drop(own[0])
	case l.order.Len() >= MaxLinks:
		l.drop(l.order.Front())
	}
}

func (l *Links) drop(el *list.Element) {
	k := l.order.Remove(el).(*link) //nolint:forcetypeassert,errcheck // the list holds links only
	delete(l.byID, k.id)
}
