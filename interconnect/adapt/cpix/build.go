package cpix

// element makes an element of a tree that is written.
func element(prefix, uri, local string, kids ...any) *node {
	n := &node{prefix: prefix, local: local, uri: uri}
	for _, k := range kids {
		n.add(k)
	}
	return n
}

func cpixElement(local string, kids ...any) *node { return element("cpix", nsCPIX, local, kids...) }
func pskcElement(local string, kids ...any) *node { return element("pskc", nsPSKC, local, kids...) }
func encElement(local string, kids ...any) *node  { return element("enc", nsEnc, local, kids...) }

// add appends a text or an element; a nil element is left out.
func (n *node) add(kid any) {
	if k, ok := kid.(*node); ok {
		if k == nil {
			return
		}
		k.parent = n
	}
	n.kids = append(n.kids, kid)
}

// with adds an attribute.
func (n *node) with(local, value string) *node {
	n.attrs = append(n.attrs, attr{local: local, value: value})
	return n
}

// having adds an attribute that is not empty.
func (n *node) having(local, value string) *node {
	if value != "" {
		n.with(local, value)
	}
	return n
}

// encode writes the tree; a canonical form is XML too.
func encode(root *node) []byte {
	return append([]byte("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"), canonical(root, c14n11, nil)...)
}
