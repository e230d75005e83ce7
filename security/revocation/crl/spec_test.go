package crl_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/revocation/crl"
)

const page = "../../../docs/spec/crl.md"

// block is a PEM block of the page.
func block(t *testing.T, md []byte, name string) []byte {
	t.Helper()
	m := regexp.MustCompile("(?s)```pem " + name + "\n(.*?)```").FindSubmatch(md)
	if m == nil {
		t.Fatalf("no block %q", name)
	}
	b, _ := pem.Decode(m[1])
	if b == nil {
		t.Fatalf("block %q is not PEM", name)
	}
	return b.Bytes
}

// example is what the page's lists say: 4097/5 revoked at epoch 5, and 4097/9 for a
// leaked key at epoch 7, when 4097/5 was taken off.
func example(base, number int64, hash byte, entries ...crl.Entry) crl.Content {
	c := crl.Content{Number: big.NewInt(number), Entries: entries, Head: []byte(strings.Repeat(string(rune(hash)), 32))}
	c.ThisUpdate, c.NextUpdate = pkitest.Start(), pkitest.Start().AddDate(0, 0, 1)
	if base > 0 {
		c.Base = big.NewInt(base)
	}
	return c
}

func serial(index uint32) *big.Int {
	return pki.Serial(pki.KindSigning, pki.Member{Class: pkitest.Devices, Index: index})
}

func TestCRL_WorkedExample(t *testing.T) {
	md, err := os.ReadFile(page)
	must(t, err)
	if *update {
		md = writeExample(t, md)
	}
	ca, err := x509.ParseCertificate(block(t, md, "CA"))
	must(t, err)
	list, err := crl.Parse(block(t, md, "list"))
	must(t, err)
	delta, err := crl.Parse(block(t, md, "delta"))
	must(t, err)
	if list.Number().Int64() != 5 || list.Base() != nil || list.Len() != 1 || string(list.Head()) != strings.Repeat("A", 32) {
		t.Errorf("the list has number %v, base %v, %d entries, head %x", list.Number(), list.Base(), list.Len(), list.Head())
	}
	if delta.Number().Int64() != 7 || delta.Base().Int64() != 5 || delta.Len() != 2 {
		t.Errorf("the delta has number %v, base %v, %d entries", delta.Number(), delta.Base(), delta.Len())
	}
	for _, tc := range []struct {
		index       uint32
		list, delta crl.Rule
	}{{5, crl.RuleRevoked, ""}, {9, "", crl.RuleRevoked}, {6, "", ""}} {
		leaf := &x509.Certificate{SerialNumber: serial(tc.index), RawIssuer: ca.RawSubject, BasicConstraintsValid: true}
		path := []*x509.Certificate{leaf, ca}
		if got := ruleOf(crl.NewChecker(list).Check(path, pkitest.Start())); got != tc.list {
			t.Errorf("index %d: %q, want %q", tc.index, got, tc.list)
		}
		if got := ruleOf(crl.NewChecker(list, delta).Check(path, pkitest.Start())); got != tc.delta {
			t.Errorf("index %d, with the delta: %q, want %q", tc.index, got, tc.delta)
		}
	}
	for _, r := range []crl.Rule{
		crl.RulePath, crl.RuleNames, crl.RuleEncoding, crl.RuleCritical, crl.RuleAbsent, crl.RulePoint, crl.RuleScope, crl.RuleIndirect,
		crl.RuleUsage, crl.RuleKey, crl.RuleAlgorithm, crl.RuleSignature, crl.RuleFresh, crl.RuleReasons, crl.RuleRevoked,
	} {
		if !strings.Contains(string(md), fmt.Sprintf("| `%s` |", r)) {
			t.Errorf("the page has no rule %q", r)
		}
	}
}

func writeExample(t *testing.T, md []byte) []byte {
	t.Helper()
	h := newHouse(t)
	off := crl.Entry{Serial: serial(5), Revoked: h.d.Now}
	gone := off
	gone.Reason = 8
	for name, b := range map[string]pem.Block{
		"CA":    {Type: "CERTIFICATE", Bytes: h.path[1].Raw},
		"list":  {Type: "X509 CRL", Bytes: h.issue(pkitest.Devices, example(0, 5, 'A', off))},
		"delta": {Type: "X509 CRL", Bytes: h.issue(pkitest.Devices, example(5, 7, 'B', gone, crl.Entry{Serial: serial(9), Reason: 1, Revoked: h.d.Now}))},
	} {
		text := append([]byte("```pem "+name+"\n"), append(pem.EncodeToMemory(&b), "```"...)...)
		md = regexp.MustCompile("(?s)```pem "+name+"\n.*?```").ReplaceAllLiteral(md, text)
	}
	must(t, os.WriteFile(page, md, 0o644)) //nolint:gosec // a page of the manual
	return md
}
