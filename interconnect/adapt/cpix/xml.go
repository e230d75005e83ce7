package cpix

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lares-drm/lares/interconnect/adapt"
)

// Limits of a document. Source: local, docs/spec/cpix.md.
const (
	MaxDocument = 1 << 20 // bytes
	maxDepth    = 12      // elements inside each other
	maxElements = 20_000
	maxAttrs    = 32 // of an element, namespace declarations included
	maxPrefixes = 32 // in scope
)

// Namespaces. Sources: CPIX, RFC 6030, XML Signature, XML Encryption.
const (
	nsCPIX = "urn:dashif:org:cpix"
	nsPSKC = "urn:ietf:params:xml:ns:keyprov:pskc"
	nsDSig = "http://www.w3.org/2000/09/xmldsig#"
	nsEnc  = "http://www.w3.org/2001/04/xmlenc#"
)

// node is an element. Its kids are *node and string; neighboring texts are one.
type node struct {
	prefix, local, uri string
	attrs              []attr
	decls              []decl
	kids               []any
	parent             *node
}

type attr struct{ prefix, local, uri, value string }

// decl is a namespace declaration; the prefix "" is the default namespace.
type decl struct{ prefix, uri string }

var errXML = errors.New("XML that is not read here")

// reader builds a tree from tokens. It is far stricter than XML asks: what
// canonicalization and reading could see differently does not exist here.
type reader struct {
	root, at *node
	depth, n int
	ids      map[string]bool
}

// readXML reads a document without a document type, processing instructions and
// attributes of the namespace xml. Comments are dropped. The error says nothing
// of the content.
func readXML(data []byte) (*node, error) {
	if len(data) > MaxDocument {
		return nil, fmt.Errorf("%w: more than %d bytes", adapt.ErrDocument, MaxDocument)
	}
	dec := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	r := &reader{ids: map[string]bool{}}
	for first := true; ; first = false {
		tok, err := dec.RawToken() // names as they are written: prefixes are resolved here
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.token(tok, first)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w at byte %d", adapt.ErrDocument, errXML, dec.InputOffset())
		}
	}
	if r.root == nil || r.at != nil {
		return nil, fmt.Errorf("%w: %w", adapt.ErrDocument, errXML)
	}
	return r.root, nil
}

func (r *reader) token(tok xml.Token, first bool) error {
	switch t := tok.(type) {
	case xml.StartElement:
		return r.open(t)
	case xml.EndElement:
		if r.at == nil || t.Name.Space != r.at.prefix || t.Name.Local != r.at.local {
			return errXML
		}
		r.at = r.at.parent
		r.depth--
	case xml.CharData:
		return r.text(string(t))
	case xml.ProcInst:
		if !first || t.Target != "xml" {
			return errXML
		}
	case xml.Comment: // not signed by any algorithm that is accepted, so not read either
	default: // a directive: no document type, no entities
		return errXML
	}
	return nil
}

func (r *reader) text(s string) error {
	if r.at == nil {
		if strings.TrimSpace(s) != "" {
			return errXML
		}
		return nil
	}
	if n := len(r.at.kids); n > 0 {
		if before, ok := r.at.kids[n-1].(string); ok {
			r.at.kids[n-1] = before + s
			return nil
		}
	}
	r.at.kids = append(r.at.kids, s)
	return nil
}

