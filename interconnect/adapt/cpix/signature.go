package cpix

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/adapt"
)

// ErrSignature is returned for a document whose signatures do not cover what is
// read of it, by a signer that the caller trusts.
var ErrSignature = errors.New("cpix: the document is not signed as it must be")

// Algorithms of signatures. SHA-1 is not accepted. Source: XML Signature 1.1,
// RFC 6931.
const (
	enveloped    = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	digestSHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
	digestSHA512 = "http://www.w3.org/2001/04/xmlenc#sha512"
	rsaSHA256    = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	rsaSHA512    = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"
	ecdsaSHA256  = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
	ecdsaSHA512  = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512"
)

const (
	maxSignatures = 8 // of a document
	maxReferences = 8 // of a signature
	minRSA        = 2048
)

func digestOf(algorithm string) crypto.Hash {
	switch algorithm {
	case digestSHA256, rsaSHA256, ecdsaSHA256:
		return crypto.SHA256
	case digestSHA512, rsaSHA512, ecdsaSHA512:
		return crypto.SHA512
	}
	return 0
}

// verifySignatures checks every signature of a document and gives the parts
// that they cover: the lists below the root, or the root itself. One that does
// not verify, whose signer is not among the trusted, or that stands elsewhere
// than below the root, is an error, whatever else is signed.
func verifySignatures(root *node, signers []*x509.Certificate, now time.Time) (map[*node]bool, error) {
	covered := map[*node]bool{}
	var found []*node
	for _, e := range root.elements() {
		if e.is(nsDSig, "Signature") {
			found = append(found, e)
		} else if hasSignature(e) {
			return nil, fmt.Errorf("%w: a signature inside another element", ErrSignature)
		}
	}
	if len(found) > maxSignatures {
		return nil, fmt.Errorf("%w: more than %d signatures", ErrSignature, maxSignatures)
	}
	for _, s := range found {
		parts, err := verifySignature(root, s, signers, now)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSignature, err)
		}
		for _, p := range parts {
			covered[p] = true
		}
	}
	return covered, nil
}

func hasSignature(n *node) bool {
	return n.is(nsDSig, "Signature") || slices.ContainsFunc(n.elements(), hasSignature)
}

func verifySignature(root, s *node, signers []*x509.Certificate, now time.Time) ([]*node, error) {
	info, value, keyInfo := s.one(nsDSig, "SignedInfo"), s.one(nsDSig, "SignatureValue"), s.one(nsDSig, "KeyInfo")
	if info == nil || value == nil || keyInfo == nil || len(s.elements()) != 3 {
		return nil, errors.New("a signature of another form")
	}
	cert, err := signer(keyInfo, signers, now)
	if err != nil {
		return nil, err
	}
	method, c14n := info.one(nsDSig, "SignatureMethod"), info.one(nsDSig, "CanonicalizationMethod")
	if method == nil || c14n == nil || len(method.kids) > 0 && hasElements(method) || hasElements(c14n) || !knownC14N(c14n.attr("Algorithm")) {
		return nil, errors.New("an algorithm that is not accepted")
	}
	sig, err := base64Content(value)
	if err != nil {
		return nil, err
	}
	if err := checkSignature(cert, method.attr("Algorithm"), canonical(info, c14n.attr("Algorithm"), nil), sig); err != nil {
		return nil, err
	}
	var parts []*node
	for _, ref := range info.elements()[2:] {
		part, err := verifyReference(root, s, ref)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 || len(parts) > maxReferences {
		return nil, errors.New("no reference, or too many")
	}
	return parts, nil
}

func hasElements(n *node) bool { return len(n.elements()) > 0 }

// signer is the trusted certificate that the signature names. What the
// document says about it beyond its bytes does not count.
func signer(keyInfo *node, signers []*x509.Certificate, now time.Time) (*x509.Certificate, error) {
	der, err := base64Content(keyInfo.path([2]string{nsDSig, "X509Data"}, [2]string{nsDSig, "X509Certificate"}))
	if err != nil {
		return nil, errors.New("a signature without one certificate")
	}
	for _, c := range signers {
		if !slices.Equal(c.Raw, der) {
			continue
		}
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return nil, errors.New("the signer's certificate is not valid now")
		}
		return c, nil
	}
	return nil, errors.New("a signer that is not trusted")
}

