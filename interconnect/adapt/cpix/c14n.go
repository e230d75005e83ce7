package cpix

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Canonicalization algorithms that are accepted, all without comments. Without
// attributes of the namespace xml, which readXML refuses, Canonical XML 1.0 and
// 1.1 are the same. Sources: W3C Canonical XML 1.0 and 1.1, Exclusive XML
// Canonicalization 1.0.
const (
	c14n10        = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	c14n11        = "http://www.w3.org/2006/12/xml-c14n11"
	c14nExclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

func knownC14N(algorithm string) bool {
	return algorithm == c14n10 || algorithm == c14n11 || algorithm == c14nExclusive
}

// canonical writes an element in canonical form, without the element skip.
func canonical(n *node, algorithm string, skip *node) []byte {
	w := &canonicalizer{exclusive: algorithm == c14nExclusive, skip: skip}
	w.element(n, map[string]string{}, true)
	return []byte(w.out.String())
}

type canonicalizer struct {
	out       strings.Builder
	exclusive bool
	skip      *node
}

// element writes n. rendered is what the output's ancestors declare.
func (w *canonicalizer) element(n *node, rendered map[string]string, apex bool) {
	scope := n.scope()
	render := map[string]string{}
	consider := func(prefix string) {
		uri, declared := scope[prefix]
		before, there := rendered[prefix]
		switch {
		case prefix == "" && uri == "": // xmlns="" only where it undoes something
			if there && before != "" {
				render[""] = ""
			}
		case declared && (!there || before != uri):
			render[prefix] = uri
		}
	}
	if w.exclusive {
		consider(n.prefix)
		for _, a := range n.attrs {
			if a.prefix != "" {
				consider(a.prefix)
			}
		}
	} else {
		for prefix := range scope {
			consider(prefix)
		}
		if !apex {
			consider("")
		}
	}
	w.out.WriteString("<" + n.name())
	for _, prefix := range slices.Sorted(maps.Keys(render)) {
		name := "xmlns"
		if prefix != "" {
			name += ":" + prefix
		}
		w.attribute(name, render[prefix])
	}
	attrs := slices.Clone(n.attrs)
	slices.SortFunc(attrs, func(a, b attr) int { return cmp.Or(cmp.Compare(a.uri, b.uri), cmp.Compare(a.local, b.local)) })
	for _, a := range attrs {
		name := a.local
		if a.prefix != "" {
			name = a.prefix + ":" + a.local
		}
		w.attribute(name, a.value)
	}
	w.out.WriteString(">")
	below := rendered
	if len(render) > 0 {
		below = maps.Clone(rendered)
		maps.Copy(below, render)
	}
	for _, k := range n.kids {
		switch k := k.(type) {
		case string:
			w.out.WriteString(escapeText(k))
		case *node:
			if k != w.skip {
				w.element(k, below, false)
			}
		}
	}
	w.out.WriteString("</" + n.name() + ">")
}

func (n *node) name() string {
	if n.prefix != "" {
		return n.prefix + ":" + n.local
	}
	return n.local
}

func (w *canonicalizer) attribute(name, value string) {
	w.out.WriteString(" " + name + `="` + escapeAttr(value) + `"`)
}

func escapeText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;").Replace(s)
}

func escapeAttr(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;").Replace(s)
}
