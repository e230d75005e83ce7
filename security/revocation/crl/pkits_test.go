package crl_test

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/security/revocation/crl"
)

var update = flag.Bool("update", false, "write the outcomes of the suite anew")

// vector is a test of PKITS as the Go tree writes it: paths from the anchor down.
type vector struct {
	Name                        string
	CertPath, CRLPath           []string
	ShouldValidate              bool
	InitialPolicySet            []string
	InitialPolicyMappingInhibit bool
	InitialExplicitPolicy       bool
	InitialAnyPolicyInhibit     bool
}

func pkits(t *testing.T) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/pkits/vectors.json")
	must(t, err)
	var out []vector
	must(t, json.Unmarshal(data, &out))
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// at is when PKITS is to be judged: its certificates hold from 2010 to 2030.
func at() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// judge validates a path as a peer with nothing but lists does: crypto/x509
// finds the path, which must be the one shown, and the Checker judges it.
func (v *vector) judge(t *testing.T) error {
	t.Helper()
	var path []*x509.Certificate // leaf first
	for _, name := range v.CertPath {
		der, err := os.ReadFile(filepath.Join("testdata/pkits/certs", name))
		must(t, err)
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("x509: parse: %w", err)
		}
		path = slices.Insert(path, 0, c)
	}
	var lists []*crl.List
	for _, name := range v.CRLPath {
		der, err := os.ReadFile(filepath.Join("testdata/pkits/crls", name))
		must(t, err)
		l, err := crl.Parse(der)
		if err != nil {
			continue // unusable for anybody: as if it were not held
		}
		lists = append(lists, l)
	}
	found, err := v.validate(path)
	if err != nil {
		return err
	}
	for _, f := range found {
		if err = crl.NewChecker(lists...).Check(f, at()); err == nil {
			return nil
		}
	}
	return err
}

// validate is crypto/x509 on the path shown. The suite's initial settings,
// which VerifyOptions does not have, are written into the first certificate
// below the anchor, where RFC 5280 section 6.1 gives them the same effect.
func (v *vector) validate(path []*x509.Certificate) ([][]*x509.Certificate, error) {
	last := len(path) - 1
	roots, cas := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(path[last])
	first := *path[last-1]
	path = slices.Clone(path)
	path[last-1] = &first
	if v.InitialExplicitPolicy {
		first.RequireExplicitPolicy, first.RequireExplicitPolicyZero = 0, true
	}
	if v.InitialAnyPolicyInhibit {
		first.InhibitAnyPolicy, first.InhibitAnyPolicyZero = 0, true
		first.Policies = slices.DeleteFunc(slices.Clone(first.Policies), anyPolicy().Equal)
	}
	if v.InitialPolicyMappingInhibit {
		first.InhibitPolicyMapping, first.InhibitPolicyMappingZero = 0, true
		for _, m := range first.PolicyMappings {
			first.Policies = slices.DeleteFunc(slices.Clone(first.Policies), m.IssuerDomainPolicy.Equal)
		}
		first.PolicyMappings = nil
	}
	for _, c := range path[1:last] {
		cas.AddCert(c)
	}
	var policies []x509.OID
	for _, p := range v.InitialPolicySet {
		if p != "anyPolicy" {
			var n uint64
			if _, err := fmt.Sscanf(p, "NIST-test-policy-%d", &n); err != nil {
				return nil, err
			}
			policies = append(policies, oid(2, 16, 840, 1, 101, 3, 2, 1, 48, n))
		}
	}
	found, err := path[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: cas, CurrentTime: at(), CertificatePolicies: policies,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("x509: %w", err)
	}
	return found, nil
}

func oid(arcs ...uint64) x509.OID {
	id, err := x509.OIDFromInts(arcs)
	if err != nil {
		panic(err)
	}
	return id
}

func anyPolicy() x509.OID { return oid(2, 5, 29, 32, 0) }

