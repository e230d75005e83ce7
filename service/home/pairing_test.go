package home_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// clock is a test's time.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func open(tb testing.TB, dir string, m *hometest.Module, c *clock, edit ...func(*home.Config)) *home.Home {
	tb.Helper()
	cfg := home.Config{Dir: dir, Module: m, Now: c.Now}
	for _, e := range edit {
		e(&cfg)
	}
	h, err := home.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// ask opens a pairing and reveals its nonce, as a device does.
func ask(tb testing.TB, h *home.Home, name string) (id, code string) {
	tb.Helper()
	leaf := hometest.Certificate(tb, name)
	nonce := [home.NonceSize]byte{9, 8, 7}
	commit := home.Commit(nonce)
	got, err := h.OpenPairing(tb.Context(), home.PairingOffer{Chain: [][]byte{leaf}, Commit: commit[:], Name: name})
	if err != nil {
		tb.Fatal(err)
	}
	if err := h.RevealPairing(tb.Context(), got.ID, nonce[:]); err != nil {
		tb.Fatal(err)
	}
	facts := home.PairingFacts{DeviceKey: spki(tb, leaf), HomeKey: spki(tb, got.Leaf), DeviceNonce: nonce, HomeNonce: [home.NonceSize]byte(got.Nonce)}
	return got.ID, facts.Code()
}

func spki(tb testing.TB, der []byte) [32]byte {
	tb.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return sha256.Sum256(c.RawSubjectPublicKeyInfo)
}

func TestPairing_CodeIsTheOneOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/pairing.md")
	if err != nil {
		t.Fatal(err)
	}
	field := func(name string) []byte {
		m := regexp.MustCompile(`(?m)^` + name + ` +([0-9a-f]+)$`).FindSubmatch(page)
		if m == nil {
			t.Fatalf("the page has no %s", name)
		}
		b, err := hex.DecodeString(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	f := home.PairingFacts{
		DeviceKey: [32]byte(field("device_key")), HomeKey: [32]byte(field("home_key")),
		DeviceNonce: [16]byte(field("device_nonce")), HomeNonce: [16]byte(field("home_nonce")),
	}
	commit := home.Commit(f.DeviceNonce)
	if !bytes.Equal(commit[:], field("commit")) {
		t.Errorf("commit = %x", commit)
	}
	if !bytes.Contains(page, []byte("code          "+f.Code()+"\n")) {
		t.Errorf("code = %s, the page has another", f.Code())
	}
}

func TestPairing_CodeDependsOnEveryFact(t *testing.T) {
	base := home.PairingFacts{}
	for name, f := range map[string]home.PairingFacts{
		"device key": {DeviceKey: [32]byte{1}}, "home key": {HomeKey: [32]byte{1}},
		"device nonce": {DeviceNonce: [16]byte{1}}, "home nonce": {HomeNonce: [16]byte{1}},
	} {
		if f.Code() == base.Code() {
			t.Errorf("the code ignores the %s", name)
		}
	}
}

func TestPairing_NormalCodeReadsWhatPeopleType(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := home.PairingFacts{DeviceNonce: [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "nonce"))}
		code := f.Code()
		for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " "), strings.ReplaceAll(strings.ReplaceAll(code, "0", "o"), "1", "l")} {
			if got := home.NormalCode(typed); got != code {
				t.Fatalf("NormalCode(%q) = %q, want %q", typed, got, code)
			}
		}
	})
	for _, bad := range []string{"", "1234", "1234-567U", "1234-56789", "????-????"} {
		if got := home.NormalCode(bad); got != "" {
			t.Errorf("NormalCode(%q) = %q, want none", bad, got)
		}
	}
}

func TestPairing_ApprovedDeviceGetsItsMembershipAlsoAfterARestart(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	m := hometest.New(t, nil)
	h := open(t, dir, m, c)
	id, code := ask(t, h, "Tablet")
	if p := h.Pending(); len(p) != 1 || p[0].Code != code || p[0].Name != "Tablet" {
		t.Fatalf("pending = %+v, want the tablet with code %s", p, code)
	}
	h = open(t, dir, m, c) // a restart forgets nothing
	if _, err := h.Approve(t.Context(), "", strings.ToLower(code)); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir, m, c)
	got, err := h.PairingOf(id)
	if err != nil || got.State != home.PairingApproved || string(got.Admission.Membership) != "membership" {
		t.Errorf("pairing = %+v, %v, want approved with its membership", got, err)
	}
	if d := h.Devices(); len(d) != 1 || d[0].Name != "Tablet" {
		t.Errorf("devices = %v, want the tablet", d)
	}
	if p := h.Pending(); len(p) != 0 {
		t.Errorf("still pending: %v", p)
	}
}

