package storetest

import (
	"context"
	"errors"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/service/issuer"
)

// errAgain takes back what a function did, to run it once more.
var errAgain = errors.New("storetest: taken back, to be done again")

// Twice is a store that runs each function twice, as a store may: SQLite and
// PostgreSQL do it when others were before, and when one of a group fails. What the
// first run did to the database is taken back; what it left elsewhere is a mistake.
type Twice struct{ issuer.Store }

// Update runs fn, takes that back, and runs it again.
func (s Twice) Update(ctx context.Context, fn func(ctx context.Context, tx issuer.Tx) error) error {
	return twice(func(first bool) error {
		return s.Store.Update(ctx, func(ctx context.Context, tx issuer.Tx) error { return taken(first, fn(ctx, tx)) })
	})
}

// View runs fn twice.
func (s Twice) View(ctx context.Context, fn func(ctx context.Context, r issuer.Reader) error) error {
	return twice(func(first bool) error {
		return s.Store.View(ctx, func(ctx context.Context, r issuer.Reader) error { return taken(first, fn(ctx, r)) })
	})
}

// TwiceOperators is the same for operators.
type TwiceOperators struct{ operator.Store }

// Update runs fn, takes that back, and runs it again.
func (s TwiceOperators) Update(ctx context.Context, fn func(ctx context.Context, tx operator.Tx) error) error {
	return twice(func(first bool) error {
		return s.Store.Update(ctx, func(ctx context.Context, tx operator.Tx) error { return taken(first, fn(ctx, tx)) })
	})
}

// taken makes the first run end without effect, whatever came of it.
func taken(first bool, err error) error {
	if first {
		return errAgain
	}
	return err
}

func twice(do func(first bool) error) error {
	if err := do(true); !errors.Is(err, errAgain) {
		return err // the database failed
	}
	return do(false)
}

// Lost is a store that loses the answer to each commit, as a connection to a server may
// be lost then: the function runs once more on what it has done, and has to find that by
// its keys.
type Lost struct{ issuer.Store }

// Update runs fn, and again on what came of it.
func (s Lost) Update(ctx context.Context, fn func(ctx context.Context, tx issuer.Tx) error) error {
	if err := s.Store.Update(ctx, fn); err != nil {
		return err
	}
	return s.Store.Update(ctx, fn)
}
