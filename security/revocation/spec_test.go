package revocation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

var update = flag.Bool("update", false, "write the worked examples of the specification anew")

const (
	statePage = "../../docs/spec/revocation.md"
	timePage  = "../../docs/spec/time.md"
)

// exampleKey signs the worked examples: the P-256 key whose secret is 32 bytes of 0x01.
func exampleKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{1}, 32))
	must(t, err)
	return key
}

// exampleStates are the worked example: two epochs.
func exampleStates(t *testing.T) (first, second *State) {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sign := func(b *Builder, number uint64) *State {
		s, err := b.Sign(exampleKey(t), Issue{Epoch: pki.Epoch{Number: number}, IssuedAt: at, NextUpdate: at.Add(24 * time.Hour)})
		must(t, err)
		return s
	}
	b := NewBuilder(nil)
	must(t, b.Allot(0, 1))
	must(t, b.Allot(4097, PageSize+1))
	for _, i := range []uint32{5, 70, 9000} {
		must(t, b.RevokeDevice(4097, i))
	}
	first = sign(b, 1)
	must(t, b.Allot(4098, 1))
	must(t, b.RevokeClass(4098, KeyCompromise))
	for i := uint32(1000); i < 1016; i++ {
		must(t, b.RevokeDevice(4097, i))
	}
	must(t, b.RevokeDevice(4097, PageSize+9))
	must(t, b.SetIssuer("shop", at, true))
	return first, sign(b, 2)
}

// block is a ```hex NAME block: digits, and comments behind semicolons.
func block(name string) *regexp.Regexp {
	return regexp.MustCompile("(?s)```hex " + regexp.QuoteMeta(name) + "\n(.*?)```")
}

// checkBlocks holds a page's hexadecimal blocks against what the code makes.
func checkBlocks(t *testing.T, page string, want map[string][]byte) {
	t.Helper()
	md, err := os.ReadFile(page)
	must(t, err)
	for name, data := range want {
		m := block(name).FindSubmatch(md)
		if m == nil {
			t.Errorf("%s has no block %q", page, name)
			continue
		}
		var digits strings.Builder
		for line := range strings.Lines(string(m[1])) {
			digits.WriteString(strings.ReplaceAll(strings.Split(strings.TrimSpace(line), ";")[0], " ", ""))
		}
		if got, err := hex.DecodeString(digits.String()); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s, block %q: %x (%v), want\n%x", page, name, got, err, data)
			if *update {
				md = block(name).ReplaceAllLiteral(md, []byte("```hex "+name+"\n"+lines(data)+"```"))
			}
		}
	}
	if *update {
		must(t, os.WriteFile(page, md, 0o644)) //nolint:gosec // a page of the manual
	}
}

func lines(data []byte) string {
	var b strings.Builder
	for len(data) > 0 {
		n := min(32, len(data))
		fmt.Fprintf(&b, "%x\n", data[:n])
		data = data[n:]
	}
	return b.String()
}

func TestPKI_2_WorkedExample(t *testing.T) {
	first, second := exampleStates(t)
	delta, err := second.Delta(first)
	must(t, err)
	proof, err := second.Proof(pki.Member{Class: 4097, Index: 71}, pki.Member{})
	must(t, err)
	row := second.row(4097)
	want := map[string][]byte{
		"page of epoch 1": first.row(4097).page(0).Encode(),
		"page of epoch 2": row.page(0).Encode(),
		"second page":     row.page(1).Encode(),
		"leaf 0":          second.rows[0].Encode(),
		"leaf 4097":       row.Encode(),
		"leaf 4098":       second.rows[2].Encode(),
		"leaf shop":       second.issuers[0].Encode(),
		"snapshot":        second.Snapshot(),
		"delta":           delta,
		"head":            second.Head().Bytes(),
		"proof":           proof,
	}
	spki, err := x509.MarshalPKIXPublicKey(exampleKey(t).Public())
	must(t, err)
	want["signer"] = spki
	want["change"], err = SignChange(exampleKey(t), []byte("certificate"), 1, exampleKey(t).Public())
	must(t, err)
	stolen := second.issuers[0]
	stolen.Compromised = []Compromise{{Member: pki.Member{Class: 2, Index: 3}, Since: 2}}
	want["leaf shop, compromised"] = stolen.Encode()
	want["claim"], err = NewClaim(second.Head().Bytes(), [][]byte{{42}}, nil, nil).Encode()
	must(t, err)
	want["staple"], err = Staple{Proof: proof[:4], Chain: [][]byte{{42}}}.Encode()
	must(t, err)
	checkBlocks(t, statePage, want)
}

func TestPKI_5_WorkedExample(t *testing.T) {
	var nonce [NonceLen]byte
	for i := range nonce {
		nonce[i] = byte(i)
	}
	token, err := SignTime(exampleKey(t), []byte("certificate"), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), nonce)
	must(t, err)
	s, err := wire.ParseSign1(token, objectTime, wire.Limit{Bytes: MaxTimeToken})
	must(t, err)
	must(t, s.Verify(exampleKey(t).Public()))
	checkBlocks(t, timePage, map[string][]byte{"token": token, "payload": s.Payload})
}

// TestPKI_2_LimitsOnThePage: the page names the limits that the code has.
func TestPKI_2_LimitsOnThePage(t *testing.T) {
	md, err := os.ReadFile(statePage)
	must(t, err)
	for what, n := range map[string]int{
		"page": MaxPage, "snapshot": MaxSnapshot, "delta": MaxDelta, "pages of a delta": maxDeltaPages, "proof": MaxProof, "staple": MaxStaple,
		"leaves": MaxLeaves, "compromised keys of an issuer": MaxCompromised, "head": HeadLen, "classes of a proof": maxProofClasses, "pages of a class of a proof": maxProofPages, "escape": escape,
		"change of the signer": MaxSignerChange, "claim": MaxClaim, "greatest k": maxRice, "worth of a form": formWorth,
	} {
		if !bytes.Contains(md, fmt.Appendf(nil, "| %s | %d |", what, n)) {
			t.Errorf("the page does not say: | %s | %d |", what, n)
		}
	}
}
