package authority_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/revocation/crl"
)

// path parses a chain with its root behind.
func path(t testing.TB, chain [][]byte, root []byte) (out []*x509.Certificate) {
	t.Helper()
	for _, der := range append(slices.Clone(chain), root) {
		c, err := x509.ParseCertificate(der)
		must(t, err)
		out = append(out, c)
	}
	return out
}

func lists(t testing.TB, exported ...authority.CRL) (out []*crl.List) {
	t.Helper()
	for _, c := range exported {
		l, err := crl.Parse(c.DER)
		must(t, err)
		out = append(out, l)
	}
	return out
}

// household is an authority with some of everything.
type household struct {
	testing.TB
	a       *authority.Authority
	parties map[string]*authority.Certified
	second  pki.Class
	now     time.Time
}

func newHousehold(t testing.TB, dir authority.Dir) *household {
	h := &household{TB: t, a: ceremony(t, dir), parties: map[string]*authority.Certified{}, now: start()}
	second, err := h.a.AddDeviceClass("second", authority.Grants{}, h.now)
	must(t, err)
	h.second = second
	for _, p := range []struct {
		name  string
		role  pki.Role
		class pki.Class
		svn   uint32
	}{
		{"home", pki.HomeServer, 0, 0},
		{"shop", pki.LicenseIssuer, 0, 0},
		{"studio", pki.ContentProvider, 0, 0},
		{"a", pki.Device, 0, 1},
		{"b", pki.Device, 0, 2},
		{"c", pki.Device, second, 1},
		{"d", pki.Device, second, 2},
	} {
		r := request(t, p.role)
		r.Class, r.SVN = p.class, p.svn
		c, err := h.a.Enroll(r, h.now)
		must(t, err)
		h.parties[p.name] = c
	}
	return h
}

func (h *household) publish() {
	h.Helper()
	h.now = h.now.Add(time.Minute)
	must(h, h.a.Publish(h.now))
}

// agree fails when a party that the lists refuse stands by the state, or the other way.
func (h *household) agree(step string, check *crl.Checker) {
	h.Helper()
	v := verifier(h, h.a)
	chains := map[string][][]byte{"state signer": h.a.Trust().StateSigner, "time signer": h.a.Trust().TimeSigner}
	for name, p := range h.parties {
		chains[name] = p.Chain
	}
	for name, chain := range chains {
		_, byState := v.Verify(chain, h.now)
		byList := check.Check(path(h, chain, h.a.Trust().Roots[0]), h.now)
		if (byState == nil) != (byList == nil) {
			h.Errorf("%s: %s: the state says %v, the lists %v", step, name, byState, byList)
		}
	}
	for name, p := range h.parties { // the other key of a party goes with it
		_, byState := v.Verify(p.Chain, h.now)
		chain := append([][]byte{p.Delivery}, p.Chain[1:]...)
		if byList := check.Check(path(h, chain, h.a.Trust().Roots[0]), h.now); (byState == nil) != (byList == nil) {
			h.Errorf("%s: delivery key of %s: the state says %v, the lists %v", step, name, byState, byList)
		}
	}
}

// TestCRL_2_ListsSayWhatTheStateSays: after every kind of revocation, complete
// lists, and deltas on the first ones, judge each party as the state does.
func TestCRL_2_ListsSayWhatTheStateSays(t *testing.T) {
	h := newHousehold(t, newMemory())
	h.publish()
	base := h.a.State().Epoch().Number
	first, err := h.a.CRLs(0)
	must(t, err)
	steps := []struct {
		name string
		do   func() error
	}{
		{"nothing", func() error { return nil }},
		{"device", func() error { return h.a.RevokeDevice(h.parties["a"].Member) }},
		{"home server", func() error { return h.a.RevokeDevice(h.parties["home"].Member) }},
		{"suspended", func() error { return h.a.Suspend(h.second, revocation.KeyCompromise) }},
		{"resumed", func() error { return h.a.Resume(h.second) }},
		{"version", func() error { return h.a.SetMinSVN(h.second, 2) }},
		{"manufacturer suspended", func() error { return h.a.Suspend(4096, revocation.Unspecified) }},
		{"manufacturer resumed", func() error { return h.a.Resume(4096) }},
		{"class", func() error { return h.a.RevokeClass(authority.IssuerClass, revocation.KeyCompromise) }},
		{"all devices", func() error { return h.a.RevokeClass(4096, revocation.CertificateHold) }},
	}
	refused := 0
	before, epoch := first, base
	for _, s := range steps {
		must(t, s.do())
		h.publish()
		now, err := h.a.CRLs(0)
		must(t, err)
		delta, err := h.a.CRLs(base)
		must(t, err)
		h.agree(s.name, crl.NewChecker(lists(t, now...)...))
		step, err := h.a.CRLs(epoch)
		must(t, err)
		h.agree(s.name+", by one step", crl.NewChecker(lists(t, append(slices.Clone(before), step...)...)...))
		before, epoch = now, h.a.State().Epoch().Number
		h.agree(s.name+", by delta", crl.NewChecker(lists(t, append(slices.Clone(first), delta...)...)...))
		for _, l := range lists(t, now...) {
			if hash := h.a.State().Head().Hash(); l.Number().Uint64() != h.a.State().Epoch().Number || !bytes.Equal(l.Head(), hash[:]) {
				t.Errorf("%s: number %v, head %x", s.name, l.Number(), l.Head())
			}
		}
		if _, err := verifier(t, h.a).Verify(h.parties["c"].Chain, h.now); err != nil {
			refused++
		}
	}
	if refused != 6 { // suspended, and from "version" on
		t.Errorf("the steps refused c %d times", refused)
	}
	if _, err := h.a.CRLs(0, 77); !errors.Is(err, authority.ErrNoClass) {
		t.Errorf("no such class: %v", err)
	}
	if _, err := h.a.CRLs(9999); !errors.Is(err, authority.ErrNoEpoch) {
		t.Errorf("no such epoch: %v", err)
	}
}

// TestCRL_2_RootListsItsOwnMembers: the root's class has CAs and signers, each on
// its own list.
func TestCRL_2_RootListsItsOwnMembers(t *testing.T) {
	h := newHousehold(t, newMemory())
	must(t, h.a.RevokeDevice(pki.Member{Class: 0, Index: 1})) // the content provider CA
	h.publish()
	all, err := h.a.CRLs(0, 0)
	must(t, err)
	if len(all) != 2 || !all[0].CAs || all[0].Entries != 1 || all[1].CAs || all[1].Entries != 0 {
		t.Fatalf("%d lists of the root", len(all))
	}
	every, err := h.a.CRLs(0)
	must(t, err)
	h.agree("first-level CA", crl.NewChecker(lists(t, every...)...))
}

// TestCRL_2_OpenSSLReadsAndObeysThem: another implementation verifies parties
// with our lists, complete and delta.
func TestCRL_2_OpenSSLReadsAndObeysThem(t *testing.T) {
	openssl := needs.Tool(t, "openssl")
	h := newHousehold(t, newMemory())
	must(t, h.a.RevokeDevice(h.parties["a"].Member))
	h.publish()
	base := h.a.State().Epoch().Number
	complete, err := h.a.CRLs(0)
	must(t, err)
	must(t, h.a.RevokeDevice(h.parties["home"].Member))
	must(t, h.a.Suspend(h.second, revocation.Unspecified))
	h.publish()
	delta, err := h.a.CRLs(base)
	must(t, err)
	newer, err := h.a.CRLs(0)
	must(t, err)

	dir := t.TempDir()
	write := func(name, kind string, ders ...[]byte) string {
		var out []byte
		for _, der := range ders {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
		}
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, out, 0o600))
		return file
	}
	root := write("root.pem", "CERTIFICATE", h.a.Trust().Roots...)
	verify := func(p *authority.Certified, crls []authority.CRL, args ...string) (string, bool) {
		var ders [][]byte
		for _, c := range crls {
			ders = append(ders, c.DER)
		}
		args = append([]string{
			"verify", "-x509_strict", "-policy_check", "-policy", "1.3.6.1.4.1.32473.2.1", "-attime", fmt.Sprint(h.now.Unix()), "-crl_check_all", "-CAfile", root,
			"-untrusted", write("cas.pem", "CERTIFICATE", p.Chain[1:]...), "-CRLfile", write("crls.pem", "X509 CRL", ders...),
		}, append(args, write("leaf.pem", "CERTIFICATE", p.Chain[0]))...)
		out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput() //nolint:gosec // the test's own files
		return string(out), err == nil
	}
	for _, tc := range []struct {
		party string
		lists []authority.CRL
		args  []string
		says  string // "" = it stands
	}{
		{"b", complete, nil, ""},
		{"home", complete, nil, ""},
		{"c", complete, nil, ""},
		{"a", complete, nil, "certificate revoked"},
		{"home", newer, nil, "certificate revoked"},
		{"c", newer, nil, "certificate revoked"},
		{"b", newer, nil, ""},
		{"home", append(slices.Clone(newer), delta...), []string{"-use_deltas"}, "certificate revoked"}, // by the complete list (docs/spec/crl.md)
		{"b", append(slices.Clone(complete), delta...), []string{"-use_deltas"}, ""},
		{"b", complete[:1], nil, "unable to get certificate CRL"},
	} {
		out, ok := verify(h.parties[tc.party], tc.lists, tc.args...)
		if ok != (tc.says == "") || !strings.Contains(out, tc.says) {
			t.Errorf("openssl, %s: %v, want %q in %s", tc.party, ok, tc.says, out)
		}
	}
	for _, c := range append(newer, delta...) {
		out, err := exec.CommandContext(t.Context(), openssl, "crl", "-noout", "-text", "-in", write("one.pem", "X509 CRL", c.DER)).CombinedOutput() //nolint:gosec // as above
		want := []string{"X509v3 CRL Number", "X509v3 Issuing Distribution Point: critical", fmt.Sprintf("0x%X", c.Number)}
		if c.Number < 10 {
			want[2] = fmt.Sprint(c.Number)
		}
		if c.Base > 0 {
			want = append(want, "X509v3 Delta CRL Indicator: critical")
		}
		for _, w := range want {
			if err != nil || !strings.Contains(string(out), w) {
				t.Errorf("openssl crl: %v, want %q in %s", err, w, out)
			}
		}
	}
}