func TestPairing_FiveWrongCodesEndIt(t *testing.T) {
	h := open(t, t.TempDir(), hometest.New(t, nil), newClock())
	id, code := ask(t, h, "Tablet")
	for i := range home.PairingTries {
		if _, err := h.Approve(t.Context(), id, "0000-0000"); !errors.Is(err, home.ErrCode) {
			t.Fatalf("try %d: %v, want ErrCode", i, err)
		}
	}
	if _, err := h.Approve(t.Context(), id, code); err == nil {
		t.Error("the right code is taken after five wrong ones")
	}
	if p, err := h.PairingOf(id); err != nil || p.State != home.PairingRefused {
		t.Errorf("state = %v, %v, want refused", p.State, err)
	}
}

func TestPairing_EndsAfterTenMinutes(t *testing.T) {
	c := newClock()
	h := open(t, t.TempDir(), hometest.New(t, nil), c)
	id, code := ask(t, h, "Tablet")
	c.now = c.now.Add(home.PairingLife)
	if _, err := h.Approve(t.Context(), id, code); err == nil {
		t.Error("a code is taken after ten minutes")
	}
	if p, err := h.PairingOf(id); err != nil || p.State != home.PairingExpired {
		t.Errorf("state = %v, %v, want expired", p.State, err)
	}
}

func TestPairing_NonceMustBeTheCommittedOne(t *testing.T) {
	h := open(t, t.TempDir(), hometest.New(t, nil), newClock())
	commit := home.Commit([home.NonceSize]byte{1})
	got, err := h.OpenPairing(t.Context(), home.PairingOffer{Chain: [][]byte{hometest.Certificate(t, "x")}, Commit: commit[:]})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.RevealPairing(t.Context(), got.ID, make([]byte, home.NonceSize)); !errors.Is(err, home.ErrPairing) {
		t.Errorf("another nonce: %v, want ErrPairing", err)
	}
	if p := h.Pending(); len(p) != 0 {
		t.Errorf("pending = %v, want none before the nonce", p)
	}
}

func TestPairing_OffersAreBounded(t *testing.T) {
	h := open(t, t.TempDir(), hometest.New(t, nil), newClock())
	leaf, commit := hometest.Certificate(t, "x"), make([]byte, 32)
	for name, o := range map[string]home.PairingOffer{
		"no chain": {Commit: commit}, "long chain": {Chain: [][]byte{leaf, leaf, leaf, leaf, leaf}, Commit: commit},
		"no commit": {Chain: [][]byte{leaf}}, "no certificate": {Chain: [][]byte{{1}}, Commit: commit},
		"large": {Chain: [][]byte{make([]byte, 9000)}, Commit: commit}, "hardware": {Chain: [][]byte{leaf}, Commit: commit, Hardware: make([]byte, 9000)},
	} {
		if _, err := h.OpenPairing(t.Context(), o); !errors.Is(err, home.ErrPairing) {
			t.Errorf("%s: %v, want ErrPairing", name, err)
		}
	}
	var err error
	for range 9 {
		_, err = h.OpenPairing(t.Context(), home.PairingOffer{Chain: [][]byte{leaf}, Commit: commit, Name: strings.Repeat("é", 100) + "\x1b"})
	}
	if !errors.Is(err, home.ErrTooMany) {
		t.Errorf("the ninth waiting device: %v, want ErrTooMany", err)
	}
}

func TestPairing_ApprovalInterruptedByACrashIsFinished(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	m := hometest.New(t, nil)
	m.OnAdmit = func(trem.Candidate) (trem.Admission, error) { return trem.Admission{}, trem.ErrStream }
	h := open(t, dir, m, c)
	id, code := ask(t, h, "Tablet")
	if _, err := h.Approve(t.Context(), id, code); err == nil {
		t.Fatal("approved although the module is gone")
	}
	m.OnAdmit = nil
	h = open(t, dir, m, c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	events, unsubscribe, err := h.Subscribe("")
	if err != nil {
		t.Fatal(err)
	}
	defer unsubscribe()
	go func() { done <- h.Run(ctx) }()
	<-events
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if p, err := h.PairingOf(id); err != nil || p.State != home.PairingApproved {
		t.Errorf("state = %v, %v, want approved", p.State, err)
	}
}

func TestPairing_ModuleThatRejectsEndsIt(t *testing.T) {
	m := hometest.New(t, nil)
	m.OnAdmit = func(trem.Candidate) (trem.Admission, error) {
		return trem.Admission{}, &trem.Error{Code: trem.CodeRejected, Text: "role"}
	}
	h := open(t, t.TempDir(), m, newClock())
	id, code := ask(t, h, "Tablet")
	if _, err := h.Approve(t.Context(), id, code); err == nil {
		t.Error("approved although the module rejects the chain")
	}
	if p, err := h.PairingOf(id); err != nil || p.State != home.PairingRefused || len(h.Devices()) != 0 {
		t.Errorf("state = %v, %v, devices %v, want refused and none", p.State, err, h.Devices())
	}
}

func TestHome_StateFilesThatDoNotReadAreErrors(t *testing.T) {
	for _, name := range []string{"library.json", "devices.json", "pairings.json", "requests.json"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"unknown":1}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := home.New(home.Config{Dir: dir, Module: hometest.New(t, nil), Now: time.Now}); err == nil {
			t.Errorf("%s of another form is taken", name)
		}
	}
}
