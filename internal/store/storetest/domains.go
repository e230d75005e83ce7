package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

func roll(n byte) issuer.DomainRoll {
	return issuer.DomainRoll{Domain: ident.Domain{n}, Roll: []byte{n, 1}, Version: 1, Generation: 1<<32 + 1, Devices: 5, NewAYear: 4, Created: 1_000}
}

// rolls: a domain is made once, and changes from one version to the next.
func rolls(t *testing.T, s issuer.Store) {
	next := roll(1)
	next.Roll, next.Version, next.Generation, next.Devices, next.NewAYear, next.Codes = []byte{9}, 2, 3, 64, 0, 2
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		for _, n := range []byte{1, 2, 3} {
			if fresh, err := tx.PutRoll(ctx, roll(n)); !fresh || err != nil {
				t.Errorf("first put: %v, %v", fresh, err)
			}
		}
		other := roll(1)
		other.Roll = []byte{7}
		if fresh, err := tx.PutRoll(ctx, other); fresh || err != nil {
			t.Errorf("second put: %v, %v", fresh, err)
		}
		if ok, err := tx.SetRoll(ctx, next); !ok || err != nil {
			t.Errorf("the next version: %v, %v", ok, err)
		}
		if ok, err := tx.SetRoll(ctx, next); ok || err != nil {
			t.Errorf("the same version again: %v, %v", ok, err)
		}
		ok, err := tx.SetRoll(ctx, issuer.DomainRoll{Domain: ident.Domain{9}, Version: 2, Generation: 1, Devices: 1})
		if ok {
			t.Error("a domain that is not there was changed")
		}
		return err
	})
	view(t, s, func(ctx context.Context, r issuer.Reader) error {
		got, err := r.Roll(ctx, ident.Domain{1})
		if d := cmp.Diff(next, got); d != "" {
			t.Error(d)
		}
		all, err2 := r.Rolls(ctx, ident.Domain{1}, 1)
		if d := cmp.Diff([]issuer.DomainRoll{roll(2)}, all); d != "" {
			t.Errorf("a page:\n%s", d)
		}
		if _, err := r.Roll(ctx, ident.Domain{9}); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("a domain that is not there: %v", err)
		}
		return errors.Join(err, err2)
	})
}

func member(domain, n byte, name string) issuer.DomainDevice {
	return issuer.DomainDevice{Domain: ident.Domain{domain}, ID: ident.Device{n}, Name: name, Chain: []byte{n, 1}, Delivery: []byte{n, 2}, Enrolled: 1_000}
}

// devices: one is known once in a domain, is looked for where it joined last, and goes
// with its letters.
func devices(t *testing.T, s issuer.Store) {
	tablet, phone := member(1, 7, "tablet"), member(1, 8, "phone")
	letter := issuer.DomainLetter{Domain: ident.Domain{1}, To: tablet.ID, Number: 5, From: phone.ID, Topic: [16]byte{1}, At: 2_000, Expires: 9_000, Bytes: []byte{1, 2}}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutRoll(ctx, roll(1))
		_, err2 := tx.PutRoll(ctx, roll(2))
		old := tablet
		old.Name, old.Chain = "old", []byte{9}
		return errors.Join(err, err2, tx.PutDevice(ctx, old), tx.PutDevice(ctx, phone), tx.PutDevice(ctx, tablet))
	})
	later := letter
	later.Number, later.Topic = 6, [16]byte{2}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		for _, l := range []issuer.DomainLetter{later, letter} {
			if fresh, err := tx.PutLetter(ctx, l); !fresh || err != nil {
				t.Errorf("letter %d: %v, %v", l.Number, fresh, err)
			}
		}
		fresh, err := tx.PutLetter(ctx, letter)
		if fresh {
			t.Error("a number was given twice")
		}
		return err
	})
	view(t, s, func(ctx context.Context, r issuer.Reader) error {
		got, err := r.Devices(ctx, ident.Domain{1})
		if d := cmp.Diff([]issuer.DomainDevice{phone, tablet}, got); d != "" {
			t.Error(d)
		}
		all, err2 := r.Waiting(ctx, ident.Domain{1}, tablet.ID, 0)
		one, err3 := r.Waiting(ctx, ident.Domain{1}, tablet.ID, 5)
		if d := cmp.Diff([][]issuer.DomainLetter{{letter, later}, {later}}, [][]issuer.DomainLetter{all, one}); d != "" {
			t.Errorf("letters:\n%s", d)
		}
		if at, err := r.HomeOf(ctx, tablet.ID); err != nil || at != (ident.Domain{1}) {
			t.Errorf("looked for in %v, %v", at, err)
		}
		return errors.Join(err, err2, err3)
	})
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		moved := tablet
		moved.Domain = ident.Domain{2}
		return errors.Join(tx.DropLetter(ctx, ident.Domain{1}, tablet.ID, 5), tx.PutDevice(ctx, moved), tx.DropDevice(ctx, ident.Domain{1}, tablet.ID), tx.DropDevice(ctx, ident.Domain{1}, ident.Device{99}))
	})
	view(t, s, func(ctx context.Context, r issuer.Reader) error {
		left, err := r.Devices(ctx, ident.Domain{1})
		mail, err2 := r.Waiting(ctx, ident.Domain{1}, tablet.ID, 0)
		if at, err := r.HomeOf(ctx, tablet.ID); err != nil || at != (ident.Domain{2}) || len(left) != 1 || len(mail) != 0 {
			t.Errorf("after it moved on: in %v (%v), %d devices, %d letters", at, err, len(left), len(mail))
		}
		if _, err := r.HomeOf(ctx, ident.Device{99}); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("of no domain: %v", err)
		}
		return errors.Join(err, err2)
	})
}

