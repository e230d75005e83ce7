package issuer_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

// fuse ends a process at one of its steps: before it, or after it and before anybody
// hears of it.
type fuse struct {
	left  int // steps; 0: never
	after bool
}

var errCrash = errors.New("the process ends here")

func (f *fuse) step(do func() error) error {
	f.left--
	if f.left == 0 && !f.after {
		return errCrash
	}
	if err := do(); err != nil || f.left != 0 {
		return err
	}
	return errCrash
}

type fusedStore struct {
	issuer.Store
	*fuse
}

func (s fusedStore) View(ctx context.Context, f func(context.Context, issuer.Reader) error) error {
	return s.step(func() error { return s.Store.View(ctx, f) })
}

func (s fusedStore) Update(ctx context.Context, f func(context.Context, issuer.Tx) error) error {
	return s.step(func() error { return s.Store.Update(ctx, f) })
}

type fusedTREM struct {
	*fakeTREM
	*fuse
}

func (m fusedTREM) Book(ctx context.Context, b trem.Book) (out trem.Booked, err error) {
	return out, m.step(func() error { out, err = m.fakeTREM.Book(ctx, b); return err })
}

func (m fusedTREM) Roll(ctx context.Context, o trem.RollOrder) (out trem.Rolled, err error) {
	return out, m.step(func() error { out, err = m.fakeTREM.Roll(ctx, o); return err })
}

