package cpix

import "testing"

// The example of W3C Canonical XML 1.0, 3.3 (start and end tags), without its
// document type: order of namespaces and attributes, and declarations that
// repeat themselves.
func TestCPIX_3_CanonicalXMLExample33(t *testing.T) {
	in := `<doc>
   <e1   />
   <e2   ></e2>
   <e3   name = "elem3"   id="elem3"   />
   <e4   name="elem4"   id="elem4"   ></e4>
   <e5 a:attr="out" b:attr="sorted" attr2="all" attr="I'm" xmlns:b="http://www.ietf.org" xmlns:a="http://www.w3.org" xmlns="http://example.org"/>
   <e6 xmlns="" xmlns:a="http://www.w3.org"><e7 xmlns="http://www.ietf.org"><e8 xmlns="" xmlns:a="http://www.w3.org"><e9 xmlns="" xmlns:a="http://www.ietf.org"/></e8></e7></e6>
</doc>`
	want := `<doc>
   <e1></e1>
   <e2></e2>
   <e3 id="elem3" name="elem3"></e3>
   <e4 id="elem4" name="elem4"></e4>
   <e5 xmlns="http://example.org" xmlns:a="http://www.w3.org" xmlns:b="http://www.ietf.org" attr="I'm" attr2="all" b:attr="sorted" a:attr="out"></e5>
   <e6 xmlns:a="http://www.w3.org"><e7 xmlns="http://www.ietf.org"><e8 xmlns=""><e9 xmlns:a="http://www.ietf.org"></e9></e8></e7></e6>
</doc>`
	root, err := readXML([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(canonical(root, c14n10, nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// An element in another context: exclusive canonicalization takes along only
// what it uses, the other one all that is in scope. After the example of W3C
// Exclusive XML Canonicalization 1.0, 2.2.
func TestCPIX_3_ExclusiveCanonicalizationExample22(t *testing.T) {
	root, err := readXML([]byte(`<n0:local xmlns:n0="foo:bar" xmlns:n3="ftp://example.org"><n1:elem2 xmlns:n1="http://example.net"><n3:stuff xmlns:n3="ftp://example.org"/></n1:elem2></n0:local>`))
	if err != nil {
		t.Fatal(err)
	}
	part := root.elements()[0]
	if got, want := string(canonical(part, c14nExclusive, nil)), `<n1:elem2 xmlns:n1="http://example.net"><n3:stuff xmlns:n3="ftp://example.org"></n3:stuff></n1:elem2>`; got != want {
		t.Errorf("exclusive\n%s\nwant\n%s", got, want)
	}
	if got, want := string(canonical(part, c14n11, nil)), `<n1:elem2 xmlns:n0="foo:bar" xmlns:n1="http://example.net" xmlns:n3="ftp://example.org"><n3:stuff></n3:stuff></n1:elem2>`; got != want {
		t.Errorf("inclusive\n%s\nwant\n%s", got, want)
	}
}

// A text in canonical form has what XML would otherwise change.
func TestCPIX_3_CanonicalCharacters(t *testing.T) {
	root, err := readXML([]byte("<a b='&lt;&quot;&amp;\"&apos;'>&lt;&gt;&amp;&#13;\r\n<![CDATA[<x>]]></a>"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(canonical(root, c14n10, nil)), "<a b=\"&lt;&quot;&amp;&quot;'\">&lt;&gt;&amp;&#xD;\n&lt;x&gt;</a>"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
