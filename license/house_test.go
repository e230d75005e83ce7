package license_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

const ownID = ident.Content("urn:lares:own:0f9c2f4e2b8d4f3b9d2c6a7e1f5b8c3d")

// newOwn is the license of an own film of a house.
func newOwn(t *testing.T, of ident.Domain, edit ...func(*license.Info)) *license.Info {
	t.Helper()
	info, err := license.NewOwn(license.Own{
		ID: ident.License{0: 2, 15: 1}, Domain: of, Generation: 1, Content: ownID, Duration: 2 * hour, Now: day0, Version: 1,
		Keys: []license.KeyRef{{KID: hdKID, Tier: license.TierHD, Check: license.KeyCheck(hdKID, ownID, key(license.TierHD)), BPS: 1_000_000}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range edit {
		f(info)
	}
	return info
}

// TestLicense_2_OwnFilmsTerms: what a house's license permits, and that the page says
// the same.
func TestLicense_2_OwnFilmsTerms(t *testing.T) {
	info := newOwn(t, domain)
	checkPage(t, "license.md", "own", must(t)(wire.Marshal(info)))
	u, err := info.Units()
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[permission.Permission]bool{
		permission.Play: true, permission.Render: true, permission.Lend: true,
		permission.Copy: false, permission.Move: false, permission.Transfer: false, permission.Export: true,
	} {
		if u.Grants(p) != want {
			t.Errorf("%v: %v, want %v", p, !want, want)
		}
	}
	lic, err := license.Issue(fixedKey(t, 7), []byte("certificate"), info)
	if err != nil {
		t.Fatal(err)
	}
	if d, house := lic.House(); !house || d != domain {
		t.Errorf("it is of %v, %v", d, house)
	}
	if _, house := newLicense(t, "PLAY").House(); house {
		t.Error("a shop's license is a house's")
	}
	in := at(day0 + day)
	in.Request = license.Request{Action: permission.Lend, Confirm: true, For: 60 * day, Dest: &license.Dest{Device: ident.Device{1}, Level: 1}}
	if d := lic.Evaluate(in); !d.Allow {
		t.Errorf("a loan to a stranger: %+v", d.Reasons)
	}
	if in.Request.For++; lic.Evaluate(in).Allow {
		t.Error("a loan of more than 60 days")
	}
	loan, err := license.Derive(lic, license.Derivation{Kind: license.KindLoan, Subject: license.DeviceSubject(ident.Device{1}), For: day, Now: day0})
	if err != nil {
		t.Fatal(err)
	}
	if u, err := loan.Units(); err != nil || !u.Export.Names(permission.SystemClearKey) {
		t.Errorf("a borrower's browser does not show it: %v", err)
	}
	if loan.Policy.Concurrency == nil || loan.Policy.Concurrency.Max != 1 || loan.Policy.Backup != license.BackupNone {
		t.Errorf("the loan's policy is %+v", loan.Policy)
	}
}

// houseVectors are chains with own films, and whether a module takes them: what
// testdata/house.json holds for readers in other languages.
type houseVectors struct {
	Source  string                 `json:"source"`
	About   string                 `json:"about"`
	Root    string                 `json:"root"` // DER; signers are judged at a day after issue
	Signers map[string]houseSigner `json:"signers"`
	Vectors []houseVector          `json:"vectors"`
}

// houseSigner is what a chain of certificates says, for readers that do not read X.509.
type houseSigner struct {
	Role   string   `json:"role"`
	Device string   `json:"device"`
	Issuer string   `json:"issuer,omitempty"` // asserted
	Key    string   `json:"key"`              // SubjectPublicKeyInfo
	Chain  []string `json:"chain"`            // DER, leaf first
}

type houseVector struct {
	Name    string   `json:"name"`
	Chain   []string `json:"chain"`   // licenses, leaf first
	Signers []string `json:"signers"` // of each
	Domain  string   `json:"domain"`  // of the module's house; zeros: none
	Manager string   `json:"manager"` // of that house
	Lent    bool     `json:"lent"`    // it comes by LEND
	Takes   bool     `json:"takes"`
}

const houseFile = "testdata/house.json"

// TestLicense_2_WhoTakesAnOwnFilm runs the vectors: who is the house of a film of its
// own takes it of its home server, everybody else as a loan of the server that issued it.
func TestLicense_2_WhoTakesAnOwnFilm(t *testing.T) {
	if *update {
		writeHouseVectors(t)
	}
	var v houseVectors
	data, err := os.ReadFile(houseFile)
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	trust, err := pki.NewTrustStore(unhex(t, v.Root))
	if err != nil {
		t.Fatal(err)
	}
	peers := map[string]*pki.Peer{}
	for name, s := range v.Signers {
		chain := make([][]byte, len(s.Chain))
		for i := range chain {
			chain[i] = unhex(t, s.Chain[i])
		}
		peer, err := (&pki.Verifier{Trust: trust}).Verify(chain, pkitest.Start())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		spki, err := x509.MarshalPKIXPublicKey(peer.Public())
		if id := peer.ID(); err != nil || peer.Role().String() != s.Role || hex.EncodeToString(id[:]) != s.Device || string(peer.Issuer()) != string(unhex(t, s.Issuer)) || !bytes.Equal(spki, unhex(t, s.Key)) {
			t.Errorf("%s: the certificate says %v, %v, %v", name, peer.Role(), id, peer.Issuer())
		}
		peers[name] = peer
	}
	for _, x := range v.Vectors {
		var chain []*license.License
		var signers []*pki.Peer
		for i := range x.Chain {
			lic, err := license.Parse(unhex(t, x.Chain[i]))
			if err != nil {
				t.Fatalf("%s: %v", x.Name, err)
			}
			chain, signers = append(chain, lic), append(signers, peers[x.Signers[i]])
		}
		err := license.VerifyChain(chain, signers, license.Houses{
			Domain: ident.Domain(unhex(t, x.Domain)), Manager: ident.Device(unhex(t, x.Manager)), Lent: x.Lent,
		})
		if (err == nil) != x.Takes || err != nil && !errors.Is(err, license.ErrSigner) {
			t.Errorf("%s: %v, want %v", x.Name, err, x.Takes)
		}
	}
	if len(v.Vectors) < 15 {
		t.Errorf("%d vectors", len(v.Vectors))
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writeHouseVectors makes the file anew, with new keys.
func writeHouseVectors(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	other := ident.Domain{0: 0xd1, 15: 2}
	parties := map[string]*pkitest.Party{
		"home": d.Party(pki.HomeServer), "next": d.Party(pki.HomeServer), "theirs": d.Party(pki.HomeServer),
		"asserts": d.Party(pki.HomeServer, func(p *pki.Profile) { p.Issuer = ident.Issuer(domain[:]) }),
		"shop":    d.Party(pki.LicenseIssuer, func(p *pki.Profile) { p.Issuer = "shop.example" }), "tablet": d.Party(pki.Device),
	}
	v := houseVectors{
		Source: "docs/spec/chain.md", About: "Who takes the license of a house's own film. Binary values are in hexadecimal. Levels, keys and times are those of license.md.",
		Root: hex.EncodeToString(d.Root), Signers: map[string]houseSigner{},
	}
	for name, p := range parties {
		peer := d.Peer(p)
		spki := must(t)(x509.MarshalPKIXPublicKey(peer.Public()))
		id := peer.ID()
		s := houseSigner{Role: peer.Role().String(), Device: hex.EncodeToString(id[:]), Issuer: hex.EncodeToString([]byte(peer.Issuer())), Key: hex.EncodeToString(spki)}
		for _, der := range p.Chain {
			s.Chain = append(s.Chain, hex.EncodeToString(der))
		}
		v.Signers[name] = s
	}
	w := houseWriter{t: t, d: d, parties: parties, v: &v}
	root := func(by string, of ident.Domain, edit ...func(*license.Info)) link {
		return w.sign(by, newOwn(t, of, edit...))
	}
	ours, hers := root("home", domain), root("theirs", other)
	title := func(i *license.Info) { i.Content = "film-1" }
	grants := func(text string) func(*license.Info) {
		return func(i *license.Info) { i.Code = code(t, text) }
	}
	w.add("our film, of our home server", domain, "home", false, true, w.child("home", ours, license.KindAllowance), ours)
	w.add("the license itself", domain, "home", false, true, ours)
	w.add("of the home server before", domain, "next", false, false, w.child("next", ours, license.KindAllowance), ours)
	w.add("of the home server after a restore", domain, "next", false, true, root("next", domain))
	w.add("a stranger issues for our house", domain, "home", false, false, root("theirs", domain))
	w.add("a stranger lends as our house", domain, "home", true, false, w.lent("theirs", root("theirs", domain)), root("theirs", domain))
	w.add("a certificate that asserts our domain does not manage it", domain, "home", false, false, root("asserts", domain))
	w.add("another house's license", domain, "home", false, false, hers)
	w.add("an allowance of another house's", domain, "home", false, false, w.child("theirs", hers, license.KindAllowance), hers)
	w.add("a loan of another house's", domain, "home", true, true, w.lent("theirs", hers), hers)
	w.add("a loan to a module of no house", ident.Domain{}, "", true, true, w.lent("theirs", hers), hers)
	w.add("a loan that does not come by LEND", domain, "home", false, false, w.lent("theirs", hers), hers)
	w.add("the license itself by LEND", domain, "home", true, false, hers)
	w.add("a loan that another server signed", domain, "home", true, false, w.lent("next", hers), hers)
	w.add("a loan that a device signed", domain, "home", true, false, w.lent("tablet", hers), hers)
	w.add("a loan handed on", domain, "home", true, false, w.child("home", w.lent("theirs", hers), license.KindAllowance), w.lent("theirs", hers), hers)
	w.add("a bought title's name", domain, "home", false, false, root("home", domain, title))
	w.add("a bought title's name, lent", domain, "home", true, false, w.lent("theirs", root("theirs", other, title)), root("theirs", other, title))
	w.add("given away", domain, "home", false, false, root("home", domain, grants("PLAY; TRANSFER=1")))
	w.add("moved", domain, "home", false, false, root("home", domain, grants("PLAY; MOVE=ANY")))
	w.add("copied", domain, "home", false, false, root("home", domain, grants("PLAY; COPY=FREE")))
	w.add("exported to a system that keeps it", domain, "home", false, false, root("home", domain, grants("PLAY; EXPORT=clearkey,lcp")))
	w.add("for a device", domain, "home", false, false, root("home", domain, func(i *license.Info) { i.Subject, i.Policy.Backup = license.DeviceSubject(ident.Device{7}), 0 }))
	w.add("a device issues", domain, "home", false, false, root("tablet", domain))
	w.add("a shop issues in a house's name", domain, "home", false, false, root("shop", domain))
	w.add("a home server in a shop's name", domain, "home", false, false, root("home", domain, func(i *license.Info) { i.Issuer = "shop.example" }))
	data := must(t)(json.MarshalIndent(v, "", " "))
	if err := os.WriteFile(houseFile, append(data, '\n'), 0o644); err != nil { //nolint:gosec // vectors
		t.Fatal(err)
	}
}

// link is a license and who signed it.
type link struct {
	lic *license.License
	by  string
}

type houseWriter struct {
	t       *testing.T
	d       *pkitest.Domain
	parties map[string]*pkitest.Party
	v       *houseVectors
}

func (w *houseWriter) sign(by string, info *license.Info) link {
	w.t.Helper()
	lic, err := license.Issue(w.parties[by].Key, w.parties[by].Leaf(), info)
	if err != nil {
		w.t.Fatal(err)
	}
	return link{lic, by}
}

func (w *houseWriter) child(by string, parent link, kind license.DerivedKind) link {
	w.t.Helper()
	info, err := license.Derive(parent.lic, license.Derivation{
		Kind: kind, Device: w.d.Peer(w.parties["tablet"]).ID(), Subject: license.DeviceSubject(w.d.Peer(w.parties["tablet"]).ID()), For: day, Now: day0,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.sign(by, info)
}

func (w *houseWriter) lent(by string, parent link) link {
	return w.child(by, parent, license.KindLoan)
}

func (w *houseWriter) add(name string, house ident.Domain, manager string, lent, takes bool, chain ...link) {
	x := houseVector{Name: name, Domain: hex.EncodeToString(house[:]), Manager: strings.Repeat("0", 32), Lent: lent, Takes: takes}
	if manager != "" {
		id := w.d.Peer(w.parties[manager]).ID()
		x.Manager = hex.EncodeToString(id[:])
	}
	for _, l := range chain {
		x.Chain, x.Signers = append(x.Chain, hex.EncodeToString(l.lic.Bytes())), append(x.Signers, l.by)
	}
	w.v.Vectors = append(w.v.Vectors, x)
}

// A second reader, written from docs/spec alone in another language, takes what the
// vectors say. It sees one that is wrong.
func TestInterop_SecondReaderOfOwnFilms(t *testing.T) {
	needs.Long(t)
	read := func(file string) (string, error) {
		out, err := exec.CommandContext(t.Context(), needs.Tool(t, "python3"), "../tools/reader/house.py", file).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if said, err := read(houseFile); err != nil || said != "26 passed, 0 failed" {
		t.Errorf("%v\n%s", err, said)
	}
	data, err := os.ReadFile(houseFile)
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "house.json")
	if err := os.WriteFile(wrong, bytes.Replace(data, []byte(`"takes": false`), []byte(`"takes": true`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := read(wrong); err == nil || !strings.Contains(said, "of the home server before: found False") {
		t.Errorf("a vector that is wrong: %v\n%s", err, said)
	}
}
