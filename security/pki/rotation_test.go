package pki_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// newRoot makes another root of a trust domain.
func newRoot(t testing.TB, name string, index uint32) ([]byte, crypto.Signer) {
	t.Helper()
	key := pkitest.New(t, pkitest.Start()).Key()
	root, err := pki.IssueRoot(key, pki.Profile{
		Name: name, Member: pki.Member{Index: index}, CA: &pki.CA{PathLen: 2, Range: pki.Range{Last: pki.MaxClass}},
	}, pkitest.Start())
	if err != nil {
		t.Fatal(err)
	}
	return root, key
}

// rootStatus finds nothing wrong but with one member.
type rootStatus struct{ bad pki.Member }

func (s rootStatus) Check(class pki.Class, index, _ uint32) error {
	if (pki.Member{Class: class, Index: index}) == s.bad {
		return pki.ErrRevoked
	}
	return nil
}

func (rootStatus) Epoch() pki.Epoch { return pki.Epoch{Number: 1} }

func TestPKI_1_OldRootSignsTheNew(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	key := d.CAs[pkitest.RootClass].Signer
	second, secondKey := newRoot(t, "Second Root", 90)
	third, thirdKey := newRoot(t, "Third Root", 91)
	rotate := func(s crypto.Signer, from, to []byte, n uint64) []byte {
		t.Helper()
		out, err := pki.SignRotation(s, from, to, n, d.Now)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	fine := rootStatus{bad: pki.Member{Class: 9}}
	first, next := rotate(key, d.Root, second, 1), rotate(secondKey, second, third, 2)
	if _, err := d.Trust.Rotate(nil, next); !errors.Is(err, pki.ErrRotation) {
		t.Errorf("the second rotation without the first: %v", err)
	}
	both, err := d.Trust.Rotate(fine, first)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := both.Rotate(nil, first); err != nil || again != both {
		t.Errorf("the same again: %v", err)
	}
	all, err := both.Rotate(nil, next)
	if err != nil || len(all.Roots()) != 3 || !bytes.Equal(all.Roots()[2], third) || len(d.Trust.Roots()) != 1 {
		t.Fatalf("%d roots, %v", len(all.Roots()), err)
	}
	if chained, err := d.Trust.Follow(fine, [][]byte{first, next}); err != nil || len(chained.Roots()) != 3 {
		t.Errorf("both at once: %v", err)
	}
	late, err := pki.NewTrustStore(second) // enrolled after the first rotation
	if err != nil {
		t.Fatal(err)
	}
	if got, err := late.Follow(fine, [][]byte{first, next}); err != nil || len(got.Roots()) != 2 {
		t.Errorf("from the second on: %v", err)
	}
	if got, err := both.Follow(rootStatus{}, [][]byte{first}); err != nil || got != both {
		t.Errorf("what is known, of a root that has ended: %v", err)
	}
	if _, err := d.Trust.Follow(fine, [][]byte{{1}}); !errors.Is(err, pki.ErrRotation) {
		t.Errorf("no statement: %v", err)
	}
	// What each root has issued verifies, until the state ends it.
	old := d.Party(pki.Device)
	d.CAs[pkitest.RootClass] = &pki.Authority{Root: third, Signer: thirdKey}
	d.Root = third
	d.CA(pkitest.RootClass, "Other Manufacturer CA", pki.Device, 1, 0x3000, 0x3fff)
	d.CA(0x3000, "Other Class CA", pki.Device, 0, 0x3001, 0x3001)
	fresh := d.Party(pki.Device, func(p *pki.Profile) { p.Member.Class = 0x3001 })
	for _, p := range []*pkitest.Party{old, fresh} {
		if _, err := (&pki.Verifier{Trust: all, Status: fine}).Verify(p.Chain, d.Now); err != nil {
			t.Error(err)
		}
	}
	ended := rootStatus{bad: pki.Member{}} // the first root
	v := &pki.Verifier{Trust: all, Status: ended}
	if _, err := v.Verify(old.Chain, d.Now); pki.RuleOf(err) != pki.RuleRevoked {
		t.Errorf("under the root that has ended: %v", err)
	}
	if _, err := v.Verify(fresh.Chain, d.Now); err != nil {
		t.Error(err)
	}
	if got := all.Standing(ended); len(got.Roots()) != 2 || !bytes.Equal(got.Roots()[0], second) {
		t.Errorf("%d roots stand", len(got.Roots()))
	}
	if all.Standing(nil) != all || all.Standing(fine) != all || d.Trust.Standing(ended) != nil {
		t.Error("without a state, or with a good one, all stand; of one that has ended, none")
	}
	if _, err := d.Trust.Rotate(ended, first); pki.RuleOf(err) != pki.RuleRevoked || !errors.Is(err, pki.ErrRotation) {
		t.Errorf("a root that has ended says: %v", err)
	}
}

func TestPKI_1_BadRotationsAreRefused(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	key := d.CAs[pkitest.RootClass].Signer
	good, _ := newRoot(t, "Second Root", 90)
	twin, _ := newRoot(t, "Test Root", 90)
	place, _ := newRoot(t, "Second Root", 0)
	sign := func(object wire.Object, payload any) []byte {
		t.Helper()
		data, err := wire.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		out, err := wire.NewSign1(key, d.Root, object, data)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	statement, err := pki.SignRotation(key, d.Root, good, 1, d.Now)
	if err != nil {
		t.Fatal(err)
	}
	tampered := bytes.Clone(statement)
	tampered[len(tampered)-1] ^= 1
	for name, data := range map[string][]byte{
		"no statement":            []byte("rotation"),
		"another kind of object":  sign("licence", map[int]any{1: good, 2: 1, 3: 0}),
		"tampered":                tampered,
		"threshold metadata":      sign("rotation", map[int]any{1: good, 2: 1, 3: 0, 4: []int{2, 3}}),
		"number 0":                sign("rotation", map[int]any{1: good, 2: 0, 3: 0}),
		"no certificate":          sign("rotation", map[int]any{1: []byte{1}, 2: 1, 3: 0}),
		"a device as root":        sign("rotation", map[int]any{1: d.Party(pki.Device).Leaf(), 2: 1, 3: 0}),
		"a root of the same name": sign("rotation", map[int]any{1: twin, 2: 1, 3: 0}),
		"a root of its own place": sign("rotation", map[int]any{1: place, 2: 1, 3: 0}),
	} {
		if _, err := d.Trust.Rotate(nil, data); !errors.Is(err, pki.ErrRotation) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pki.SignRotation(d.Key(), d.Root, good, 1, d.Now); !errors.Is(err, pki.ErrRotation) {
		t.Errorf("signed with another key: %v", err)
	}
	if _, err := pki.SignRotation(key, d.Root, good, 0, d.Now); !errors.Is(err, pki.ErrRotation) {
		t.Errorf("number 0: %v", err)
	}
	many := d.Trust
	for n := uint64(1); n < pki.MaxRoots; n++ {
		root, _ := newRoot(t, "Root "+time.Duration(n).String(), uint32(n+1)) //nolint:gosec // small
		s, err := pki.SignRotation(key, d.Root, root, n, d.Now)
		if err != nil {
			t.Fatal(err)
		}
		if many, err = many.Rotate(nil, s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := many.Rotate(nil, statement); !errors.Is(err, pki.ErrRotation) {
		t.Errorf("one root more than there may be: %v", err)
	}
}

func TestPKI_1_RequestSaysWhatItsModuleIs(t *testing.T) {
	key := pkitest.New(t, pkitest.Start()).Key()
	for _, m := range []*pki.Module{nil, {SVN: 0, Implementation: []byte("x")}, {SVN: 1<<32 - 1, Implementation: make([]byte, pki.MaxImplementation)}, {Implementation: []byte("x"), Renews: make([]byte, 32)}} {
		der, err := pki.NewRequest(key, m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pki.ModuleOf(der)
		if err != nil || (got == nil) != (m == nil) || m != nil && (!cmp.Equal(got, m)) {
			t.Errorf("%+v became %+v, %v", m, got, err)
		}
		if pub, err := pki.ParseRequest(der); err != nil || !pub.Equal(key.Public()) {
			t.Errorf("%v", err)
		}
	}
	for _, n := range []int{0, pki.MaxImplementation + 1} {
		if _, err := pki.NewRequest(key, &pki.Module{Implementation: make([]byte, n)}); !errors.Is(err, pki.ErrRequest) {
			t.Errorf("an implementation ID of %d bytes: %v", n, err)
		}
	}
	for _, n := range []int{1, 31, 33} {
		if _, err := pki.NewRequest(key, &pki.Module{Implementation: []byte("x"), Renews: make([]byte, n)}); !errors.Is(err, pki.ErrRequest) {
			t.Errorf("a hash of %d bytes: %v", n, err)
		}
	}
}

// FuzzRotate: no statement but the one that the root of the page signed changes
// the store.
func FuzzRotate(f *testing.F) {
	trust, err := pki.NewTrustStore(pageHex(f, "old root"))
	if err != nil {
		f.Fatal(err)
	}
	good := pageHex(f, "rotation")
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := trust.Rotate(nil, data)
		if (err == nil) != bytes.Equal(data, good) {
			t.Fatalf("%v", err)
		}
		if err == nil && len(s.Roots()) != 2 {
			t.Fatal("no new root")
		}
	})
}

// TestPKI_1_WorkedExampleOfRotation reads docs/spec/certificates.md.
func TestPKI_1_WorkedExampleOfRotation(t *testing.T) {
	if *update {
		old, key := newRoot(t, "Lares Root", 0)
		next, _ := newRoot(t, "Lares Root 2", 9)
		s, err := pki.SignRotation(key, old, next, 1, pkitest.Start())
		if err != nil {
			t.Fatal(err)
		}
		writeHex(t, "old root", old)
		writeHex(t, "rotation", s)
	}
	trust, err := pki.NewTrustStore(pageHex(t, "old root"))
	if err != nil {
		t.Fatal(err)
	}
	both, err := trust.Rotate(nil, pageHex(t, "rotation"))
	if err != nil || len(both.Roots()) != 2 {
		t.Fatalf("%v", err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte{1})
	csr, err := pki.NewRequest(key, &pki.Module{SVN: 2, Implementation: []byte("lares-trem"), Renews: sum[:]})
	if err != nil || !bytes.Contains(csr, pageHex(t, "module extension")) || !bytes.Contains(csr, pageHex(t, "renews extension")) {
		t.Errorf("the request does not hold the extensions of the page: %v", err)
	}
}

// writeHex writes a block of the page anew.
func writeHex(t *testing.T, name string, data []byte) {
	t.Helper()
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for part := range slices.Chunk(data, 48) {
		fmt.Fprintf(&lines, "%x\n", part)
	}
	md = regexp.MustCompile("(?s)```hex "+name+"\n.*?```").ReplaceAllLiteral(md, []byte("```hex "+name+"\n"+lines.String()+"```"))
	if err := os.WriteFile(page, md, 0o644); err != nil { //nolint:gosec // a page of the manual
		t.Fatal(err)
	}
}
