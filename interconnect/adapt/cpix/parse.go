package cpix

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license/ident"
)

// parser reads a checked tree into a Document.
type parser struct {
	root    *node
	covered map[*node]bool // nil: nothing need be signed
	doc     *Document
}

// lists are the parts of a document, in the order of the schema.
func (p *parser) lists() []struct {
	name, item string
	read       func(*node) error
} {
	return []struct {
		name, item string
		read       func(*node) error
	}{
		{"DeliveryDataList", "DeliveryData", p.delivery},
		{"ContentKeyList", "ContentKey", p.key},
		{"DRMSystemList", "DRMSystem", p.system},
		{"ContentKeyPeriodList", "ContentKeyPeriod", p.period},
		{"ContentKeyUsageRuleList", "ContentKeyUsageRule", p.rule},
		{"UpdateHistoryItemList", "UpdateHistoryItem", func(*node) error { return nil }},
	}
}

func (p *parser) document() error {
	for _, a := range p.root.attrs {
		if a.uri == "" && (a.local == "contentId" || a.local == "name") && p.covered != nil && !p.covered[p.root] {
			return fmt.Errorf("%w: the attribute %s of the document is not signed", ErrSignature, a.local)
		}
	}
	p.doc.ContentID, p.doc.Name, p.doc.Version = p.root.attr("contentId"), p.root.attr("name"), p.root.attr("version")
	lists, at := p.lists(), 0
	for _, e := range p.root.elements() {
		if e.uri != nsCPIX {
			continue // a signature, which has been checked, or another namespace's own
		}
		for at < len(lists) && lists[at].name != e.local {
			at++
		}
		if at == len(lists) {
			return fmt.Errorf("%w: an element that is unknown, doubled or out of order", adapt.ErrDocument)
		}
		if p.covered != nil && !p.covered[p.root] && !p.covered[e] {
			return fmt.Errorf("%w: %s is not signed", ErrSignature, e.local)
		}
		for _, item := range e.elements() {
			if !item.is(nsCPIX, lists[at].item) {
				return fmt.Errorf("%w: %s holds something else", adapt.ErrDocument, e.local)
			}
			if err := lists[at].read(item); err != nil {
				return fmt.Errorf("%s: %w", lists[at].item, err)
			}
		}
		at++
	}
	return nil
}

func malformed(what string) error { return fmt.Errorf("%w: %s", adapt.ErrDocument, what) }

// algorithm reports whether an element names the algorithm, and nothing that
// changes it.
func algorithm(n *node, want string) bool {
	return n != nil && n.attr("Algorithm") == want && !hasElements(n)
}

// cipherValue reads an encrypted value of one algorithm.
func cipherValue(n *node, method string) ([]byte, error) {
	if n == nil || !algorithm(n.one(nsEnc, "EncryptionMethod"), method) {
		return nil, malformed("an encryption that is not accepted")
	}
	return base64Content(n.path([2]string{nsEnc, "CipherData"}, [2]string{nsEnc, "CipherValue"}))
}

func (p *parser) delivery(n *node) error {
	var d Delivery
	var err error
	if d.Certificate, err = base64Content(n.path([2]string{nsCPIX, "DeliveryKey"}, [2]string{nsDSig, "X509Data"}, [2]string{nsDSig, "X509Certificate"})); err != nil {
		return err
	}
	if n.one(nsCPIX, "DocumentKey") == nil && n.one(nsCPIX, "MACMethod") == nil && len(n.elements()) == 1 {
		p.doc.Deliveries = append(p.doc.Deliveries, d) // a request: wrap to this certificate
		return nil
	}
	dk := n.one(nsCPIX, "DocumentKey") // several of them, which version 2.4 permits, are not read
	if a := dk.attrOr("Algorithm", aes256CBC); a != aes256CBC {
		return malformed("a document key of another algorithm")
	}
	if d.DocumentKey, err = cipherValue(dk.path([2]string{nsCPIX, "Data"}, [2]string{nsPSKC, "Secret"}, [2]string{nsPSKC, "EncryptedValue"}), rsaOAEP); err != nil {
		return err
	}
	mac := n.one(nsCPIX, "MACMethod")
	if mac == nil || mac.attr("Algorithm") != hmacSHA512 {
		return malformed("no MAC method that is accepted")
	}
	key := mac.one(nsPSKC, "MACKey")
	if key == nil {
		key = mac.one(nsCPIX, "Key") // as documents up to version 2.2 had it
	}
	if d.MACKey, err = cipherValue(key, rsaOAEP); err != nil {
		return err
	}
	p.doc.Deliveries = append(p.doc.Deliveries, d)
	return nil
}

func (n *node) attrOr(local, absent string) string {
	if n == nil {
		return absent
	}
	if v := n.attr(local); v != "" {
		return v
	}
	return absent
}

