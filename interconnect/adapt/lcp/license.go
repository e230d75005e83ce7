package lcp

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/lares-drm/lares/interconnect/adapt"
)

// Names of LCP. Source: LCP 1.0.3, 3 and 6.3.
const (
	MediaType    = "application/vnd.readium.lcp.license.v1.0+json"
	BasicProfile = "http://readium.org/lcp/basic-profile"
	aes256CBC    = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	sha256Hash   = "http://www.w3.org/2001/04/xmlenc#sha256"
	rsaSHA256    = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
)

// MaxDocument is the largest document that is read, in bytes. Source: local.
const MaxDocument = 65_536

// ErrSignature is returned for a document that its provider did not sign as it is.
var ErrSignature = errors.New("lcp: the signature does not verify")

// License is a license document.
type License struct {
	ID         string      `json:"id"`
	Issued     string      `json:"issued"` // RFC 3339
	Updated    string      `json:"updated,omitempty"`
	Provider   string      `json:"provider"` // URI
	Encryption *Encryption `json:"encryption,omitempty"`
	Links      []Link      `json:"links,omitempty"`
	Rights     *Rights     `json:"rights,omitempty"`
	User       *User       `json:"user,omitempty"`
	Signature  *Signature  `json:"signature,omitempty"`

	raw []byte // as parsed: what is verified
}

// Encryption names the profile and holds the encrypted content key.
type Encryption struct {
	Profile    string     `json:"profile"`
	ContentKey ContentKey `json:"content_key"`
	UserKey    UserKeyRef `json:"user_key"`
}

// ContentKey is the content key, encrypted with the user key.
type ContentKey struct {
	EncryptedValue []byte `json:"encrypted_value"`
	Algorithm      string `json:"algorithm"`
}

// UserKeyRef tells a reader which passphrase is meant.
type UserKeyRef struct {
	Algorithm string `json:"algorithm"`
	KeyCheck  []byte `json:"key_check"`
	TextHint  string `json:"text_hint"`
}

// Link points to a resource.
type Link struct {
	Href      string `json:"href"`
	Rel       string `json:"rel"`
	Type      string `json:"type,omitempty"`
	Templated bool   `json:"templated,omitempty"`
	Title     string `json:"title,omitempty"`
	Profile   string `json:"profile,omitempty"`
	Length    uint64 `json:"length,omitempty"`
	Hash      string `json:"hash,omitempty"`
}

// Rights are the limits: an absent one is none, except in what Export writes.
type Rights struct {
	Print *uint64 `json:"print,omitempty"` // pages
	Copy  *uint64 `json:"copy,omitempty"`  // characters
	Start string  `json:"start,omitempty"` // RFC 3339
	End   string  `json:"end,omitempty"`   // RFC 3339
}

// User is who the license is for. Lares writes an ID only.
type User struct {
	ID string `json:"id,omitempty"`
}

// Signature is the provider's.
type Signature struct {
	Algorithm   string `json:"algorithm"`
	Certificate []byte `json:"certificate"`
	Value       []byte `json:"value"`
}

// Parse reads a license document of the basic profile, signature unchecked. What
// it does not know it passes over, as LCP asks; a member twice, and a link
// relation that is a list, are errors.
func Parse(data []byte) (*License, error) {
	var l License
	if err := adapt.DecodeJSON(data, MaxDocument, &l); err != nil {
		return nil, err
	}
	bad := func(what string) error { return fmt.Errorf("%w: %s", adapt.ErrDocument, what) }
	e := l.Encryption
	switch {
	case l.ID == "" || len(l.ID) > 256:
		return nil, bad("id")
	case e == nil || l.Signature == nil:
		return nil, bad("no encryption or no signature")
	case e.Profile != BasicProfile:
		return nil, fmt.Errorf("%w: another encryption profile than the basic one", adapt.ErrUnknown)
	case e.ContentKey.Algorithm != aes256CBC || e.UserKey.Algorithm != sha256Hash || l.Signature.Algorithm != rsaSHA256:
		return nil, bad("algorithms that are not those of the profile")
	case !l.linked("hint") || !l.linked("publication"):
		return nil, bad("links to a hint and to the publication are required")
	}
	if _, _, err := instant(l.Issued); err != nil {
		return nil, bad("issued")
	}
	if u, err := url.Parse(l.Provider); err != nil || u.Scheme == "" {
		return nil, bad("provider is a URI")
	}
	l.raw = bytes.Clone(data)
	return &l, nil
}

func (l *License) linked(rel string) bool {
	return slices.ContainsFunc(l.Links, func(k Link) bool { return k.Rel == rel && k.Href != "" })
}

// instant reads a date as the first and the last millisecond that it can mean,
// Unix ms. A date without a zone is none.
func instant(s string) (first, last int64, err error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.UnixMilli() <= 0 {
		return 0, 0, fmt.Errorf("%w: a date", adapt.ErrDocument)
	}
	first = t.UnixMilli()
	if last = first; t.Nanosecond()%1_000_000 != 0 {
		last++
	}
	return first, last, nil
}

func date(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00") }

// Verify checks the provider's signature over the document as it was parsed: a
// certificate that chains to a root and was valid when the license was issued or
// last updated, and RSA with SHA-256 over the canonical form.
//
// Without roots nobody is trusted: the machine's own are for web pages.
func (l *License) Verify(roots *x509.CertPool) error {
	if roots == nil {
		return fmt.Errorf("%w: no root is given", ErrSignature)
	}
	cert, err := x509.ParseCertificate(l.Signature.Certificate)
	if err != nil {
		return fmt.Errorf("%w: the provider's certificate", ErrSignature)
	}
	at := l.Issued
	if l.Updated != "" {
		at = l.Updated
	}
	ms, _, err := instant(at)
	if err != nil {
		return fmt.Errorf("%w: updated", ErrSignature)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: time.UnixMilli(ms), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fmt.Errorf("%w: the provider's certificate: %w", ErrSignature, err)
	}
	form, err := Canonical(l.raw)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if err := cert.CheckSignature(x509.SHA256WithRSA, form, l.Signature.Value); err != nil {
		return ErrSignature
	}
	return nil
}

// Canonical is the canonical form of a license document, without its
// signature: members sorted, no blanks, escapes only where JSON needs them.
// Documents with fractions, which need an exponent and which LCP does not use,
// are refused. Source: LCP 1.0.3, 5.3.
func Canonical(data []byte) ([]byte, error) {
	var root map[string]any
	if err := adapt.DecodeJSON(data, MaxDocument, &root); err != nil {
		return nil, err
	}
	delete(root, "signature")
	var b bytes.Buffer
	err := canonical(&b, root)
	return b.Bytes(), err
}

func canonical(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, name := range sortedNames(v) {
			if i > 0 {
				b.WriteByte(',')
			}
			quote(b, name)
			b.WriteByte(':')
			if err := canonical(b, v[name]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := canonical(b, x); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case string:
		quote(b, v)
	case json.Number:
		if bytes.ContainsAny([]byte(v), ".eE") || v == "-0" {
			return fmt.Errorf("%w: a number with a fraction", adapt.ErrDocument)
		}
		b.WriteString(v.String())
	case bool:
		fmt.Fprintf(b, "%t", v)
	default:
		b.WriteString("null")
	}
	return nil
}

func sortedNames(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names) // bytes of UTF-8 sort as code points
	return names
}

// quote writes a string with the escapes that JSON requires and no other.
func quote(b *bytes.Buffer, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20:
			fmt.Fprintf(b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