// refusedValid has a reason for each valid path that is refused. There must be
// no other, and none of them may begin to pass unseen.
func refusedValid() map[string]string {
	out := map[string]string{}
	for reason, tests := range map[string]string{
		"DSA and SHA-1 are not algorithms of today":                                 "4.1.4 4.1.5",
		"names are compared byte by byte, not by their case, spaces or string type": "4.3.3 4.3.4 4.3.5 4.3.10 4.3.11",
		"another key of the issuer signed the list":                                 "4.4.19 4.5.1 4.5.4 4.5.6 4.9.6 4.11.7 4.12.7 4.12.9",
		"crypto/x509 counts self-issued certificates in path lengths":               "4.6.15 4.6.17",
		"crypto/x509 does not apply constraints of directory names":                 "4.13.1 4.13.4 4.13.5 4.13.6 4.13.11 4.13.14 4.13.18 4.13.19 4.13.27",
		"crypto/x509 takes a host in a constraint for its subdomains too":           "4.13.21 4.13.23 4.13.25 4.13.34 4.13.36",
		"names relative to the issuer's are not understood":                         "4.14.4 4.14.5 4.14.7",
		"indirect lists are not supported":                                          "4.14.22 4.14.24 4.14.25 4.14.28 4.14.29 4.14.30 4.14.33",
	} {
		for name := range strings.FieldsSeq(tests) {
			out[name] = reason
		}
	}
	return out
}

// tally is one row of the table.
type tally struct{ tests, accepted, refusedValid, refusedInvalid, falseAccepts int }

// TestPKITS_NoFalseAccept judges the whole suite, prints the table by section
// and holds it against docs/spec/crl.md, and every outcome against
// testdata/pkits/outcomes.txt, so that a refusal for another reason is seen.
func TestPKITS_NoFalseAccept(t *testing.T) {
	sections, total := map[string]*tally{}, &tally{}
	reasons, left := refusedValid(), refusedValid()
	var outcomes strings.Builder
	for _, v := range pkits(t) {
		err := v.judge(t)
		number, _, _ := strings.Cut(v.Name, " ")
		section := strings.Join(strings.Split(number, ".")[:2], ".")
		if sections[section] == nil {
			sections[section] = &tally{}
		}
		fmt.Fprintf(&outcomes, "%s: %s\n", v.Name, outcome(err))
		for _, row := range []*tally{sections[section], total} {
			row.tests++
			switch {
			case v.ShouldValidate && err == nil:
				row.accepted++
			case v.ShouldValidate:
				row.refusedValid++
			case err == nil:
				row.falseAccepts++
			default:
				row.refusedInvalid++
			}
		}
		switch {
		case !v.ShouldValidate && err == nil:
			t.Errorf("FALSE ACCEPT: %s", v.Name)
		case v.ShouldValidate && err != nil && reasons[number] == "":
			t.Errorf("%s is refused, and no reason is given: %v", v.Name, err)
		case v.ShouldValidate && err != nil:
			t.Logf("refused valid path %s: %s (%v)", v.Name, reasons[number], err)
			delete(left, number)
		}
	}
	for number := range left {
		t.Errorf("%s is said to be refused, and it is not", number)
	}
	golden(t, outcomes.String())
	printTable(t, sections, total)
}

// outcome is the part of an error that does not change with Go's wording.
func outcome(err error) string {
	switch e := (*crl.Error)(nil); {
	case err == nil:
		return "accepted"
	case errors.As(err, &e):
		return "refused, " + string(e.Rule)
	}
	return "refused, crypto/x509"
}

func golden(t *testing.T, got string) {
	t.Helper()
	const name = "testdata/pkits/outcomes.txt"
	if *update {
		must(t, os.WriteFile(name, []byte(got), 0o600))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func printTable(t *testing.T, sections map[string]*tally, total *tally) {
	t.Helper()
	page, err := os.ReadFile("../../../docs/spec/crl.md")
	must(t, err)
	table := "| Section | tests | accepted valid | refused valid | refused invalid | false accepts |\n|---|---|---|---|---|---|\n"
	line := func(name string, r *tally) {
		table += fmt.Sprintf("| %s | %d | %d | %d | %d | %d |\n", name, r.tests, r.accepted, r.refusedValid, r.refusedInvalid, r.falseAccepts)
	}
	for n := 1; n <= len(sections); n++ {
		name := fmt.Sprintf("4.%d", n)
		if sections[name] == nil {
			t.Fatalf("section %s has no test", name)
		}
		line(name, sections[name])
	}
	line("all", total)
	t.Logf("NIST PKITS\n%s", table)
	if !strings.Contains(string(page), table) {
		t.Error("docs/spec/crl.md has another table")
	}
	for _, reason := range refusedValid() {
		if !strings.Contains(string(page), reason) {
			t.Errorf("docs/spec/crl.md does not say %q", reason)
		}
	}
}