func (p *parser) key(n *node) error {
	k := Key{}
	var err error
	if k.KID, err = uuid(n.attr("kid")); err != nil {
		return err
	}
	if s := n.attr("commonEncryptionScheme"); s != "" {
		if k.Scheme, err = cenc.ParseScheme(s); err != nil {
			return malformed("a protection scheme that is not known")
		}
	}
	if iv := n.attr("explicitIV"); iv != "" {
		if k.IV, err = base64.StdEncoding.DecodeString(iv); err != nil || len(k.IV) != cenc.BlockSize {
			return malformed("explicitIV is 16 bytes in base64")
		}
	}
	if n.attr("dependsOnKey") != "" {
		return malformed("a key hierarchy is not read here")
	}
	data := n.one(nsCPIX, "Data")
	if data == nil {
		for _, e := range n.elements() {
			if e.uri == nsCPIX && e.local != "HDCPData" {
				return malformed("a key with something else than one Data element")
			}
		}
		p.doc.Keys = append(p.doc.Keys, k)
		return nil
	}
	secret := data.one(nsPSKC, "Secret")
	plain, wrapped := secret.one(nsPSKC, "PlainValue"), secret.one(nsPSKC, "EncryptedValue")
	switch {
	case plain != nil && wrapped == nil:
		raw, err := base64Content(plain)
		if err != nil {
			return err
		}
		k.Value, err = cenc.NewContentKey(raw)
		if clear(raw); err != nil {
			return malformed("a content key is 16 bytes")
		}
	case wrapped != nil && plain == nil:
		k.Wrapped = &Wrapped{}
		if k.Wrapped.Cipher, err = cipherValue(wrapped, aes256CBC); err != nil {
			return err
		}
		if k.Wrapped.MAC, err = base64Content(secret.one(nsPSKC, "ValueMAC")); err != nil {
			return malformed("a wrapped key without a MAC")
		}
	default:
		return malformed("a key has one value, in the clear or wrapped")
	}
	p.doc.Keys = append(p.doc.Keys, k)
	return nil
}

// uuid reads a key ID as the schema has it.
func uuid(s string) (id ident.Key, err error) {
	if len(s) != 36 || id.UnmarshalText([]byte(s)) != nil || !strings.EqualFold(id.String(), s) {
		return id, malformed("a key ID is a UUID")
	}
	return id, nil
}

// optional is the decoded text of an element: nil when it is absent, empty when
// it is empty.
func optional(n *node) ([]byte, error) {
	if n == nil {
		return nil, nil
	}
	if s, ok := n.content(); ok && s == "" {
		return []byte{}, nil
	}
	return base64Content(n)
}

func (p *parser) system(n *node) error {
	kid, err := uuid(n.attr("kid"))
	if err != nil {
		return err
	}
	id, err := uuid(n.attr("systemId"))
	if err != nil {
		return err
	}
	s := System{System: cenc.SystemID(id), KID: kid}
	for _, e := range n.elements() {
		if e.uri != nsCPIX {
			continue
		}
		into := map[string]*[]byte{"PSSH": &s.PSSH, "ContentProtectionData": &s.ContentProtection, "SmoothStreamingProtectionHeaderData": &s.SmoothStreaming}[e.local]
		if e.local == "HLSSignalingData" {
			switch e.attr("playlist") {
			case "media", "":
				into = &s.HLSMedia
			case "master", "multiVariant":
				into = &s.HLSMaster
			}
		}
		if into == nil || *into != nil {
			return malformed("signaling that is unknown or doubled")
		}
		if e.local == "SmoothStreamingProtectionHeaderData" {
			text, ok := e.content()
			if *into = []byte(text); !ok {
				return malformed("a protection header that is no text")
			}
			continue
		}
		if *into, err = optional(e); err != nil {
			return err
		}
	}
	p.doc.Systems = append(p.doc.Systems, s)
	return nil
}

func (p *parser) period(n *node) error {
	if hasElements(n) {
		return malformed("a period of another form")
	}
	p.doc.Periods = append(p.doc.Periods, Period{ID: n.attr("id"), Index: n.attr("index"), Start: n.attr("start"), End: n.attr("end")})
	return nil
}

func (p *parser) rule(n *node) error {
	kid, err := uuid(n.attr("kid"))
	if err != nil {
		return err
	}
	r := Rule{KID: kid, TrackType: n.attr("intendedTrackType")}
	for _, e := range n.elements() {
		switch {
		case e.uri != nsCPIX:
			return malformed("a filter that is not known")
		case e.local == "KeyPeriodFilter":
			r.Periods = append(r.Periods, e.attr("periodId"))
		case e.local == "LabelFilter":
			r.Labels = append(r.Labels, e.attr("label"))
		case e.local == "VideoFilter":
			f := VideoFilter{MinPixels: number(e, "minPixels", &err), MaxPixels: number(e, "maxPixels", &err), MinFPS: number(e, "minFps", &err), MaxFPS: number(e, "maxFps", &err)}
			f.HDR, f.WCG = boolean(e, "hdr", &err), boolean(e, "wcg", &err)
			r.Video = append(r.Video, f)
		case e.local == "AudioFilter":
			r.Audio = append(r.Audio, AudioFilter{number(e, "minChannels", &err), number(e, "maxChannels", &err)})
		default:
			return malformed("a filter that is not known") // BitrateFilter among them: a key for tracks that nobody can tell
		}
	}
	p.doc.Rules = append(p.doc.Rules, r)
	return err
}

func number(n *node, name string, err *error) uint64 {
	s := n.attr(name)
	if s == "" {
		return 0
	}
	v, bad := strconv.ParseUint(s, 10, 53)
	if bad != nil {
		*err = malformed("a filter with a value that is no number")
	}
	return v
}

func boolean(n *node, name string, err *error) *bool {
	v := false
	switch n.attr(name) {
	case "":
		return nil
	case "true", "1":
		v = true
	case "false", "0":
	default:
		*err = malformed("a filter with a value that is no truth value")
	}
	return &v
}

// uuidText writes a UUID as CPIX documents have it.
func uuidText(id [16]byte) string {
	s := hex.EncodeToString(id[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
