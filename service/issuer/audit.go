package issuer

import (
	"context"

	"github.com/lares-drm/lares/internal/audit"
)

// AuditTx keeps the operators' log.
type AuditTx interface {
	// AppendAudit gives an entry its place in the log: Seq and Prev are filled in.
	AppendAudit(ctx context.Context, e audit.Entry) (audit.Entry, error)
}

// Act is what an operator is about to do. It goes with the context of the call
// that does it, and stands in the log when the first transaction of that call is
// durable: both or neither.
type Act struct {
	Entry audit.Entry
	done  bool
}

// Done reports whether the act stands in the log.
func (a *Act) Done() bool { return a.done }

// About says what the act is done to, where only the one who does it knows.
func About(ctx context.Context, subject string) {
	if a, _ := ctx.Value(actKey{}).(*Act); a != nil && !a.done {
		a.Entry.Subject = subject
	}
}

type actKey struct{}

// WithAct is a context in which what is written is an operator's act.
func WithAct(ctx context.Context, a *Act) context.Context { return context.WithValue(ctx, actKey{}, a) }

// Audited is the store with the operators' log: what a transaction does for an
// operator is in the log when it is in the database. What nobody is named for
// (a household's requests) is not logged.
func Audited(s Store) Store { return audited{s} }

type audited struct{ Store }

// Update runs fn and, for an operator, appends to the log in the same transaction.
func (s audited) Update(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	a, _ := ctx.Value(actKey{}).(*Act)
	if a == nil || a.done {
		return s.Store.Update(ctx, fn)
	}
	err := s.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		_, err := tx.AppendAudit(ctx, a.Entry)
		return err
	})
	a.done = err == nil
	return err
}
