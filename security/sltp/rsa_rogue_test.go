package sltp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// strange is an RSA key that answers what it is told to.
type strange struct {
	crypto.Decrypter
	plain []byte
	err   error
}

func (s *strange) Decrypt(io.Reader, []byte, crypto.DecrypterOpts) ([]byte, error) {
	return s.plain, s.err
}

// TestSLTP_4_OneError: whatever is wrong behind the signature of R4, the error
// and the alert are the same.
func TestSLTP_4_OneError(t *testing.T) {
	h := legacyHouse(t)
	key := h.dst.cfg.RSA.Key
	_, m := h.legacyUpTo(4)
	good, err := parseR4(m[0].Bytes)
	if err != nil {
		t.Fatal(err)
	}
	s := h.dst.ordered()[0]
	var texts []string
	for name, tc := range map[string]struct {
		key  crypto.Decrypter
		edit func(*r4)
	}{
		"another secret": {key, func(m *r4) {
			m.Wrapped, _ = rsa.EncryptOAEP(sha256.New(), rand.Reader, s.rsaPub(t, h), make([]byte, 32), nil)
		}},
		"a short secret": {key, func(m *r4) {
			m.Wrapped, _ = rsa.EncryptOAEP(sha256.New(), rand.Reader, s.rsaPub(t, h), make([]byte, 16), nil)
		}},
		"a label": {key, func(m *r4) {
			m.Wrapped, _ = rsa.EncryptOAEP(sha256.New(), rand.Reader, s.rsaPub(t, h), make([]byte, 32), []byte("x"))
		}},
		"no padding":        {key, func(m *r4) { m.Wrapped = make([]byte, len(m.Wrapped)) }},
		"E changed":         {key, func(m *r4) { m.Sealed = slices.Clone(m.Sealed); m.Sealed[0] ^= 1 }},
		"E short":           {key, func(m *r4) { m.Sealed = m.Sealed[:3] }},
		"the token's error": {&strange{key, nil, errors.New("token removed")}, func(*r4) {}},
		"the token's lie":   {&strange{key, []byte{1}, nil}, func(*r4) {}},
	} {
		bad := good
		tc.edit(&bad)
		_, err := unwrap(tc.key, s.rsa.th3, bad)
		if err == nil {
			t.Fatalf("%s: opened", name)
		}
		texts = append(texts, err.Error())
	}
	if slices.Sort(texts); texts[0] != texts[len(texts)-1] {
		t.Errorf("the errors differ: %v", texts)
	}
	// Signed by the source all the same, on the wire.
	good.Sealed = append(slices.Clone(good.Sealed), 0)
	sig, err := signLabeled(h.issuer.Key, good.signed4(s.rsa.th3))
	if err != nil {
		t.Fatal(err)
	}
	good.Signature = sig
	b, err := wire.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	out, ev := h.deliver(h.dst, []Message{{CID: m[0].CID, Bytes: b}})
	failed(t, out, ev, AlertRejected, "")
}

func (s *session) rsaPub(t testing.TB, h *house) *rsa.PublicKey {
	t.Helper()
	pub, ok := h.dst.cfg.RSA.Key.Public().(*rsa.PublicKey)
	if !ok {
		t.Fatal("no RSA key")
	}
	return pub
}

