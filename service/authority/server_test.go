package authority_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lares-drm/lares/security/pki"
	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/service/authority"
)

func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

type clock struct{ ms int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms) }

// serve holds a ceremony in a folder and serves it.
func serve(t *testing.T, edit func(*authority.Config)) (*authority.Client, ca.OSDir, *clock) {
	t.Helper()
	dir, err := ca.NewOSDir(t.TempDir())
	must(t, err)
	_, err = ca.Ceremony(dir, ca.Config{Name: "Test"}, start())
	must(t, err)
	c := &clock{ms: start().UnixMilli()}
	cfg := authority.Config{Store: dir, Now: c.now}
	edit(&cfg)
	s, err := authority.New(cfg)
	must(t, err)
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	return &authority.Client{URL: web.URL + "/"}, dir, c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func csr(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(t, err)
	return der
}

func request(t testing.TB, role pki.Role, voucher string) authority.Request {
	return authority.Request{Role: role, Signing: csr(t), Delivery: csr(t), Voucher: voucher}
}

// operate is what an operator's command does in another process.
func operate(t *testing.T, dir ca.OSDir, do func(*ca.Authority) error) {
	t.Helper()
	unlock, err := dir.Lock()
	must(t, err)
	defer unlock()
	a, err := ca.Open(dir)
	must(t, err)
	must(t, do(a))
}

func TestPKI_1_EnrollmentNeedsAVoucher(t *testing.T) {
	ctx := context.Background()
	client, dir, _ := serve(t, func(*authority.Config) {})
	for _, role := range []pki.Role{pki.ContentProvider, pki.LicenseIssuer, pki.HomeServer, pki.Device} {
		if _, err := client.Enroll(ctx, request(t, role, "")); !errors.Is(err, authority.ErrVoucher) {
			t.Errorf("%v without a voucher: %v", role, err)
		}
		var code string
		operate(t, dir, func(a *ca.Authority) (err error) {
			v := ca.Voucher{Role: role, Expires: start().Add(time.Hour)}
			if role == pki.LicenseIssuer {
				v.Issuer = "shop.example"
			}
			code, err = a.NewVoucher(v, start())
			return err
		})
		got, err := client.Enroll(ctx, request(t, role, code))
		must(t, err)
		trust, err := pki.NewTrustStore(got.Roots...)
		must(t, err)
		v := &pki.Verifier{Trust: trust}
		peer, err := v.Verify(got.Chain, start(), role)
		must(t, err)
		if _, err := v.VerifyDelivery(peer, got.Delivery, start()); err != nil {
			t.Error(err)
		}
		if role == pki.LicenseIssuer && peer.Issuer() != "shop.example" {
			t.Errorf("issuer ID %q", peer.Issuer())
		}
		if _, err := client.Enroll(ctx, request(t, role, code)); !errors.Is(err, authority.ErrVoucher) {
			t.Errorf("%v, voucher used twice: %v", role, err)
		}
	}
}

func TestPKI_1_OpenAuthorityTakesDevicesOnly(t *testing.T) {
	ctx := context.Background()
	client, _, _ := serve(t, func(c *authority.Config) { c.Open = true })
	if _, err := client.Enroll(ctx, request(t, pki.Device, "")); err != nil {
		t.Error(err)
	}
	for _, role := range []pki.Role{pki.ContentProvider, pki.LicenseIssuer, pki.HomeServer} {
		if _, err := client.Enroll(ctx, request(t, role, "")); !errors.Is(err, authority.ErrVoucher) {
			t.Errorf("%v: %v", role, err)
		}
	}
	r := request(t, pki.Device, "")
	r.Class = 99
	if _, err := client.Enroll(ctx, r); !errors.Is(err, authority.ErrRefused) {
		t.Errorf("unknown class: %v", err)
	}
	r = request(t, pki.Device, "")
	r.Delivery = r.Signing
	if _, err := client.Enroll(ctx, r); !errors.Is(err, authority.ErrRefused) {
		t.Errorf("one key for both: %v", err)
	}
	r.Delivery = []byte("no request")
	if _, err := client.Enroll(ctx, r); !errors.Is(err, pki.ErrRequest) {
		t.Errorf("no request: %v", err)
	}
}

// TestPKI_1_EnrollmentsAtOnceGetDifferentIndexes, some by the server and some
// by the operator's own commands.
func TestPKI_1_EnrollmentsAtOnceGetDifferentIndexes(t *testing.T) {
	client, dir, _ := serve(t, func(c *authority.Config) { c.Open = true })
	var mu sync.Mutex
	seen := map[uint32]bool{}
	note := func(chain, roots [][]byte) error {
		trust, err := pki.NewTrustStore(roots...)
		if err != nil {
			return err
		}
		peer, err := (&pki.Verifier{Trust: trust}).Verify(chain, start())
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if seen[peer.Index()] {
			return errors.New("an index was given twice")
		}
		seen[peer.Index()] = true
		return nil
	}
	var wg sync.WaitGroup
	for i := range 12 {
		r := request(t, pki.Device, "")
		wg.Go(func() {
			var err error
			if i%3 == 0 {
				operate(t, dir, func(a *ca.Authority) error {
					c, err := a.Enroll(ca.Request{Role: r.Role, Signing: r.Signing, Delivery: r.Delivery}, start())
					if err != nil {
						return err
					}
					return note(c.Chain, c.Roots)
				})
			} else if got, e := client.Enroll(context.Background(), r); e == nil {
				err = note(got.Chain, got.Roots)
			} else {
				err = e
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range uint32(12) {
		if !seen[i] {
			t.Errorf("index %d was left out", i)
		}
	}
}

func TestPKI_2_OperatorsRevocationIsServedAtOnce(t *testing.T) {
	ctx := context.Background()
	client, dir, clock := serve(t, func(c *authority.Config) { c.Open = true })
	dev, err := client.Enroll(ctx, request(t, pki.Device, ""))
	must(t, err)
	trust, err := pki.NewTrustStore(dev.Roots...)
	must(t, err)
	v := &pki.Verifier{Trust: trust}
	learn := func() *revocation.State {
		t.Helper()
		l, err := client.State(ctx, 0)
		must(t, err)
		s, err := revocation.ParseSnapshot(l.Snapshot, l.Head, v, l.HeadChain, clock.now())
		must(t, err)
		return s
	}
	before := learn()
	if _, err := (&pki.Verifier{Trust: trust, Status: before}).Verify(dev.Chain, clock.now()); err != nil {
		t.Fatal(err)
	}
	operate(t, dir, func(a *ca.Authority) error {
		if err := a.RevokeClass(4097, revocation.KeyCompromise); err != nil {
			return err
		}
		return a.Publish(clock.now())
	})
	after := learn()
	if _, err := (&pki.Verifier{Trust: trust, Status: after}).Verify(dev.Chain, clock.now()); pki.RuleOf(err) != pki.RuleClass {
		t.Errorf("got %v", err)
	}
	a, b := before.Epoch().Number, after.Epoch().Number
	delta, err := client.Delta(ctx, a, b)
	must(t, err)
	chain, err := client.Trust(ctx)
	must(t, err)
	got, err := before.Apply(delta, after.Head().Bytes(), v, chain.StateSigner, clock.now())
	must(t, err)
	if !bytes.Equal(got.Snapshot(), after.Snapshot()) {
		t.Error("the delta leads elsewhere")
	}
	for have, want := range map[uint64]bool{0: false, a: true, b: false, b + 7: false, 1 << 40: false} { // who has this epoch gets the step
		l, err := client.State(ctx, have)
		must(t, err)
		if step := bytes.Equal(l.Delta, delta); step != want || step == (len(l.Snapshot) > 0) {
			t.Errorf("from epoch %d: a step of %d bytes, a state of %d", have, len(l.Delta), len(l.Snapshot))
		}
	}
	old, err := client.Snapshot(ctx, a)
	if err != nil || !bytes.Equal(old, before.Snapshot()) {
		t.Errorf("snapshot of the epoch before: %v", err)
	}
	for _, bad := range [][2]uint64{{a, b + 1}, {b + 5, b + 6}} {
		if _, err := client.Delta(ctx, bad[0], bad[1]); !errors.Is(err, authority.ErrEpoch) {
			t.Errorf("delta %v: %v", bad, err)
		}
	}
	if _, err := client.Delta(ctx, b, a); !errors.Is(err, authority.ErrMalformed) {
		t.Errorf("delta backwards: %v", err)
	}
}

func TestPKI_5_TimeIsStatedForTheNonce(t *testing.T) {
	ctx := context.Background()
	client, _, clock := serve(t, func(*authority.Config) {})
	trust, err := client.Trust(ctx)
	must(t, err)
	store, err := pki.NewTrustStore(trust.Roots...)
	must(t, err)
	nonce := bytes.Repeat([]byte{7}, revocation.NonceLen)
	clock.ms += 123456
	l, err := client.Time(ctx, nonce)
	must(t, err)
	at, err := revocation.VerifyTime(l.Time, l.TimeChain, &pki.Verifier{Trust: store}, [16]byte(nonce))
	if err != nil || at != clock.ms {
		t.Errorf("%d %v, want %d", at, err, clock.ms)
	}
	if _, err := client.Token(ctx, nonce[:15]); !errors.Is(err, authority.ErrMalformed) {
		t.Errorf("short nonce: %v", err)
	}
}

func TestPKI_1_LimitsHold(t *testing.T) {
	ctx := context.Background()
	client, _, clock := serve(t, func(c *authority.Config) { c.Open, c.PerMinute = true, 3 })
	post := func(body []byte) int {
		res, err := http.Post(client.URL+"ca/v1/enroll", "application/cbor", bytes.NewReader(body)) //nolint:gosec,noctx // the test's own server
		must(t, err)
		must(t, res.Body.Close())
		return res.StatusCode
	}
	if got := post(make([]byte, 8<<10+1)); got != http.StatusBadRequest {
		t.Errorf("a huge request: %d", got)
	}
	if got := post([]byte{0xa1, 1, 4}); got != http.StatusBadRequest {
		t.Errorf("half a request: %d", got)
	}
	if _, err := client.Enroll(ctx, request(t, pki.Device, "")); err != nil {
		t.Error(err)
	}
	if _, err := client.Enroll(ctx, request(t, pki.Device, "")); !errors.Is(err, authority.ErrBusy) {
		t.Errorf("the fourth in a minute: %v", err)
	}
	clock.ms += 60_000
	if _, err := client.Enroll(ctx, request(t, pki.Device, "")); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	if _, err := (&authority.Client{URL: "http://127.0.0.1:1"}).Head(ctx); !errors.Is(err, authority.ErrAway) {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := authority.New(authority.Config{Store: ca.OSDir(t.TempDir()), Now: start}); !errors.Is(err, ca.ErrAbsent) {
		t.Errorf("no ceremony: %v", err)
	}
}

func TestPKI_2_ServerPublishesBeforeTheNextUpdate(t *testing.T) {
	dir, err := ca.NewOSDir(t.TempDir())
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		_, err := ca.Ceremony(dir, ca.Config{SignerDays: 366, NextUpdateHours: 24}, future())
		must(t, err)
		began := time.Now()
		s, err := authority.New(authority.Config{Store: dir, Now: func() time.Time { return future().Add(time.Since(began)) }})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		epochs := []uint64{}
		for range 4 {
			time.Sleep(12*time.Hour + time.Minute)
			synctest.Wait()
			a, err := ca.Open(dir)
			must(t, err)
			epochs = append(epochs, a.State().Epoch().Number)
			if next := a.State().Head().NextUpdate; next < future().Add(time.Since(began)).UnixMilli() {
				t.Error("the next update passed")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !slices.Equal(epochs, []uint64{2, 3, 4, 5}) {
			t.Errorf("epochs %v", epochs)
		}
	})
}

func future() time.Time { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }
