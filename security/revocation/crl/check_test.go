package crl_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/revocation/crl"
)

// house is a device class CA with one device, whose path has three links.
type house struct {
	*testing.T
	d     *pkitest.Domain
	path  []*x509.Certificate // leaf first, with the root
	above []*crl.List         // lists of the CAs above, which say nothing
}

func newHouse(t *testing.T) *house {
	h := &house{T: t, d: pkitest.New(t, pkitest.Start())}
	dev := h.d.Party(pki.Device)
	for _, der := range append(append([][]byte{}, dev.Chain...), h.d.Root) {
		c, err := x509.ParseCertificate(der)
		must(t, err)
		h.path = append(h.path, c)
	}
	h.above = []*crl.List{
		h.parse(h.issue(pkitest.RootClass, h.silent())), h.parse(h.issue(pkitest.Manufacturer, h.silent())),
	}
	return h
}

// silent is a list of CAs that holds for ten days and names none.
func (h *house) silent() crl.Content {
	return crl.Content{CAs: true, ThisUpdate: h.d.Now, NextUpdate: h.d.Now.AddDate(0, 0, 10)}
}

// issue signs a list of the CA of a class; times and number have defaults.
func (h *house) issue(class pki.Class, c crl.Content) []byte {
	h.Helper()
	ca := h.d.CAs[class]
	der := ca.Root
	if len(ca.Chain) > 0 {
		der = ca.Chain[0]
	}
	cert, err := x509.ParseCertificate(der)
	must(h, err)
	if c.Number == nil {
		c.Number = big.NewInt(9)
	}
	if c.ThisUpdate.IsZero() {
		c.ThisUpdate, c.NextUpdate = h.d.Now, h.d.Now.AddDate(0, 0, 1)
	}
	out, err := crl.Issue(cert, ca.Signer, c)
	must(h, err)
	return out
}

func (h *house) parse(der []byte) *crl.List {
	h.Helper()
	l, err := crl.Parse(der)
	must(h, err)
	return l
}

// check is the rule that the device breaks with these lists of its own CA.
func (h *house) check(now time.Time, ders ...[]byte) crl.Rule {
	h.Helper()
	all := append([]*crl.List{}, h.above...)
	for _, der := range ders {
		all = append(all, h.parse(der))
	}
	return ruleOf(crl.NewChecker(all...).Check(h.path, now))
}

func ruleOf(err error) crl.Rule {
	if e, ok := errors.AsType[*crl.Error](err); ok {
		return e.Rule
	}
	if err != nil {
		return crl.Rule(err.Error())
	}
	return ""
}

func (h *house) entry(reason int) []crl.Entry {
	return []crl.Entry{{Serial: h.path[0].SerialNumber, Reason: reason, Revoked: h.d.Now}}
}

func TestCRL_3_Freshness(t *testing.T) {
	h := newHouse(t)
	l := h.issue(pkitest.Devices, crl.Content{})
	for _, tc := range []struct {
		at   time.Time
		want crl.Rule
	}{
		{h.d.Now, ""},
		{h.d.Now.AddDate(0, 0, 1), ""},
		{h.d.Now.Add(-time.Second), crl.RuleFresh},
		{h.d.Now.AddDate(0, 0, 1).Add(time.Second), crl.RuleFresh},
		{time.Time{}, crl.RulePath},
	} {
		if got := h.check(tc.at, l); got != tc.want {
			t.Errorf("at %v: %q, want %q", tc.at, got, tc.want)
		}
	}
	if got := h.check(h.d.Now); got != crl.RuleAbsent {
		t.Errorf("no list: %q", got)
	}
}