func (r *reader) open(t xml.StartElement) error {
	if r.at == nil && r.root != nil || r.depth >= maxDepth || r.n >= maxElements || len(t.Attr) > maxAttrs {
		return errXML
	}
	n := &node{prefix: t.Name.Space, local: t.Name.Local, parent: r.at}
	for _, a := range t.Attr {
		switch {
		case strings.ContainsAny(a.Value, "\t\n\r"):
			return errXML // written or referred to, which XML tells apart and the decoder does not
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			n.decls = append(n.decls, decl{"", a.Value})
		case a.Name.Space == "xmlns":
			if a.Value == "" || !ncName(a.Name.Local) || a.Name.Local == "xmlns" || a.Name.Local == "xml" {
				return errXML
			}
			n.decls = append(n.decls, decl{a.Name.Local, a.Value})
		default:
			n.attrs = append(n.attrs, attr{prefix: a.Name.Space, local: a.Name.Local, value: a.Value})
		}
	}
	if err := n.resolve(); err != nil {
		return err
	}
	for _, a := range n.attrs {
		if a.uri == "" && strings.EqualFold(a.local, "id") {
			if a.value == "" || r.ids[a.value] {
				return errXML // an identifier that stands twice is nobody's
			}
			r.ids[a.value] = true
		}
	}
	r.n++
	r.depth++
	if r.at == nil {
		r.root = n
	} else {
		r.at.kids = append(r.at.kids, n)
	}
	r.at = n
	return nil
}

// resolve gives the namespaces of the element and its attributes, and checks
// that names are whole, declared and stand once.
func (n *node) resolve() error {
	for i, d := range n.decls {
		if slices.ContainsFunc(n.decls[:i], func(e decl) bool { return e.prefix == d.prefix }) {
			return errXML
		}
	}
	if len(n.scope()) > maxPrefixes || !ncName(n.local) || n.prefix != "" && !ncName(n.prefix) {
		return errXML
	}
	var ok bool
	if n.uri, ok = n.lookup(n.prefix); !ok {
		return errXML
	}
	for i := range n.attrs {
		a := &n.attrs[i]
		if !ncName(a.local) || a.prefix != "" && !ncName(a.prefix) {
			return errXML
		}
		if a.prefix != "" {
			if a.uri, ok = n.lookup(a.prefix); !ok {
				return errXML
			}
		}
		if slices.ContainsFunc(n.attrs[:i], func(b attr) bool { return b.local == a.local && b.uri == a.uri }) {
			return errXML
		}
	}
	return nil
}

// lookup resolves a prefix. Only the default namespace may be absent.
func (n *node) lookup(prefix string) (string, bool) {
	for at := n; at != nil; at = at.parent {
		for _, d := range at.decls {
			if d.prefix == prefix {
				return d.uri, true
			}
		}
	}
	return "", prefix == ""
}

// scope lists the namespaces in scope.
func (n *node) scope() map[string]string {
	out := map[string]string{}
	for at := n; at != nil; at = at.parent {
		for _, d := range at.decls {
			if _, near := out[d.prefix]; !near {
				out[d.prefix] = d.uri
			}
		}
	}
	return out
}

// ncName accepts the names without a colon that occur in these formats: ASCII.
func ncName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	return s != "" && strings.Contains(letters, s[:1]) && strings.Trim(s, letters+"0123456789.-") == ""
}

// is reports whether the element has this name.
func (n *node) is(uri, local string) bool { return n != nil && n.uri == uri && n.local == local }

// attr is the value of an attribute without a namespace, "" when it is absent.
func (n *node) attr(local string) string {
	for _, a := range n.attrs {
		if a.uri == "" && a.local == local {
			return a.value
		}
	}
	return ""
}

// elements lists the element kids.
func (n *node) elements() []*node {
	var out []*node
	for _, k := range n.kids {
		if e, ok := k.(*node); ok {
			out = append(out, e)
		}
	}
	return out
}

// one is the only kid of this name, nil when there is none or more than one.
func (n *node) one(uri, local string) *node {
	if n == nil {
		return nil
	}
	var found *node
	for _, e := range n.elements() {
		if !e.is(uri, local) {
			continue
		}
		if found != nil {
			return nil
		}
		found = e
	}
	return found
}

// path goes down by one kid each, nil when one is missing or doubled.
func (n *node) path(names ...[2]string) *node {
	for _, name := range names {
		n = n.one(name[0], name[1])
	}
	return n
}

// content is the text of an element that has no elements in it.
func (n *node) content() (string, bool) {
	if n == nil {
		return "", false
	}
	switch {
	case len(n.kids) == 0:
		return "", true
	case len(n.kids) == 1:
		s, ok := n.kids[0].(string)
		return strings.TrimSpace(s), ok
	}
	return "", false
}