// fused is the shop in a process that ends at a step.
func (s *shop) fused(f *fuse) *issuer.Issuer {
	s.t.Helper()
	i, err := issuer.New(s.t.Context(), issuer.Config{
		TREM: fusedTREM{s.trem, f}, Store: fusedStore{s.store, f}, Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler), NoticeKey: s.noticeKey,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}

// TestIssuer_Spec7_CrashWhileItBooks: a process that ends at any step of showing its
// database's mark has that database still, also when it ends again while it starts; and
// an older one is found out afterwards.
func TestIssuer_Spec7_CrashWhileItBooks(t *testing.T) {
	const steps = 4 // read the mark, show it, write the next one, show that
	s := newShop(t)
	f := new(fuse)
	start := func(at int, after bool) error {
		f.left, f.after = 0, false
		i := s.fused(f)
		f.left, f.after = at, after
		return i.Book(t.Context())
	}
	if err := start(0, false); err != nil || f.left != -steps {
		t.Fatalf("%v, in %d steps", err, -f.left)
	}
	old := filepath.Join(t.TempDir(), "old.db")
	if err := store.BackupSQLite(t.Context(), s.path, old); err != nil {
		t.Fatal(err)
	}
	for first := range 2 * steps {
		for second := range 2 * steps {
			for _, n := range []int{first, second} {
				if err := start(n/2+1, n%2 == 1); !errors.Is(err, errCrash) {
					t.Fatalf("ended at step %d: %v", n/2+1, err)
				}
			}
			if err := start(0, false); err != nil || s.trem.in > 1 {
				t.Fatalf("ended at %d and %d: taken for an older copy (%v)", first, second, err)
			}
		}
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s.store = nil
	s.replace(old)
	s.open()
	if err := s.Book(t.Context()); !errors.Is(err, issuer.ErrSetBack) || s.trem.in > 1 {
		t.Errorf("an older copy was taken for the database that was served last (%v)", err)
	}
}

// setBack serves from a copy of the database that is made now, after what was done since.
func (s *shop) setBack(since func()) {
	s.t.Helper()
	if err := s.Book(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), "copy.db")
	if err := store.BackupSQLite(s.t.Context(), s.path, file); err != nil {
		s.t.Fatal(err)
	}
	since()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.store = nil
	s.replace(file)
	s.open()
}

// A domain whose list in the database is older than what the module remembers is not
// lost, and not emptied by mistake: nobody is served in it until the operator accepts it.
// Then it is made anew, without members and with what was granted to it, and who belongs
// to it joins again.
func TestDomain_Spec12_AnOldListIsMadeAnew(t *testing.T) {
	s, d, code := club(t, 8)
	ctx, ca := t.Context(), pkitest.New(t, pkitest.Start())
	tablet := s.newcomer(ca)
	if _, err := s.Join(ctx, customer, code, tablet.asks(t, "tablet", code, self)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Grant(ctx, issuer.Grant{Domain: d.Domain, Content: film, Terms: rental, Remaining: 2}); err != nil {
		t.Fatal(err)
	}
	s.trem.rolls = 6
	ask := request(1)
	ask.Member, ask.Domain, ask.Peer = true, d.Domain, tablet.id
	s.trem.dst = tablet.id
	if got := s.send(ask); got != "refused UNAVAILABLE" {
		t.Errorf("nobody knows who is in it: %q", got)
	}
	if _, err := s.Domain(ctx, d.Domain); !errors.Is(err, issuer.ErrSetBack) {
		t.Errorf("nobody has accepted it: %v", err)
	}
	if _, err := s.Join(ctx, customer, code, tablet.asks(t, "tablet", code, self)); !errors.Is(err, issuer.ErrSetBack) {
		t.Errorf("who joins before it is accepted: %v", err)
	}
	s.trem.rolls = 0 // the right database again: nothing has happened
	if got, err := s.Domain(ctx, d.Domain); err != nil || len(got.Members) != 1 || got.Generation != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	s.trem.rolls = 6
	if got, err := s.AcceptSetBack(ctx); err != nil || got.Older || got.Domains != 1 || got.Lost != 1 || got.Named[0] != d.Domain {
		t.Fatalf("accepted: %+v, %v", got, err)
	}
	for range 2 { // the second time it is there
		if got := s.send(ask); got != "refused NOT_MEMBER" {
			t.Errorf("nobody is in it: %q", got)
		}
	}
	if got, err := s.Domain(ctx, d.Domain); err != nil || got.Generation != 6 || len(got.Members) != 0 || got.Devices != 8 {
		t.Fatalf("made anew: %+v, %v", got, err)
	}
	if got, err := s.AcceptSetBack(ctx); err != nil || !got.Whole() {
		t.Errorf("accepted again: %+v, %v", got, err)
	}
	if _, err := s.Join(ctx, customer, code, tablet.asks(t, "tablet", code, self)); err != nil {
		t.Fatal(err)
	}
	ask.Request = ident.Request{2}
	if got := s.send(ask); got[:7] != "license" {
		t.Errorf("what was granted: %q", got)
	}
}

// Whoever finds an old list at once, also in another process on the same database, the
// domain is made anew once: a second time would put out who has joined since.
func TestDomain_Spec12_AnOldListIsMadeAnewOnce(t *testing.T) {
	s, d, code := club(t, 8)
	tablet := s.newcomer(pkitest.New(t, pkitest.Start()))
	const asking = 3
	var found, all sync.WaitGroup
	found.Add(asking)
	s.trem.rolls, s.trem.accepted = 7, true
	s.trem.stale = func() { found.Done(); found.Wait() } // each has seen the old list
	for range asking {
		other := s.fused(new(fuse))
		all.Go(func() {
			if _, err := other.Domain(context.WithoutCancel(t.Context()), d.Domain); err != nil {
				t.Error(err)
			}
			if _, err := s.Join(context.WithoutCancel(t.Context()), customer, code, tablet.asks(t, "tablet", code, self)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := s.Domain(t.Context(), d.Domain); err != nil || got.Generation != 7 || len(got.Members) != 1 {
		t.Errorf("%+v, %v: want generation 7, made anew once, with the device that joined since", got, err)
	}
}

// TestIssuer_Spec7_AcceptedWithACrash: who accepts an older database and is killed at any
// step has either changed nothing, and nobody serves from it, or accepts it to its end
// afterwards; and every domain is made anew once.
func TestIssuer_Spec7_AcceptedWithACrash(t *testing.T) {
	for n := 0; ; n++ {
		s := newShop(t)
		ctx := t.Context()
		var domains []issuer.Domain
		s.setBack(func() {})
		if _, err := s.AcceptSetBack(ctx); err != nil { // an older one that has no domains
			t.Fatal(err)
		}
		for range 2 {
			d, err := s.CreateDomain(ctx, issuer.NewDomain{})
			if err != nil {
				t.Fatal(err)
			}
			domains = append(domains, d)
		}
		s.setBack(func() { s.trem.forgot, s.trem.accepted = true, false })
		f := new(fuse)
		killed := s.fused(f)
		f.left, f.after = n/2+1, n%2 == 1
		_, err := killed.AcceptSetBack(ctx)
		if err == nil {
			if n < 20 {
				t.Errorf("it took %d steps only", n/2)
			}
			return
		}
		if !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		s.open()
		if served := s.Book(ctx) == nil; served != s.trem.accepted {
			t.Errorf("killed at step %d: served %v, accepted %v", n/2+1, served, s.trem.accepted)
		}
		if _, err := s.AcceptSetBack(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Book(ctx); err != nil {
			t.Errorf("killed at step %d, accepted: %v", n/2+1, err)
		}
		for _, d := range domains {
			if got, err := s.Domain(ctx, d.Domain); err != nil || got.Generation != 1<<32 {
				t.Errorf("killed at step %d: %+v, %v", n/2+1, got, err)
			}
		}
		if got, err := s.LookBack(ctx); err != nil || !got.Whole() || got.Domains != len(domains) {
			t.Errorf("killed at step %d, in the end: %+v, %v", n/2+1, got, err)
		}
	}
}

// accepts is an older database that the operator accepts.
func (s *shop) accepts() {
	s.t.Helper()
	if got, err := s.AcceptSetBack(s.t.Context()); err != nil || !got.Older {
		s.t.Fatalf("%+v, %v", got, err)
	}
}

// TestIssuer_Spec7_WhatASetBackKeeps: the table of the page. What is doubled is doubled
// here, too: if one of these is mended, change the page.
func TestIssuer_Spec7_WhatASetBackKeeps(t *testing.T) {
	t.Run("a license without state", func(t *testing.T) {
		s := newShop(t)
		g := s.grant(purchase, 1)
		var first, again string
		s.setBack(func() { first = s.send(request(1)) })
		s.accepts()
		if again = s.send(request(1)); again != first || s.remaining(g.ID) != 0 {
			t.Errorf("%q, before %q; %d left", again, first, s.remaining(g.ID))
		}
		if l := s.licenses(); len(l) != 1 {
			t.Errorf("%d licenses", len(l))
		}
		s.clean()
	})
	t.Run("a license that counts", func(t *testing.T) {
		s := newShop(t)
		g := s.grant(counted, 3)
		var lost string
		s.send(receipt(1, s.send(request(1)), true))
		s.setBack(func() { lost = s.send(request(2)) })
		s.accepts()
		if n := s.remaining(g.ID); n != 2 {
			t.Errorf("%d left of 3, of which one was given before the copy: %q", n, lost)
		}
		if got := s.send(receipt(2, lost, true)); got != "" {
			t.Errorf("a receipt of a lost transfer: %q", got)
		}
		ask := receipt(2, lost, true)
		if ask.Kind = trem.EventQuery; s.send(ask) != "refused UNKNOWN" {
			t.Error("a lost transfer is known")
		}
		if got := s.send(request(2)); got == lost || strings.Split(got, " ")[1] == strings.Split(lost, " ")[1] {
			t.Errorf("asked again: %q, as the lost one", got)
		}
		s.clean()
	})
	t.Run("claim codes", func(t *testing.T) {
		s := selling(t)
		batch := issuer.BatchOf("an order")
		_, old := s.codes(issuer.NewCodes{})
		var lost issuer.Grant
		var made []issuer.Coded
		s.setBack(func() {
			var err error
			if lost, err = s.Redeem(t.Context(), customer, old[0].Code, house); err != nil {
				t.Fatal(err)
			}
			_, made = s.codes(issuer.NewCodes{Batch: batch})
		})
		s.accepts()
		if _, err := s.Redeem(t.Context(), customer, made[0].Code, house); !errors.Is(err, issuer.ErrCodeUnknown) {
			t.Errorf("a code that was made since: %v", err)
		}
		if _, again := s.codes(issuer.NewCodes{Batch: batch}); again[0].Code != made[0].Code {
			t.Error("the same order made another code")
		}
		if g, err := s.Redeem(t.Context(), customer, old[0].Code, house); err != nil || g.ID != lost.ID {
			t.Errorf("the house that had redeemed it: %+v, %v", g, err)
		}
		if _, err := s.Redeem(t.Context(), customer, old[0].Code, other); !errors.Is(err, issuer.ErrCodeTaken) {
			t.Errorf("another house, which comes after it: %v", err)
		}
		if _, err := s.Redeem(t.Context(), customer, made[0].Code, house); err != nil {
			t.Fatal(err)
		}
		s.clean()
	})
	t.Run("a claim code of which another house is first", func(t *testing.T) {
		s := selling(t)
		_, code := s.codes(issuer.NewCodes{})
		s.setBack(func() {
			if _, err := s.Redeem(t.Context(), customer, code[0].Code, house); err != nil {
				t.Fatal(err)
			}
		})
		s.accepts()
		if _, err := s.Redeem(t.Context(), customer, code[0].Code, other); err != nil {
			t.Errorf("doubled: %v", err)
		}
		s.clean()
	})
	t.Run("a loan", func(t *testing.T) {
		s := library(t, 1)
		var lost issuer.License
		s.setBack(func() {
			if _, err := s.Lend(t.Context(), film, house); err != nil {
				t.Fatal(err)
			}
			s.fetch(house, 1)
			lost = s.licenses()[0]
		})
		s.accepts()
		if _, err := s.Lend(t.Context(), film, other); err != nil {
			t.Errorf("doubled until the end of the lost loan: %v", err)
		}
		if err := s.giveBack(lost); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("the lost loan comes back: %v", err)
		}
		if v, err := s.Copies(t.Context(), film); err != nil || v.Free != 0 || len(v.Loans) != 1 {
			t.Errorf("%+v, %v", v, err)
		}
		s.clean()
	})
}