// TestCRL_3_OlderListDoesNotHideANewerOne: who holds back or repeats lists makes
// nothing good again that a newer list held here revokes.
func TestCRL_3_OlderListDoesNotHideANewerOne(t *testing.T) {
	h := newHouse(t)
	now := h.d.Now.Add(time.Hour)
	old := h.issue(pkitest.Devices, crl.Content{Number: big.NewInt(5)})
	bad := h.issue(pkitest.Devices, crl.Content{Number: big.NewInt(6), Entries: h.entry(1), ThisUpdate: h.d.Now, NextUpdate: h.d.Now.Add(time.Minute)})
	for _, order := range [][][]byte{{old, bad}, {bad, old}} {
		if got := h.check(now, order...); got != crl.RuleRevoked {
			t.Errorf("a newer list that has ended: %q", got)
		}
	}
	ended := h.issue(pkitest.Devices, crl.Content{Number: big.NewInt(6), ThisUpdate: h.d.Now, NextUpdate: h.d.Now.Add(time.Minute)})
	if got := h.check(now, old, ended); got != crl.RuleFresh {
		t.Errorf("the newest is not fresh: %q", got)
	}
}

func TestCRL_3_Deltas(t *testing.T) {
	h := newHouse(t)
	day := func(n int) time.Time { return h.d.Now.AddDate(0, 0, n) }
	n := func(i int64) *big.Int { return big.NewInt(i) }
	list := func(c crl.Content) []byte { return h.issue(pkitest.Devices, c) }
	clean := list(crl.Content{Number: n(5)})
	held := list(crl.Content{Number: n(5), Entries: h.entry(6)})
	renews := func(c crl.Content) []byte {
		c.ThisUpdate, c.NextUpdate = day(0), day(3)
		return list(c)
	}
	for name, tc := range map[string]struct {
		at    time.Time
		lists [][]byte
		want  crl.Rule
	}{
		"revoked by the delta":           {day(0), [][]byte{clean, list(crl.Content{Number: n(6), Base: n(5), Entries: h.entry(1)})}, crl.RuleRevoked},
		"taken off by the delta":         {day(0), [][]byte{held, list(crl.Content{Number: n(6), Base: n(5), Entries: h.entry(8)})}, ""},
		"a delta alone":                  {day(0), [][]byte{list(crl.Content{Number: n(6), Base: n(5)})}, crl.RuleScope},
		"a base that is newer":           {day(0), [][]byte{held, list(crl.Content{Number: n(7), Base: n(6), Entries: h.entry(8)})}, crl.RuleRevoked},
		"a delta that is older":          {day(0), [][]byte{held, list(crl.Content{Number: n(4), Base: n(3), Entries: h.entry(8)})}, crl.RuleRevoked},
		"the delta renews the list":      {day(2), [][]byte{clean, renews(crl.Content{Number: n(6), Base: n(5)})}, ""},
		"it does not, with a newer base": {day(2), [][]byte{clean, renews(crl.Content{Number: n(7), Base: n(6)})}, crl.RuleFresh},
		"an ended delta still revokes":   {day(2), [][]byte{renews(crl.Content{Number: n(5)}), list(crl.Content{Number: n(6), Base: n(5), Entries: h.entry(1)})}, crl.RuleRevoked},
		"an ended delta takes nothing off": {day(2), [][]byte{
			renews(crl.Content{Number: n(5), Entries: h.entry(6)}),
			list(crl.Content{Number: n(6), Base: n(5), Entries: h.entry(8)}),
		}, crl.RuleRevoked},
		"the newest delta counts": {day(0), [][]byte{clean, list(crl.Content{Number: n(6), Base: n(5)}), list(crl.Content{Number: n(7), Base: n(5), Entries: h.entry(1)})}, crl.RuleRevoked},
	} {
		if got := h.check(tc.at, tc.lists...); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestCRL_3_ScopeAndKey(t *testing.T) {
	h := newHouse(t)
	if got := h.check(h.d.Now, h.issue(pkitest.Devices, crl.Content{CAs: true})); got != crl.RuleScope {
		t.Errorf("a list of CAs only: %q", got)
	}
	if got := h.check(h.d.Now, h.issue(pkitest.SecondDevices, crl.Content{})); got != crl.RuleAbsent {
		t.Errorf("another CA's list: %q", got)
	}
	// The right name with another key.
	real := h.path[1]
	fake := h.d.Key()
	twin := *real
	twin.PublicKey, twin.SubjectKeyId = fake.Public(), nil
	c := x509.RevocationList{Number: big.NewInt(9), ThisUpdate: h.d.Now, NextUpdate: h.d.Now.AddDate(0, 0, 1)}
	twin.SubjectKeyId = real.SubjectKeyId
	der, err := x509.CreateRevocationList(rand.Reader, &c, &twin, fake)
	must(t, err)
	if got := h.check(h.d.Now, der); got != crl.RuleSignature {
		t.Errorf("the right name, another key: %q", got)
	}
	twin.SubjectKeyId = []byte{1, 2, 3}
	der, err = x509.CreateRevocationList(rand.Reader, &c, &twin, fake)
	must(t, err)
	if got := h.check(h.d.Now, der); got != crl.RuleKey {
		t.Errorf("another key that says so: %q", got)
	}
	// A CA that may not sign lists.
	mute := *real
	mute.KeyUsage = x509.KeyUsageCertSign
	path := []*x509.Certificate{h.path[0], &mute, h.path[2], h.path[3]}
	all := append(h.above, h.parse(h.issue(pkitest.Devices, crl.Content{}))) //nolint:gocritic // a new slice is fine
	if got := ruleOf(crl.NewChecker(all...).Check(path, h.d.Now)); got != crl.RuleUsage {
		t.Errorf("a CA that may not sign lists: %q", got)
	}
	if got := ruleOf(crl.NewChecker(all...).Check(h.path[:1], h.d.Now)); got != crl.RulePath {
		t.Errorf("no issuer: %q", got)
	}
	if got := ruleOf(crl.NewChecker(all...).Check([]*x509.Certificate{h.path[0], h.path[2]}, h.d.Now)); got != crl.RulePath {
		t.Errorf("another issuer: %q", got)
	}
}

// TestCRL_3_PointsOfTheCertificate: a certificate that names a place for some
// reasons only is not covered by what is found there.
func TestCRL_3_PointsOfTheCertificate(t *testing.T) {
	h := newHouse(t)
	all := append(h.above, h.parse(h.issue(pkitest.Devices, crl.Content{}))) //nolint:gocritic // a new slice is fine
	uri := "\xa0\x05\xa0\x03\x86\x01a"
	for name, tc := range map[string]struct {
		points string // DER of CRLDistributionPoints
		want   crl.Rule
	}{
		"a place":                {"\x30\x09\x30\x07" + uri, ""},
		"for key compromise":     {"\x30\x0d\x30\x0b" + uri + "\x81\x02\x06\x40", crl.RuleReasons},
		"for all reasons":        {"\x30\x0e\x30\x0c" + uri + "\x81\x03\x07\x7f\x80", ""},
		"another issuer's":       {"\x30\x04\x30\x02\xa2\x00", crl.RuleIndirect},
		"malformed":              {"\x30\x03\x30\x02\xa2", crl.RulePoint},
		"more than there may be": {"\x30\x0b\x30\x09" + uri + "\x85\x00", crl.RulePoint},
		"nothing":                {"\x30\x00", crl.RuleScope},
	} {
		leaf := *h.path[0]
		leaf.Extensions = append(slices.Clip(leaf.Extensions), pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: []byte(tc.points)})
		path := append([]*x509.Certificate{&leaf}, h.path[1:]...)
		if got := ruleOf(crl.NewChecker(all...).Check(path, h.d.Now)); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// TestCRL_3_SHA1ListsAreRefused: crypto/x509 accepts such a list when asked to
// check its signature.
func TestCRL_3_SHA1ListsAreRefused(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	now := pkitest.Start()
	name := pkix.Name{CommonName: "Old CA"}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: name, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{7},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	must(t, err)
	ca, err := x509.ParseCertificate(der)
	must(t, err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now, NotAfter: now.AddDate(0, 1, 0)}, ca, leafKey.Public(), key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	for alg, want := range map[x509.SignatureAlgorithm]crl.Rule{x509.SHA1WithRSA: crl.RuleAlgorithm, x509.SHA256WithRSA: ""} {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{SignatureAlgorithm: alg, Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 1)}, ca, key)
		must(t, err)
		l, err := crl.Parse(der)
		must(t, err)
		if got := ruleOf(crl.NewChecker(l).Check([]*x509.Certificate{leaf, ca}, now)); got != want {
			t.Errorf("%v: %q, want %q", alg, got, want)
		}
		if x, err := x509.ParseRevocationList(der); err != nil || x.CheckSignatureFrom(ca) != nil {
			t.Errorf("%v: crypto/x509 refuses it by itself now: %v", alg, err)
		}
	}
}

func TestCRL_3_ParseRefusesWhatItDoesNotUnderstand(t *testing.T) {
	h := newHouse(t)
	ca := h.path[1]
	id := func(n ...int) asn1.ObjectIdentifier { return n }
	none := func(*x509.RevocationList) {}
	ext := func(e pkix.Extension) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) { l.ExtraExtensions = append(l.ExtraExtensions, e) }
	}
	entry := func(e pkix.Extension, serials ...int64) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			for _, s := range serials {
				x := x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: h.d.Now}
				if e.Id != nil {
					x.ExtraExtensions = []pkix.Extension{e}
				}
				l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x)
			}
		}
	}
	for name, tc := range map[string]struct {
		edit func(*x509.RevocationList)
		want crl.Rule
	}{
		"as it is":                   {none, ""},
		"unknown extension":          {ext(pkix.Extension{Id: id(1, 2, 3), Value: []byte{5, 0}}), ""},
		"unknown critical extension": {ext(pkix.Extension{Id: id(1, 2, 3), Critical: true, Value: []byte{5, 0}}), crl.RuleCritical},
		"of an entry":                {entry(pkix.Extension{Id: id(1, 2, 3), Critical: true, Value: []byte{5, 0}}, 5), crl.RuleCritical},
		"certificate issuer":         {entry(pkix.Extension{Id: id(2, 5, 29, 29), Critical: true, Value: []byte{0x30, 0}}, 5), crl.RuleIndirect},
		"twice the same":             {entry(pkix.Extension{}, 5, 5), crl.RuleEncoding},
		"scope, not critical":        {ext(pkix.Extension{Id: id(2, 5, 29, 28), Value: []byte{0x30, 3, 0x81, 1, 0xff}}), crl.RuleEncoding},
		"scope, cut":                 {ext(pkix.Extension{Id: id(2, 5, 29, 28), Critical: true, Value: []byte{0x30, 3, 0x81, 1}}), crl.RuleEncoding},
		"scope, more behind":         {ext(pkix.Extension{Id: id(2, 5, 29, 28), Critical: true, Value: []byte{0x30, 6, 0x81, 1, 0xff, 0x8f, 1, 0xff}}), crl.RuleEncoding},
		"indirect":                   {ext(pkix.Extension{Id: id(2, 5, 29, 28), Critical: true, Value: []byte{0x30, 3, 0x84, 1, 0xff}}), crl.RuleIndirect},
		"attribute certificates":     {ext(pkix.Extension{Id: id(2, 5, 29, 28), Critical: true, Value: []byte{0x30, 3, 0x85, 1, 0xff}}), crl.RuleScope},
		"CAs only and users only":    {ext(pkix.Extension{Id: id(2, 5, 29, 28), Critical: true, Value: []byte{0x30, 6, 0x81, 1, 0xff, 0x82, 1, 0xff}}), crl.RuleScope},
		"delta, not critical":        {ext(pkix.Extension{Id: id(2, 5, 29, 27), Value: []byte{2, 1, 1}}), crl.RuleEncoding},
		"head of another length":     {ext(pkix.Extension{Id: id(1, 3, 6, 1, 4, 1, 32473, 6), Value: []byte{4, 1, 1}}), crl.RuleEncoding},
		"taken off a complete list": {func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(5), RevocationTime: h.d.Now, ReasonCode: 8}}
		}, crl.RuleEncoding},
		"extension twice": {func(l *x509.RevocationList) {
			ext(pkix.Extension{Id: id(1, 2, 3)})(l)
			ext(pkix.Extension{Id: id(1, 2, 3)})(l)
		}, crl.RuleEncoding},
		"the longest number": {func(l *x509.RevocationList) { l.Number = new(big.Int).Lsh(big.NewInt(1), 158) }, ""},
	} {
		l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: h.d.Now, NextUpdate: h.d.Now.AddDate(0, 0, 1)}
		tc.edit(l)
		der, err := x509.CreateRevocationList(rand.Reader, l, ca, h.d.CAs[pkitest.Devices].Signer)
		must(t, err)
		if _, err := crl.Parse(der); ruleOf(err) != tc.want {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, err := crl.Parse([]byte("no list")); ruleOf(err) != crl.RuleEncoding {
		t.Errorf("no list: %v", err)
	}
}