// TestSLTP_4_Rogues: parties with certificates, that are not who they should be.
func TestSLTP_4_Rogues(t *testing.T) {
	resign := func(t *testing.T, h *house, p *pkitest.Party, m r3, th2 [32]byte) []byte {
		t.Helper()
		th3, err := m.th3(th2)
		if err != nil {
			t.Fatal(err)
		}
		if m.Signature, err = signLabeled(p.Key, append([]byte(rsaLabel3), th3[:]...)); err != nil {
			t.Fatal(err)
		}
		b, err := wire.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tc := range []struct {
		name string
		edit func(h *house, m *r3) *pkitest.Party // who signs
		want Alert
		rule pki.Rule
	}{
		{"signed by another", func(h *house, _ *r3) *pkitest.Party { return h.issuer }, AlertRejected, ""},
		{"an issuer asks", func(h *house, m *r3) *pkitest.Party {
			p := h.domain.Party(pki.LicenseIssuer, withSuites())
			m.Chain = p.Chain
			return p
		}, AlertCertificate, pki.RuleRole},
		{"a device with Diffie-Hellman", func(h *house, m *r3) *pkitest.Party {
			p := h.domain.Party(pki.Device, withSuites(2))
			m.Chain, m.Cert = p.Chain, h.domain.RSA(p, h.dst.cfg.RSA.Key.Public().(*rsa.PublicKey))
			return p
		}, AlertMode, ""},
		{"another device's RSA key", func(h *house, m *r3) *pkitest.Party {
			p := h.domain.Party(pki.Device, withSuites())
			m.Chain = p.Chain
			return p
		}, AlertCertificate, pki.RuleSame},
		{"a delivery key", func(h *house, m *r3) *pkitest.Party { m.Cert = h.home.DelLeaf; return h.home }, AlertCertificate, pki.RuleKind},
		{"a request that is none", func(h *house, m *r3) *pkitest.Party { m.Request = []byte{0x80}; return h.home }, AlertRejected, ""},
		{"the source itself", func(h *house, m *r3) *pkitest.Party { m.Chain = h.issuer.Chain; return h.issuer }, AlertCertificate, pki.RuleRole},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := legacyHouse(t)
			_, msg := h.legacyUpTo(3)
			m, err := parseR3(msg[0].Bytes)
			if err != nil {
				t.Fatal(err)
			}
			s := h.src.ordered()[0]
			signer := tc.edit(h, &m)
			out, ev := h.deliver(h.src, []Message{{CID: msg[0].CID, Bytes: resign(t, h, signer, m, s.rsa.th3)}})
			failed(t, out, ev, tc.want, tc.rule)
			if h.src.halfOpen != 0 || len(h.src.byHandle) != 0 {
				t.Error("it left something behind")
			}
		})
	}
}

func TestSLTP_4_SourceRejected(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(h *house) *pkitest.Party
		st   PeerStatus
		want Alert
	}{
		{"another source", func(h *house) *pkitest.Party { return h.domain.Party(pki.LicenseIssuer) }, PeerStatus{}, AlertIdentity},
		{"a content provider", func(h *house) *pkitest.Party { return h.domain.Party(pki.ContentProvider) }, PeerStatus{}, AlertCertificate},
		{"the destination itself", func(h *house) *pkitest.Party { return h.home }, PeerStatus{}, AlertIdentity},
		{"an epoch demanded", func(h *house) *pkitest.Party { return h.issuer }, PeerStatus{MinEpoch: pki.Epoch{Number: 1}}, AlertStaleEpoch},
		{"good", func(h *house) *pkitest.Party { return h.issuer }, PeerStatus{}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := legacyHouse(t)
			_, first := h.openLegacy()
			p := tc.edit(h)
			st, err := tc.st.encode()
			if err != nil {
				t.Fatal(err)
			}
			m := r2{CID: cid{1}, Chain: p.Chain, Status: st}
			th2, err := m.th2(first[0].Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if m.Signature, err = signLabeled(p.Key, append([]byte(rsaLabel2), th2[:]...)); err != nil {
				t.Fatal(err)
			}
			b, err := wire.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			own := h.dst.ordered()[0].own
			out, ev := h.deliver(h.dst, []Message{{CID: own[:], Bytes: b}})
			if tc.want == 0 {
				if len(out) != 1 || len(ev) != 0 {
					t.Errorf("%v, %v", out, ev)
				}
				return
			}
			failed(t, out, ev, tc.want, "")
		})
	}
}

func TestSLTP_4_Config(t *testing.T) {
	h := legacyHouse(t)
	for name, k := range map[string]*RSAKey{
		"another key's certificate": {Key: h.dst.cfg.RSA.Key, Cert: h.home.Leaf()},
		"no certificate":            {Key: h.dst.cfg.RSA.Key},
	} {
		cfg := h.dst.cfg
		cfg.RSA = k
		if _, err := NewEndpoint(cfg); err == nil {
			t.Error(name)
		}
	}
	if _, _, err := h.dst.OpenLegacy(h.dst.cfg.Self, film, ident.Request{}, h.now); err == nil {
		t.Error("an exchange with itself")
	}
	if _, _, err := h.dst.OpenLegacy(h.src.cfg.Self, Reference{}, ident.Request{}, h.now); !errors.Is(err, ErrBody) {
		t.Errorf("no reference: %v", err)
	}
}
