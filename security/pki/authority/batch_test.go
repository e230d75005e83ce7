package authority_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
)

func TestPKI_1_BatchIsOneAfterTheOther(t *testing.T) {
	dir := newMemory()
	a := ceremony(t, dir)
	class := a.DeviceClass()
	if _, err := a.Enroll(request(t, pki.Device), start()); err != nil {
		t.Fatal(err)
	}
	const n = 300 // over the end of a file of the list
	b, err := a.NewBatch(authority.Request{Role: pki.Device, SVN: 4, Implementation: []byte("factory")}, n, start())
	must(t, err)
	if err := b.Commit(); !errors.Is(err, authority.ErrRequest) {
		t.Errorf("an empty batch is durable: %v", err)
	}
	devices := make([]ident.Device, n)
	var wg sync.WaitGroup
	for part := range 2 {
		wg.Go(func() {
			for i := part; i < n; i += 2 {
				p := newParty(t, pki.Device)
				c, err := b.Certify(i, &p.signing.PublicKey, &p.delivery.PublicKey)
				if err != nil {
					t.Error(err)
					return
				}
				if want := (pki.Member{Class: class, Index: uint32(i) + 1}); c.Member != want { //nolint:gosec // small
					t.Errorf("%v, want %v", c.Member, want)
				}
				devices[i] = c.Device
			}
		})
	}
	wg.Wait()
	must(t, b.Commit())
	a, err = authority.Open(dir)
	must(t, err)
	list, err := a.Issued(class)
	must(t, err)
	if len(list) != n+1 {
		t.Fatalf("%d listed", len(list))
	}
	for i, e := range list[1:] {
		if e.Device != devices[i] || e.Index != uint32(i)+1 || e.SVN != 4 { //nolint:gosec // small
			t.Errorf("entry %d: %+v", i, e)
		}
	}
}

func TestPKI_1_BatchLostInACrashLosesNothingElse(t *testing.T) {
	dir := newMemory()
	a := ceremony(t, dir)
	one := func(a *authority.Authority) *authority.Certified {
		b, err := a.NewBatch(authority.Request{Role: pki.Device}, 1, start())
		must(t, err)
		p := newParty(t, pki.Device)
		c, err := b.Certify(0, &p.signing.PublicKey, &p.delivery.PublicKey)
		must(t, err)
		if dir.left = 1; errors.Is(b.Commit(), errPower) { // the list is written, the record is not
			return nil
		}
		return c
	}
	if c := one(a); c != nil {
		t.Fatal("the power did not fail")
	}
	dir.left = -1
	a, err := authority.Open(dir)
	must(t, err)
	p := newParty(t, pki.Device)
	c := p.enroll(a, 1, start())
	list, err := a.Issued(c.Member.Class)
	must(t, err)
	if c.Member.Index != 0 || len(list) != 1 || list[0].Device != c.Device {
		t.Errorf("%v, list %+v", c.Member, list)
	}
}

func TestPKI_1_BatchesThatAreRefused(t *testing.T) {
	a := ceremony(t, newMemory())
	for name, tc := range map[string]struct {
		r    authority.Request
		n    int
		want error
	}{
		"home servers":      {authority.Request{Role: pki.HomeServer}, 1, authority.ErrRequest},
		"none":              {authority.Request{Role: pki.Device}, 0, authority.ErrRequest},
		"too many":          {authority.Request{Role: pki.Device}, authority.MaxBatch + 1, authority.ErrRequest},
		"no such class":     {authority.Request{Role: pki.Device, Class: 99}, 1, authority.ErrNoClass},
		"an issuer's class": {authority.Request{Role: pki.Device, Class: 2}, 1, authority.ErrNoClass},
	} {
		if _, err := a.NewBatch(tc.r, tc.n, start()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := newParty(t, pki.Device)
	b, err := a.NewBatch(authority.Request{Role: pki.Device, Level: pki.SL3}, 1, start())
	must(t, err)
	if _, err := b.Certify(0, &p.signing.PublicKey, &p.delivery.PublicKey); pki.RuleOf(err) != pki.RuleLevel {
		t.Errorf("a level that is not granted: %v", err)
	}
	if _, err := b.Certify(0, &p.signing.PublicKey, &p.signing.PublicKey); !errors.Is(err, authority.ErrRequest) {
		t.Errorf("one key for both: %v", err)
	}
	authority.SetNext(a, a.DeviceClass(), revocation.MaxIssued)
	if _, err := a.NewBatch(authority.Request{Role: pki.Device}, 1, start()); !errors.Is(err, revocation.ErrFull) {
		t.Errorf("a full class: %v", err)
	}
}

func BenchmarkCertify(b *testing.B) {
	a, err := authority.Ceremony(newMemory(), authority.Config{}, start())
	must(b, err)
	batch, err := a.NewBatch(authority.Request{Role: pki.Device}, authority.MaxBatch, start())
	must(b, err)
	p := newParty(b, pki.Device)
	for i := 0; b.Loop(); i++ {
		if _, err := batch.Certify(i%authority.MaxBatch, &p.signing.PublicKey, &p.delivery.PublicKey); err != nil {
			b.Fatal(err)
		}
	}
}
