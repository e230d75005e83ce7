package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/service/issuer"
)

// RunOperators checks what a store keeps of operators; each call of open must
// give an empty one, as both of its users see it.
func RunOperators(t *testing.T, open func(t *testing.T) (issuer.Store, operator.Store)) {
	for _, tc := range []struct {
		name string
		run  func(*testing.T, issuer.Store, operator.Store)
	}{
		{"Keys", operatorKeys},
		{"Sessions", sessions},
		{"Proposals", proposals},
		{"Log", auditLog},
		{"LogTogether", auditTogether},
		{"ActAndLogTogether", actAndLog},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, o := open(t)
			tc.run(t, s, o)
		})
	}
}

func change(t *testing.T, s operator.Store, fn func(ctx context.Context, tx operator.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func operatorKeys(t *testing.T, _ issuer.Store, s operator.Store) {
	k := operator.Key{ID: operator.KeyID{1}, Name: "Ada", Role: operator.Security, Scopes: []operator.Scope{operator.Audit, operator.Read}, Created: 5, Expires: 9, Hash: operator.Hash{7}}
	change(t, s, func(ctx context.Context, tx operator.Tx) error {
		if _, err := tx.Key(ctx, k.ID); !errors.Is(err, operator.ErrNotFound) {
			t.Errorf("an unknown key: %v", err)
		}
		if err := tx.PutKey(ctx, k); err != nil {
			return err
		}
		got, err := tx.Key(ctx, k.ID)
		if diff := cmp.Diff(got, k); diff != "" {
			t.Error(diff)
		}
		ok, err2 := tx.RevokeKey(ctx, k.ID, 6)
		again, err3 := tx.RevokeKey(ctx, k.ID, 8)
		if !ok || again {
			t.Errorf("revoked %v, and again %v", ok, again)
		}
		k.Revoked = 6
		all, err4 := tx.Keys(ctx)
		if diff := cmp.Diff(all, []operator.Key{k}); diff != "" {
			t.Error(diff)
		}
		return errors.Join(err, err2, err3, err4)
	})
}

func sessions(t *testing.T, _ issuer.Store, s operator.Store) {
	one := operator.Session{Hash: operator.Hash{1}, Actor: "oidc:ada", Name: "Ada", Role: operator.Viewer, Scopes: []operator.Scope{operator.Read}, Created: 10, Expires: 20}
	two := operator.Session{Hash: operator.Hash{2}, Actor: "key:02", Name: "Bert", Scopes: []operator.Scope{}, Key: operator.KeyID{2}, Created: 20, Expires: 30}
	change(t, s, func(ctx context.Context, tx operator.Tx) error {
		err := tx.PutSession(ctx, one)
		got, err2 := tx.Session(ctx, one.Hash)
		if diff := cmp.Diff(got, one); diff != "" {
			t.Error(diff)
		}
		return errors.Join(err, err2, tx.PutSession(ctx, two)) // at 20, when the first one is over
	})
	change(t, s, func(ctx context.Context, tx operator.Tx) error {
		if _, err := tx.Session(ctx, one.Hash); !errors.Is(err, operator.ErrNotFound) {
			t.Errorf("a session that is over: %v", err)
		}
		if err := tx.DropSession(ctx, one.Hash); !errors.Is(err, operator.ErrNotFound) {
			t.Errorf("dropped twice: %v", err)
		}
		return tx.DropSession(ctx, two.Hash)
	})
}

func proposals(t *testing.T, _ issuer.Store, s operator.Store) {
	p := operator.Proposal{ID: operator.ProposalID{1}, Action: "grant.revoke", Subject: "a/b", Reason: "sold twice", By: "key:01", At: 10, Expires: 20, State: operator.Open}
	later := operator.Proposal{ID: operator.ProposalID{2}, Action: "x", By: "y", At: 11, Expires: 21, State: operator.Open}
	change(t, s, func(ctx context.Context, tx operator.Tx) error {
		fresh, err := tx.PutProposal(ctx, p)
		other := p
		other.Action = "other"
		again, err2 := tx.PutProposal(ctx, other)
		_, err3 := tx.PutProposal(ctx, later)
		if !fresh || again {
			t.Errorf("fresh %v, again %v", fresh, again)
		}
		done := p
		done.State, done.Decider, done.Decided = operator.Approved, "key:02", 12
		ok, err4 := tx.SetProposal(ctx, done, operator.Open)
		twice, err5 := tx.SetProposal(ctx, done, operator.Open)
		if !ok || twice {
			t.Errorf("decided %v, and again %v", ok, twice)
		}
		all, err6 := tx.Proposals(ctx, operator.ProposalPlace{}, 9)
		if diff := cmp.Diff(all, []operator.Proposal{later, done}); diff != "" {
			t.Error(diff)
		}
		twin := later
		twin.ID = operator.ProposalID{3} // made in the same millisecond
		_, err8 := tx.PutProposal(ctx, twin)
		rest, err7 := tx.Proposals(ctx, operator.ProposalPlace{At: 11, ID: later.ID}, 9)
		if len(rest) != 2 || rest[0].ID != twin.ID || rest[1].ID != p.ID {
			t.Errorf("behind the second one: %v", rest)
		}
		return errors.Join(err, err2, err3, err4, err5, err6, err7, err8)
	})
}

func entry(n int64) audit.Entry {
	return audit.Entry{At: n, Actor: "owner", Action: "grant.add", Subject: "a/b"}
}

func auditLog(t *testing.T, _ issuer.Store, s operator.Store) {
	var all []audit.Entry
	for n := range int64(3) {
		change(t, s, func(ctx context.Context, tx operator.Tx) error {
			e, err := tx.AppendAudit(ctx, entry(n+1))
			all = append(all, e)
			return err
		})
	}
	for i, e := range all {
		var prev audit.Hash
		if i > 0 {
			prev = all[i-1].Hash()
		}
		if e.Seq != uint64(i)+1 || e.Prev != prev {
			t.Errorf("entry %d has number %d and follows %v, want %v", i, e.Seq, e.Prev, prev)
		}
	}
	err := s.Update(t.Context(), func(ctx context.Context, tx operator.Tx) error {
		_, err := tx.AppendAudit(ctx, entry(4))
		return errors.Join(err, errNo)
	})
	if !errors.Is(err, errNo) {
		t.Errorf("%v", err)
	}
	change(t, s, func(ctx context.Context, tx operator.Tx) error {
		got, err := tx.Entries(ctx, 1, 9)
		newest, err2 := tx.Latest(ctx, 0, 2)
		older, err3 := tx.Latest(ctx, 2, 2)
		seq, hash, err4 := tx.LastEntry(ctx)
		at, err5 := tx.LastBefore(ctx, 3)
		if diff := cmp.Diff(got, all[1:]) + cmp.Diff(newest, []audit.Entry{all[2], all[1]}) + cmp.Diff(older, all[:1]) + cmp.Diff(at, all[1]); diff != "" {
			t.Error(diff)
		}
		if seq != 3 || hash != all[2].Hash() {
			t.Errorf("the log remembers %d, %v", seq, hash)
		}
		if _, err := tx.LastBefore(ctx, 1); !errors.Is(err, operator.ErrNotFound) {
			t.Errorf("before all: %v", err)
		}
		head := operator.DayHead{Day: "1970-01-01", Seq: 3, Signed: []byte{1}}
		err6 := errors.Join(tx.PutHead(ctx, head), tx.PutHead(ctx, operator.DayHead{Day: head.Day, Seq: 2, Signed: []byte{2}}))
		heads, err7 := tx.Heads(ctx)
		if diff := cmp.Diff(heads, []operator.DayHead{head}); diff != "" {
			t.Error(diff)
		}
		return errors.Join(err, err2, err3, err4, err5, err6, err7)
	})
}

func auditTogether(t *testing.T, _ issuer.Store, s operator.Store) {
	const callers, each = 8, 10
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				err := s.Update(t.Context(), func(ctx context.Context, tx operator.Tx) error {
					_, err := tx.AppendAudit(ctx, entry(1))
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	v := audit.NewVerifier(nil)
	change(t, s, func(ctx context.Context, tx operator.Tx) error {
		all, err := tx.Entries(ctx, 0, 1000)
		for _, e := range all {
			v.Entry(e)
		}
		return err
	})
	if got := v.Report(); got.Entries != callers*each || len(got.Faults) != 0 {
		t.Errorf("%+v", got)
	}
}

// What an operator does and what the log says of it are durable together.
func actAndLog(t *testing.T, s issuer.Store, o operator.Store) {
	logged := issuer.Audited(s)
	act := &issuer.Act{Entry: entry(1)}
	ctx := issuer.WithAct(t.Context(), act)
	err := logged.Update(ctx, func(ctx context.Context, tx issuer.Tx) error {
		return errors.Join(tx.PutContent(ctx, issuer.Content{ID: "lost"}), errNo)
	})
	if !errors.Is(err, errNo) || act.Done() {
		t.Errorf("%v, in the log: %v", err, act.Done())
	}
	for range 2 { // the second transaction of one act is not another act
		if err := logged.Update(ctx, func(ctx context.Context, tx issuer.Tx) error { return tx.PutContent(ctx, issuer.Content{ID: film}) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := logged.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		return tx.PutContent(ctx, issuer.Content{ID: "of nobody"})
	}); err != nil {
		t.Fatal(err)
	}
	change(t, o, func(ctx context.Context, tx operator.Tx) error {
		all, err := tx.Entries(ctx, 0, 9)
		if len(all) != 1 || !act.Done() {
			t.Errorf("the log has %v", all)
		}
		return err
	})
}
