package authority_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
)

// memory is a Dir that stops working after a number of writes, as a machine
// that loses power.
type memory struct {
	files map[string][]byte
	left  int // writes until the power fails; negative = never
}

var errPower = errors.New("power failure")

func newMemory() *memory { return &memory{files: map[string][]byte{}, left: -1} }

func (m *memory) Read(name string) ([]byte, error) {
	if b, ok := m.files[name]; ok {
		return slices.Clone(b), nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) WriteAtomic(name string, data []byte) error {
	if m.left == 0 {
		return errPower
	}
	m.left--
	m.files[name] = slices.Clone(data)
	return nil
}

func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func csr(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(t, err)
	return der
}

func request(t testing.TB, role pki.Role) authority.Request {
	r := authority.Request{Role: role, Signing: csr(t), Delivery: csr(t)}
	if role == pki.LicenseIssuer {
		r.Issuer = "shop.example"
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ceremony(t testing.TB, dir authority.Dir) *authority.Authority {
	t.Helper()
	a, err := authority.Ceremony(dir, authority.Config{Name: "Test"}, start())
	must(t, err)
	return a
}

func verifier(t testing.TB, a *authority.Authority) *pki.Verifier {
	t.Helper()
	trust, err := pki.NewTrustStore(a.Trust().Roots...)
	must(t, err)
	return &pki.Verifier{Trust: trust, Status: a.State()}
}

func TestPKI_1_EnrolledPartiesVerify(t *testing.T) {
	dir := newMemory()
	a := ceremony(t, dir)
	for _, role := range []pki.Role{pki.ContentProvider, pki.LicenseIssuer, pki.HomeServer, pki.Device} {
		for want := range uint32(3) {
			c, err := a.Enroll(request(t, role), start())
			must(t, err)
			peer, err := verifier(t, a).Verify(c.Chain, start(), role)
			must(t, err)
			if peer.Index() != want || peer.Level() != pki.SL1 {
				t.Errorf("%v: index %d, want %d; %v", role, peer.Index(), want, peer.Level())
			}
			if _, err := verifier(t, a).VerifyDelivery(peer, c.Delivery, start()); err != nil {
				t.Errorf("%v: %v", role, err)
			}
			if role == pki.HomeServer && len(peer.Issuer()) != ident.Size {
				t.Errorf("a home server's issuer ID is %q", peer.Issuer())
			}
			at, err := a.Find(peer.ID())
			if err != nil || len(at) != 1 || at[0] != c.Member {
				t.Errorf("find: %v %v", at, err)
			}
			if a, err = authority.Open(dir); err != nil { // every time as after a restart
				t.Fatal(err)
			}
		}
	}
	if at, err := a.Find(ident.Device{1}); len(at) > 0 || err != nil {
		t.Errorf("found a stranger: %v", err)
	}
}

func TestPKI_1_CeremonyHappensOnce(t *testing.T) {
	dir := newMemory()
	if _, err := authority.Open(dir); !errors.Is(err, authority.ErrAbsent) {
		t.Errorf("open before the ceremony: %v", err)
	}
	ceremony(t, dir)
	if _, err := authority.Ceremony(dir, authority.Config{}, start()); !errors.Is(err, authority.ErrExists) {
		t.Errorf("second ceremony: %v", err)
	}
	if _, err := authority.ParseConfig([]byte(`{"name":"X","level":1}`)); !errors.Is(err, authority.ErrConfig) {
		t.Errorf("unknown key: %v", err)
	}
	if c, err := authority.ParseConfig([]byte(`{"levels":["SL2","SL1"],"anchors":["A1"]}`)); err != nil || len(c.Levels) != 2 || c.Levels[0] != pki.SL2 {
		t.Errorf("levels: %+v %v", c, err)
	}
	for _, bad := range []string{`{"issuer_days":91}`, `{"first_class":3}`, `{"first_class":100,"last_class":100}`, `{"levels":["SL4"]}`, `{}{}`, `{"next_update_hours":-1}`} {
		if _, err := authority.ParseConfig([]byte(bad)); !errors.Is(err, authority.ErrConfig) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestPKI_2_RevocationTakesEffectAtTheNextEpoch(t *testing.T) {
	dir := newMemory()
	a := ceremony(t, dir)
	c, err := a.Enroll(request(t, pki.Device), start())
	must(t, err)
	second, err := a.AddDeviceClass("second", authority.Grants{}, start())
	must(t, err)
	r := request(t, pki.Device)
	r.Class = second
	d, err := a.Enroll(r, start())
	must(t, err)
	before := a.State().Epoch().Number

	must(t, a.RevokeDevice(c.Member))
	if _, err := verifier(t, a).Verify(c.Chain, start()); err != nil {
		t.Errorf("before it was published: %v", err)
	}
	must(t, a.Publish(start().Add(time.Minute)))
	if _, err := verifier(t, a).Verify(c.Chain, start()); pki.RuleOf(err) != pki.RuleRevoked {
		t.Errorf("revoked device: %v", err)
	}
	must(t, a.RevokeClass(second, revocation.KeyCompromise))
	must(t, a.Publish(start().Add(2*time.Minute)))
	a, err = authority.Open(dir)
	must(t, err)
	if _, err := verifier(t, a).Verify(d.Chain, start()); pki.RuleOf(err) != pki.RuleClass {
		t.Errorf("revoked class: %v", err)
	}
	if got := a.State().Epoch().Number; got != before+2 {
		t.Errorf("epoch %d, want %d", got, before+2)
	}
	// The deltas lead there.
	old, err := a.StateAt(before)
	must(t, err)
	delta, err := a.Delta(before, before+2)
	must(t, err)
	got, err := old.Apply(delta, a.State().Head().Bytes(), verifier(t, a), a.Trust().StateSigner, start())
	must(t, err)
	if !slices.Equal(got.Snapshot(), a.State().Snapshot()) {
		t.Error("the delta leads elsewhere")
	}
	if got := a.DeviceClass(); got != c.Member.Class {
		t.Errorf("devices enroll into class %v", got)
	}
	// No certificate for a revoked class.
	r = request(t, pki.Device)
	r.Class = second
	if _, err := a.Enroll(r, start()); pki.RuleOf(err) != pki.RuleClass {
		t.Errorf("enroll into a revoked class: %v", err)
	}
	if err := a.RevokeDevice(pki.Member{Class: c.Member.Class, Index: 77}); !errors.Is(err, revocation.ErrIndex) {
		t.Errorf("a device that was never issued: %v", err)
	}
}

func TestPKI_2_AuthorityDoesNotRevokeItsOwnSigner(t *testing.T) {
	dir := newMemory()
	a := ceremony(t, dir)
	v := verifier(t, a)
	peer, err := v.Verify(a.Trust().StateSigner, start(), pki.StateSigner)
	must(t, err)
	must(t, a.RevokeDevice(peer.Members()[0]))
	if err := a.Publish(start()); !errors.Is(err, revocation.ErrSigner) {
		t.Errorf("got %v", err)
	}
	if _, err := authority.Open(dir); err != nil {
		t.Errorf("the authority is lost: %v", err)
	}
	for _, err := range []error{a.RevokeClass(0, 0), a.Suspend(0, 0), a.SetMinSVN(0, 1)} {
		if !errors.Is(err, authority.ErrNoClass) {
			t.Errorf("the root's class: %v", err)
		}
	}
}

// TestPKI_2_PowerFailsAtEveryWrite: whatever write the power fails at, the
// authority opens again, no index is given twice and no epoch has two states.
func TestPKI_2_PowerFailsAtEveryWrite(t *testing.T) {
	base := newMemory()
	a := ceremony(t, base)
	for range 3 {
		_, err := a.Enroll(request(t, pki.Device), start())
		must(t, err)
	}
	seen := map[pki.Member]ident.Device{}
	heads := map[uint64][32]byte{a.State().Epoch().Number: a.State().Head().Hash()}
	failed := 0
	for n := range 12 {
		m := &memory{files: maps.Clone(base.files), left: n}
		a, err := authority.Open(m)
		must(t, err)
		for range 2 {
			c, err := a.Enroll(request(t, pki.Device), start())
			if err != nil {
				if !errors.Is(err, errPower) || c != nil && c.Chain == nil {
					t.Fatal(err)
				}
				failed++
				break
			}
			if n == 11 {
				seen[c.Member] = ident.Device{1}
			}
		}
		_, err = a.AddDeviceClass("another", authority.Grants{}, start())
		if err != nil && !errors.Is(err, errPower) {
			t.Fatal(err)
		}
		m.left = -1 // the power is back
		a, err = authority.Open(m)
		if err != nil {
			t.Fatalf("power failed at write %d: %v", n, err)
		}
		head := a.State().Head()
		if h, ok := heads[head.Epoch.Number]; ok && head.Epoch.Number == 1 && h != head.Hash() {
			t.Errorf("write %d: a second head of epoch %v", n, head.Epoch)
		}
		c, err := a.Enroll(request(t, pki.Device), start())
		must(t, err)
		list, err := a.Issued(c.Member.Class)
		must(t, err)
		if len(list) != int(c.Member.Index)+1 {
			t.Errorf("write %d: %d listed, index %d", n, len(list), c.Member.Index)
		}
	}
	if failed == 0 || len(seen) != 2 {
		t.Errorf("the failures hit nothing: %d, %d", failed, len(seen))
	}
}

func TestPKI_2_BlocksAreAllottedBeforeTheirFirstCertificate(t *testing.T) {
	a := ceremony(t, newMemory())
	class := a.DeviceClass()
	leaf, _ := a.State().Leaf(class)
	if leaf.Issued != revocation.PageSize {
		t.Fatalf("first block ends at %d", leaf.Issued)
	}
	authority.SetNext(a, class, revocation.PageSize-1) // as after 65,535 devices
	for _, want := range []uint32{revocation.PageSize - 1, revocation.PageSize} {
		c, err := a.Enroll(request(t, pki.Device), start())
		must(t, err)
		if c.Member.Index != want {
			t.Errorf("index %d, want %d", c.Member.Index, want)
		}
		if _, err := verifier(t, a).Verify(c.Chain, start()); err != nil {
			t.Errorf("index %d: %v", want, err)
		}
	}
	if leaf, _ = a.State().Leaf(class); leaf.Issued != 2*revocation.PageSize || a.State().Epoch().Number != 2 {
		t.Errorf("issuedCount %d at epoch %v", leaf.Issued, a.State().Epoch())
	}
}

func TestPKI_1_VouchersWorkOnce(t *testing.T) {
	dir := newMemory()
	a := ceremony(t, dir)
	for _, role := range []pki.Role{pki.LicenseIssuer, pki.HomeServer, pki.ContentProvider} {
		if _, err := a.EnrollOnline(request(t, role), "", true, start()); !errors.Is(err, authority.ErrVoucher) {
			t.Errorf("%v without a voucher: %v", role, err)
		}
	}
	if _, err := a.EnrollOnline(request(t, pki.Device), "", false, start()); !errors.Is(err, authority.ErrVoucher) {
		t.Errorf("device without a voucher: %v", err)
	}
	if _, err := a.EnrollOnline(request(t, pki.Device), "", true, start()); err != nil {
		t.Errorf("device, open: %v", err)
	}
	code, err := a.NewVoucher(authority.Voucher{Role: pki.LicenseIssuer, Issuer: "shop.example", Expires: start().Add(time.Hour)}, start())
	must(t, err)
	a, err = authority.Open(dir)
	must(t, err)
	if _, err := a.EnrollOnline(request(t, pki.HomeServer), code, true, start()); !errors.Is(err, authority.ErrVoucher) {
		t.Errorf("voucher of another role: %v", err)
	}
	r := request(t, pki.LicenseIssuer)
	r.Issuer = "rich-shop.example" // the voucher decides
	r.Level = pki.SL3
	c, err := a.EnrollOnline(r, code, false, start())
	must(t, err)
	peer, err := verifier(t, a).Verify(c.Chain, start())
	must(t, err)
	if peer.Issuer() != "shop.example" || peer.Level() != pki.SL1 {
		t.Errorf("%q %v", peer.Issuer(), peer.Level())
	}
	if a, err = authority.Open(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := a.EnrollOnline(request(t, pki.LicenseIssuer), code, false, start()); !errors.Is(err, authority.ErrVoucher) {
		t.Errorf("used twice: %v", err)
	}
	code, err = a.NewVoucher(authority.Voucher{Role: pki.HomeServer, Expires: start().Add(time.Hour)}, start())
	must(t, err)
	if _, err := a.EnrollOnline(request(t, pki.HomeServer), code, false, start().Add(time.Hour)); !errors.Is(err, authority.ErrVoucher) {
		t.Errorf("expired: %v", err)
	}
	if _, err := a.NewVoucher(authority.Voucher{Role: pki.LicenseIssuer}, start()); !errors.Is(err, authority.ErrRequest) {
		t.Errorf("voucher for a nameless issuer: %v", err)
	}
}

func TestPKI_1_BadRequestsAreRefused(t *testing.T) {
	a := ceremony(t, newMemory())
	good := request(t, pki.Device)
	for name, tc := range map[string]struct {
		edit func(*authority.Request)
		want error
	}{
		"no signing key":           {func(r *authority.Request) { r.Signing = nil }, pki.ErrRequest},
		"no possession":            {func(r *authority.Request) { r.Delivery = slices.Clone(r.Delivery); r.Delivery[len(r.Delivery)-1] ^= 1 }, pki.ErrRequest},
		"one key for both":         {func(r *authority.Request) { r.Delivery = r.Signing }, authority.ErrRequest},
		"no such class":            {func(r *authority.Request) { r.Class = 9999 }, authority.ErrNoClass},
		"the manufacturer's class": {func(r *authority.Request) { r.Class = 4096 }, authority.ErrNoClass},
		"state signer":             {func(r *authority.Request) { r.Role = pki.StateSigner }, authority.ErrRequest},
		"no role":                  {func(r *authority.Request) { r.Role = 0 }, authority.ErrRequest},
	} {
		r := good
		tc.edit(&r)
		if _, err := a.Enroll(r, start()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	r := good
	r.Level = pki.SL3
	if _, err := a.Enroll(r, start()); pki.RuleOf(err) != pki.RuleLevel {
		t.Errorf("a level that is not granted: %v", err)
	}
	if c, err := a.Enroll(good, start()); err != nil || c.Member.Index != 0 {
		t.Errorf("the refused took an index: %v %v", c.Member, err)
	}
}

func TestPKI_1_SignersAreRenewedForTheSameKey(t *testing.T) {
	a := ceremony(t, newMemory())
	first := a.State().Head()
	later := start().AddDate(0, 0, 350)
	must(t, a.Publish(later))
	if slices.Equal(a.Trust().StateSigner[0], nil) || a.State().Head().KeyID != first.KeyID {
		t.Error("the key changed")
	}
	v := verifier(t, a)
	for role, chain := range map[pki.Role][][]byte{pki.StateSigner: a.Trust().StateSigner, pki.TimeSigner: a.Trust().TimeSigner} {
		p, err := v.Verify(chain, start().AddDate(0, 0, 600), role)
		if err != nil {
			t.Errorf("%v: %v", role, err)
		} else if p.Index() < 5 {
			t.Errorf("%v has index %d", role, p.Index())
		}
	}
	token, err := a.TimeToken([16]byte{7}, later)
	must(t, err)
	at, err := revocation.VerifyTime(token, a.Trust().TimeSigner, v, [16]byte{7})
	if err != nil || at != later.UnixMilli() {
		t.Errorf("time token: %d %v", at, err)
	}
}

func TestPKI_2_EpochsAreAtMostTheHours(t *testing.T) {
	early := revocation.T0().Add(150 * time.Minute) // two hours since T0
	a, err := authority.Ceremony(newMemory(), authority.Config{}, early)
	must(t, err)
	must(t, a.Publish(early))
	if err := a.Publish(early); !errors.Is(err, authority.ErrTooSoon) {
		t.Errorf("third epoch within two hours: %v", err)
	}
	must(t, a.Publish(early.Add(time.Hour)))
}

func TestPKI_1_FolderIsTheOwnersOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca")
	dir, err := authority.NewOSDir(path)
	must(t, err)
	unlock, err := dir.Lock()
	must(t, err)
	a := ceremony(t, dir)
	_, err = a.Enroll(request(t, pki.Device), start())
	must(t, err)
	unlock()
	if stale, err := a.Stale(); stale || err != nil {
		t.Errorf("stale: %v %v", stale, err)
	}
	other, err := authority.Open(dir)
	must(t, err)
	must(t, other.Publish(start()))
	if stale, err := a.Stale(); !stale || err != nil {
		t.Errorf("not stale: %v", err)
	}
	entries, err := os.ReadDir(path)
	must(t, err)
	keys := 0
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		if ok, _ := filepath.Match("key-*.pem", e.Name()); ok {
			keys++
		}
	}
	if keys != 8 { // root, three CAs, manufacturer, device class, two signers
		t.Errorf("%d keys", keys)
	}
}

// token is a Dir whose keys are in no file.
type token struct {
	*memory
	keys map[string]crypto.Signer
}

func (t *token) NewKey(name string, _ authority.KeyUse, _ string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	t.keys[name] = opaque{key}
	return t.keys[name], err
}

func (t *token) Key(name string) (crypto.Signer, error) {
	if k, ok := t.keys[name]; ok {
		return k, nil
	}
	return nil, fs.ErrNotExist
}

// opaque is a key that can sign and show its public half, and nothing else.
type opaque struct{ crypto.Signer }

func TestPKI_4_KeysMayLiveInAToken(t *testing.T) {
	dir := &token{memory: newMemory(), keys: map[string]crypto.Signer{}}
	a := ceremony(t, dir)
	c, err := a.Enroll(request(t, pki.Device), start())
	must(t, err)
	must(t, a.RotateRoot(start().Add(time.Hour)))
	if _, err := a.CRLs(0); err != nil {
		t.Error(err)
	}
	if _, err := a.TimeToken([16]byte{1}, start()); err != nil {
		t.Error(err)
	}
	if _, err := (&pki.Verifier{Trust: follow(t, c.Roots[0], a), Status: a.State()}).Verify(c.Chain, start()); err != nil {
		t.Error(err)
	}
	for name, data := range dir.files {
		if strings.HasPrefix(name, "key") || bytes.Contains(data, []byte("PRIVATE")) {
			t.Errorf("%s holds a key", name)
		}
	}
	if len(dir.keys) != 9 { // two roots, four CAs, a class CA, two signers
		t.Errorf("%d keys", len(dir.keys))
	}
}

func Example() {
	path, err := os.MkdirTemp("", "authority")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(path) //nolint:errcheck // a temporary folder
	dir, err := authority.NewOSDir(path)
	if err != nil {
		panic(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a, err := authority.Ceremony(dir, authority.Config{Name: "Example"}, now)
	if err != nil {
		panic(err)
	}
	for _, c := range a.Classes() {
		fmt.Println(c.Class, c.Name, c.Status)
	}
	// Output:
	// 0 Example Root active
	// 1 Example Content Provider CA active
	// 2 Example License Issuer CA active
	// 3 Example Home Server CA active
	// 4096 Example Device Manufacturer CA active
	// 4097 Device Class 4097 CA: software TREM active
}

// TestPKI_4_LevelsNeedTheOperatorsWord: what a party says of itself is lowered
// to what the operator answered for with the voucher.
func TestPKI_4_LevelsNeedTheOperatorsWord(t *testing.T) {
	dir := newMemory()
	a, err := authority.Ceremony(dir, authority.Config{Name: "Levels", Levels: []pki.Level{pki.SL1, pki.SL3}, Anchors: []pki.Anchor{pki.A0, pki.A2}}, start())
	must(t, err)
	expires := start().Add(time.Hour)
	for name, tc := range map[string]struct {
		level  pki.Level // of the voucher
		anchor pki.Anchor
		claim  pki.Level
		own    pki.Anchor
		want   pki.Level
		get    pki.Anchor
	}{
		"TPM, vouched":             {pki.SL3, pki.A2, pki.SL3, pki.A2, pki.SL3, pki.A2},
		"TPM, not vouched":         {0, 0, pki.SL3, pki.A2, pki.SL1, pki.A0},
		"software, vouched as TPM": {pki.SL3, pki.A2, 0, 0, pki.SL1, pki.A0},
		"level only":               {pki.SL3, pki.A0, pki.SL3, pki.A2, pki.SL3, pki.A0},
		"anchor only":              {pki.SL1, pki.A2, pki.SL3, pki.A2, pki.SL1, pki.A2},
		"nonsense":                 {pki.SL3, pki.A2, 200, 200, pki.SL3, pki.A2},
	} {
		code, err := a.NewVoucher(authority.Voucher{Role: pki.Device, Level: tc.level, Anchor: tc.anchor, Expires: expires}, start())
		must(t, err)
		a, err = authority.Open(dir) // it is kept
		must(t, err)
		r := request(t, pki.Device)
		r.Level, r.Anchor = tc.claim, tc.own
		c, err := a.EnrollOnline(r, code, true, start())
		must(t, err)
		peer, err := verifier(t, a).Verify(c.Chain, start())
		must(t, err)
		if peer.Level() != tc.want || peer.Anchor() != tc.get {
			t.Errorf("%s: %v %v, want %v %v", name, peer.Level(), peer.Anchor(), tc.want, tc.get)
		}
	}
	r := request(t, pki.Device)
	r.Level, r.Anchor = pki.SL3, pki.A2
	c, err := a.EnrollOnline(r, "", true, start())
	must(t, err)
	if peer, err := verifier(t, a).Verify(c.Chain, start()); err != nil || peer.Level() != pki.SL1 || peer.Anchor() != pki.A0 {
		t.Errorf("an open authority gives %v %v, %v", peer.Level(), peer.Anchor(), err)
	}
	for _, v := range []authority.Voucher{{Role: pki.Device, Level: pki.SL2}, {Role: pki.Device, Anchor: pki.A1}, {Role: pki.Device, Level: 9}} {
		if code, err := a.NewVoucher(v, start()); pki.RuleOf(err) == "" {
			t.Errorf("a voucher for %v %v, which no CA may grant: %q, %v", v.Level, v.Anchor, code, err)
		}
	}
}

// TestPKI_4_ClassListsItsLevels: a class CA grants what it was made for, and a
// class is made for no more than the ceremony allowed.
func TestPKI_4_ClassListsItsLevels(t *testing.T) {
	a, err := authority.Ceremony(newMemory(), authority.Config{Name: "Levels", Levels: []pki.Level{pki.SL1, pki.SL3}, Anchors: []pki.Anchor{pki.A0, pki.A2}}, start())
	must(t, err)
	class, err := a.AddDeviceClass("TPM", authority.Grants{Levels: []pki.Level{pki.SL3}, Anchors: []pki.Anchor{pki.A2}}, start())
	must(t, err)
	expires := start().Add(time.Hour)
	for _, tc := range []struct {
		level  pki.Level
		anchor pki.Anchor
		ok     bool
	}{{pki.SL3, pki.A2, true}, {pki.SL1, pki.A2, false}, {pki.SL3, pki.A0, false}, {0, 0, false}} {
		_, err := a.NewVoucher(authority.Voucher{Role: pki.Device, Class: class, Level: tc.level, Anchor: tc.anchor, Expires: expires}, start())
		if (err == nil) != tc.ok || err != nil && pki.RuleOf(err) == "" {
			t.Errorf("voucher for %v %v: %v", tc.level, tc.anchor, err)
		}
	}
	code, err := a.NewVoucher(authority.Voucher{Role: pki.Device, Class: class, Level: pki.SL3, Anchor: pki.A2, Expires: expires}, start())
	must(t, err)
	if _, err := a.EnrollOnline(request(t, pki.Device), code, false, start()); pki.RuleOf(err) != pki.RuleLevel {
		t.Errorf("software in a class of TPMs: %v", err)
	}
	r := request(t, pki.Device)
	r.Level, r.Anchor = pki.SL3, pki.A2
	if _, err := a.EnrollOnline(r, code, false, start()); err != nil {
		t.Errorf("after a refusal the code is still good: %v", err)
	}
	if _, err := a.AddDeviceClass("token", authority.Grants{Levels: []pki.Level{pki.SL2}}, start()); pki.RuleOf(err) != pki.RuleLevel {
		t.Errorf("a class for a level that the ceremony did not allow: %v", err)
	}
}