// joins: a domain has one code at a time; with the domain all goes that is its.
func joins(t *testing.T, s issuer.Store) {
	first := issuer.JoinCode{Hash: issuer.CodeHash{1}, Domain: ident.Domain{1}, Expires: 9_000}
	next := issuer.JoinCode{Hash: issuer.CodeHash{2}, Domain: ident.Domain{1}, Expires: 9_001, Idle: true}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutRoll(ctx, roll(1))
		for _, c := range []issuer.JoinCode{first, next} {
			if fresh, err := tx.PutJoinCode(ctx, c); !fresh || err != nil {
				t.Errorf("code: %v, %v", fresh, err)
			}
		}
		if fresh, err := tx.PutJoinCode(ctx, issuer.JoinCode{Hash: next.Hash, Domain: ident.Domain{2}}); fresh || err != nil {
			t.Errorf("a code of two domains: %v, %v", fresh, err)
		}
		if _, err := tx.JoinCode(ctx, first.Hash); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("the code before: %v", err)
		}
		if got, err := tx.JoinCode(ctx, next.Hash); err != nil || got != next {
			t.Errorf("%+v, %v", got, err)
		}
		return errors.Join(err, tx.PutDevice(ctx, member(1, 7, "tablet")))
	})
	update(t, s, func(ctx context.Context, tx issuer.Tx) error { return tx.DropDomain(ctx, ident.Domain{1}) })
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.Roll(ctx, ident.Domain{1})
		_, err2 := tx.JoinCode(ctx, next.Hash)
		_, err3 := tx.HomeOf(ctx, ident.Device{7})
		if !errors.Is(err, issuer.ErrNotFound) || !errors.Is(err2, issuer.ErrNotFound) || !errors.Is(err3, issuer.ErrNotFound) {
			t.Errorf("of a domain that is gone: %v, %v, %v", err, err2, err3)
		}
		return nil
	})
	if err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error { return tx.DropDomain(ctx, ident.Domain{1}) }); !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("dropped twice: %v", err)
	}
}

// boxes: who holds a device's box has it alone until the transaction ends, so that
// several who write there at once give each letter a number of its own.
func boxes(t *testing.T, s issuer.Store) {
	const writers, each = 4, 5
	tablet := member(1, 7, "tablet")
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutRoll(ctx, roll(1))
		return errors.Join(err, tx.PutDevice(ctx, tablet))
	})
	write := func(from, topic byte) error {
		return s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
			if err := tx.HoldBox(ctx, tablet.Domain, tablet.ID); err != nil {
				return err
			}
			box, err := tx.Waiting(ctx, tablet.Domain, tablet.ID, 0)
			if err != nil {
				return err
			}
			l := issuer.DomainLetter{Domain: tablet.Domain, To: tablet.ID, Number: 1, From: ident.Device{from}, Topic: [16]byte{topic}, At: 1, Expires: 9_000, Bytes: []byte{1}}
			if n := len(box); n > 0 {
				l.Number = box[n-1].Number + 1
			}
			fresh, err := tx.PutLetter(ctx, l)
			if err == nil && !fresh {
				t.Errorf("writer %d: number %d was given before", from, l.Number)
			}
			return err
		})
	}
	var all sync.WaitGroup
	for from := range byte(writers) {
		all.Go(func() {
			for topic := range byte(each) {
				if err := write(from, topic); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	view(t, s, func(ctx context.Context, r issuer.Reader) error {
		box, err := r.Waiting(ctx, tablet.Domain, tablet.ID, 0)
		for n, l := range box {
			if l.Number != uint64(n)+1 { //nolint:gosec // few
				t.Errorf("letter %d has number %d", n, l.Number)
			}
		}
		if len(box) != writers*each {
			t.Errorf("%d letters wait, want %d", len(box), writers*each)
		}
		return err
	})
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error { return tx.HoldBox(ctx, tablet.Domain, ident.Device{99}) })
	if !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("the box of nobody: %v", err)
	}
}

// domainEnds: who joins while a domain is ended is there before, and goes with it, or
// finds it gone. A device that is left over would be looked for in no domain.
func domainEnds(t *testing.T, s issuer.Store) {
	next := roll(1)
	next.Version, next.Roll = 2, []byte{9}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutRoll(ctx, roll(1))
		return err
	})
	var ended sync.WaitGroup
	var once sync.Once
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		if ok, err := tx.SetRoll(ctx, next); err != nil || !ok {
			return errors.Join(err, issuer.ErrConflict)
		}
		err := tx.PutDevice(ctx, member(1, 7, "tablet"))
		once.Do(func() {
			ended.Go(func() {
				if err := s.Update(context.WithoutCancel(t.Context()), func(ctx context.Context, tx issuer.Tx) error { return tx.DropDomain(ctx, ident.Domain{1}) }); err != nil {
					t.Errorf("ended while a device joins: %v", err)
				}
			})
			time.Sleep(100 * time.Millisecond) // it has come as far as it can
		})
		return err
	})
	ended.Wait()
	view(t, s, func(ctx context.Context, r issuer.Reader) error {
		left, err := r.Devices(ctx, ident.Domain{1})
		if at, err := r.HomeOf(ctx, ident.Device{7}); !errors.Is(err, issuer.ErrNotFound) || len(left) != 0 {
			t.Errorf("of a domain that ended are left %d devices; one is looked for in %v, %v", len(left), at, err)
		}
		if _, err := r.Roll(ctx, ident.Domain{1}); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("a domain that ended: %v", err)
		}
		return err
	})
}

func view(t *testing.T, s issuer.Store, fn func(ctx context.Context, r issuer.Reader) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}