func checkSignature(cert *x509.Certificate, algorithm string, signed, sig []byte) error {
	hash := digestOf(algorithm)
	if hash == 0 {
		return errors.New("an algorithm that is not accepted")
	}
	h := hash.New()
	h.Write(signed)
	sum := h.Sum(nil)
	ok := false
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		ok = (algorithm == rsaSHA256 || algorithm == rsaSHA512) && pub.N.BitLen() >= minRSA && rsa.VerifyPKCS1v15(pub, hash, sum, sig) == nil
	case *ecdsa.PublicKey:
		size := (pub.Params().BitSize + 7) / 8
		ok = (algorithm == ecdsaSHA256 || algorithm == ecdsaSHA512) && len(sig) == 2*size &&
			ecdsa.Verify(pub, sum, new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]))
	}
	if !ok {
		return errors.New("the signature does not verify")
	}
	return nil
}

// verifyReference checks a digest and gives what it covers: the whole document
// without this signature, or a list below the root, by its id.
func verifyReference(root, s, ref *node) (*node, error) {
	if !ref.is(nsDSig, "Reference") {
		return nil, errors.New("a signature of another form")
	}
	uri, part := ref.attr("URI"), root
	if uri != "" {
		i := slices.IndexFunc(root.elements(), func(e *node) bool { return e.uri == nsCPIX && e.attr("id") != "" && "#"+e.attr("id") == uri })
		if i < 0 {
			return nil, errors.New("a reference to something else than a list of the document")
		}
		part = root.elements()[i]
	}
	algorithm, skip, err := transforms(ref.one(nsDSig, "Transforms"), s)
	if err != nil || (skip != nil) != (uri == "") {
		return nil, errors.New("a transform that is not accepted")
	}
	method := ref.one(nsDSig, "DigestMethod")
	want, err := base64Content(ref.one(nsDSig, "DigestValue"))
	if err != nil || method == nil || digestOf(method.attr("Algorithm")) == 0 || !strings.Contains(method.attr("Algorithm"), "xmlenc#") {
		return nil, errors.New("a digest that is not accepted")
	}
	h := digestOf(method.attr("Algorithm")).New()
	h.Write(canonical(part, algorithm, skip))
	if subtle.ConstantTimeCompare(h.Sum(nil), want) != 1 {
		return nil, errors.New("what was signed has been changed")
	}
	return part, nil
}

// transforms reads the transforms of a reference: at most the enveloped
// signature and then one canonicalization. Without one, Canonical XML 1.0 holds.
func transforms(t, s *node) (algorithm string, skip *node, err error) {
	algorithm = c14n10
	if t == nil {
		return algorithm, nil, nil
	}
	for i, e := range t.elements() {
		a := e.attr("Algorithm")
		switch {
		case !e.is(nsDSig, "Transform") || hasElements(e) || i > 1:
			return "", nil, errXML
		case a == enveloped && i == 0:
			skip = s
		case knownC14N(a) && i == len(t.elements())-1:
			algorithm = a
		default:
			return "", nil, errXML
		}
	}
	return algorithm, skip, nil
}

// base64Content decodes the text of an element, blanks left out.
func base64Content(n *node) ([]byte, error) {
	s, ok := n.content()
	b, err := base64.StdEncoding.Strict().DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "", "\r", "").Replace(s))
	if !ok || err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%w: base64 is expected", adapt.ErrDocument)
	}
	return b, nil
}

// sign appends a signature over the whole document to the root, by the
// algorithms that CPIX asks for: Canonical XML 1.1, SHA-512, RSA PKCS #1 v1.5.
func sign(root *node, key crypto.Signer, cert *x509.Certificate) error {
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || pub.N.BitLen() < minRSA || !pub.Equal(key.Public()) {
		return fmt.Errorf("cpix: a signer has an RSA key of at least %d bits and its certificate", minRSA)
	}
	h := crypto.SHA512.New()
	h.Write(canonical(root, c14n11, nil))
	ds := func(local string, kids ...any) *node { return element("ds", nsDSig, local, kids...) }
	algorithm := func(local, a string) *node { return ds(local).with("Algorithm", a) }
	info := ds("SignedInfo", algorithm("CanonicalizationMethod", c14n11), algorithm("SignatureMethod", rsaSHA512),
		ds("Reference", ds("Transforms", algorithm("Transform", enveloped), algorithm("Transform", c14n11)),
			algorithm("DigestMethod", digestSHA512), ds("DigestValue", base64.StdEncoding.EncodeToString(h.Sum(nil)))).with("URI", ""))
	s := ds("Signature", info)
	root.add(s)
	h = crypto.SHA512.New()
	h.Write(canonical(info, c14n11, nil))
	sig, err := key.Sign(rand.Reader, h.Sum(nil), crypto.SHA512)
	if err != nil {
		return fmt.Errorf("cpix: sign: %w", err)
	}
	s.add(ds("SignatureValue", base64.StdEncoding.EncodeToString(sig)))
	s.add(ds("KeyInfo", ds("X509Data", ds("X509Certificate", base64.StdEncoding.EncodeToString(cert.Raw)))))
	return nil
}
