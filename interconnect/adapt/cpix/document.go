package cpix

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license/ident"
)

// Version is what Write says in CPIX@version. Source: CPIX 2.4.
const Version = "2.4"

// Document is a CPIX document as far as Lares uses it.
type Document struct {
	ContentID, Name, Version string
	Deliveries               []Delivery
	Keys                     []Key
	Systems                  []System
	Periods                  []Period
	Rules                    []Rule
}

// Key is one content key. A document that asks for keys has neither a value nor
// a wrapped one.
type Key struct {
	KID     ident.Key
	Scheme  cenc.Scheme // 0 = the document does not say
	IV      []byte      // explicitIV, 16 bytes; nil = none
	Wrapped *Wrapped
	Value   cenc.ContentKey // in the clear in the document, or opened by Open
}

// System is DRM signaling for one key. Its data are an operator's own bytes; a
// field that is nil stands not in the document, an empty one stands there empty,
// which asks for it.
type System struct {
	System                  cenc.SystemID
	KID                     ident.Key
	PSSH, ContentProtection []byte
	HLSMedia, HLSMaster     []byte
	SmoothStreaming         []byte
}

// Period is a crypto period.
type Period struct {
	ID         string
	Index      string // of the period, a number; "" = none
	Start, End string // xsd:dateTime; "" = none
}

// Rule says which tracks a key is for.
type Rule struct {
	KID       ident.Key
	TrackType string // intendedTrackType; "" = none
	Periods   []string
	Labels    []string
	Video     []VideoFilter
	Audio     []AudioFilter
}

// VideoFilter limits pictures; 0 and nil are no limit, all limits inclusive
// except MinFPS.
type VideoFilter struct {
	MinPixels, MaxPixels, MinFPS, MaxFPS uint64
	HDR, WCG                             *bool
}

// AudioFilter limits channels; 0 is no limit.
type AudioFilter struct{ MinChannels, MaxChannels uint64 }

// Trust says who must have signed what is read. The zero value reads documents
// without signatures only.
type Trust struct {
	Signers []*x509.Certificate // whose signatures count, by the bytes of their certificates; none: the document is not to be signed
	Now     time.Time           // required where there are signers
}

// Parse reads a document. With signers, every list that it reads, and the
// attributes of the root, must be covered by a signature of one of them, and
// each signature in the document must verify; without, a document that has a
// signature is an error, because nobody here can check it. It fails with
// adapt.ErrDocument or ErrSignature.
func Parse(data []byte, trust Trust) (*Document, error) {
	root, err := readXML(data)
	if err != nil {
		return nil, err
	}
	if !root.is(nsCPIX, "CPIX") {
		return nil, fmt.Errorf("%w: the root is not a CPIX element", adapt.ErrDocument)
	}
	covered, err := verifySignatures(root, trust.Signers, trust.Now)
	if err != nil {
		return nil, err
	}
	p := &parser{root: root, doc: &Document{}}
	if len(trust.Signers) > 0 {
		p.covered = covered
		if len(covered) == 0 {
			return nil, fmt.Errorf("%w: no signature", ErrSignature)
		}
	}
	if err := p.document(); err != nil {
		return nil, err
	}
	return p.doc, p.doc.check()
}

// check refuses documents that refer to what is not there.
func (d *Document) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", adapt.ErrDocument, what) }
	kids := map[ident.Key]bool{}
	for _, k := range d.Keys {
		if kids[k.KID] {
			return bad("a key stands twice")
		}
		if kids[k.KID] = true; k.Wrapped != nil && len(d.Deliveries) == 0 {
			return bad("a wrapped key without a recipient")
		}
	}
	periods := map[string]bool{}
	for _, p := range d.Periods {
		periods[p.ID] = true
	}
	for _, r := range d.Rules {
		if !kids[r.KID] {
			return bad("a usage rule for a key that is not there")
		}
		if slices.ContainsFunc(r.Periods, func(id string) bool { return !periods[id] }) {
			return bad("a usage rule for a period that is not there")
		}
	}
	for i, s := range d.Systems {
		if !kids[s.KID] {
			return bad("signaling for a key that is not there")
		}
		if slices.ContainsFunc(d.Systems[:i], func(t System) bool { return t.KID == s.KID && t.System == s.System }) {
			return bad("signaling for a key and a system stands twice")
		}
	}
	return nil
}

// Open unwraps every wrapped key of the document for the recipient, whose
// certificate stands in it and whose private key this is. It fails with ErrKey,
// and then has opened none.
func (d *Document) Open(cert *x509.Certificate, key crypto.Decrypter) error {
	i := slices.IndexFunc(d.Deliveries, func(x Delivery) bool { return slices.Equal(x.Certificate, cert.Raw) })
	if i < 0 {
		return fmt.Errorf("%w: it is for other recipients", ErrKey)
	}
	u, err := newUnwrapper(&d.Deliveries[i], key)
	if err != nil {
		return err
	}
	defer u.clear()
	opened := make([]cenc.ContentKey, len(d.Keys))
	for n := range d.Keys {
		if d.Keys[n].Wrapped == nil {
			continue
		}
		if opened[n], err = u.open(d.Keys[n].Wrapped); err != nil {
			for _, k := range opened[:n] {
				k.Clear()
			}
			return err
		}
	}
	for n := range d.Keys {
		if d.Keys[n].Wrapped != nil {
			d.Keys[n].Value = opened[n]
		}
	}
	return nil
}

// Clear overwrites every key value that the document holds.
func (d *Document) Clear() {
	for i := range d.Keys {
		d.Keys[i].Value.Clear()
	}
}