func TestCRL_2_IssueRefusesNonsense(t *testing.T) {
	h := newHouse(t)
	ca, key := h.path[1], h.d.CAs[pkitest.Devices].Signer
	day := h.d.Now.AddDate(0, 0, 1)
	twice := append(h.entry(1), h.entry(1)...)
	for name, c := range map[string]crl.Content{
		"no number":             {ThisUpdate: h.d.Now, NextUpdate: day},
		"a base that is newer":  {Number: big.NewInt(1), Base: big.NewInt(2), ThisUpdate: h.d.Now, NextUpdate: day},
		"an entry twice":        {Number: big.NewInt(1), ThisUpdate: h.d.Now, NextUpdate: day, Entries: twice},
		"taken off, no delta":   {Number: big.NewInt(1), ThisUpdate: h.d.Now, NextUpdate: day, Entries: h.entry(8)},
		"a head of three bytes": {Number: big.NewInt(1), ThisUpdate: h.d.Now, NextUpdate: day, Head: []byte{1, 2, 3}},
	} {
		if _, err := crl.Issue(ca, key, c); !errors.Is(err, crl.ErrContent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := crl.Content{Number: big.NewInt(1), ThisUpdate: h.d.Now, NextUpdate: day}
	if _, err := crl.Issue(ca, h.d.Key(), good); err == nil {
		t.Error("another key signed")
	}
}

// FuzzParse: a list that is read says the same again, and no input breaks the Checker.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"deltaCRLCA1deltaCRL.crl", "onlySomeReasonsCA3otherreasonsCRL.crl", "GoodCACRL.crl", "distributionPoint2CACRL.crl"} {
		der, err := os.ReadFile(filepath.Join("testdata/pkits/crls", name))
		must(f, err)
		f.Add(der)
	}
	der, err := os.ReadFile("testdata/pkits/certs/NoPoliciesCACert.crt")
	must(f, err)
	ca, err := x509.ParseCertificate(der)
	must(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := crl.Parse(data)
		if err != nil {
			if ruleOf(err) == "" {
				t.Fatal("a refusal without a rule")
			}
			return
		}
		if l.Number().Sign() < 0 || l.Base() != nil && l.Base().Sign() < 0 {
			t.Fatal("a negative number")
		}
		leaf := *ca
		leaf.RawIssuer = l.Issuer()
		above := *ca
		above.RawSubject = l.Issuer()
		if crl.NewChecker(l).Check([]*x509.Certificate{&leaf, &above}, at()) == nil {
			t.Fatal("a list that nobody signed")
		}
	})
}
