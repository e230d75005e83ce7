package trembench

import (
	"context"
	"errors"

	"github.com/lares-drm/lares/security/trem"
)

// MovesInSession moves a license n times from the home server to a device that
// asks for it, in a session of its own each time. What brings it back is not
// measured.
func (h House) MovesInSession(ctx context.Context, n int) (out []Handed, err error) {
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	for range n {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		one, err := h.inSession(ctx, h.tablet)
		if err != nil {
			return out, err
		}
		out = append(out, one)
		if _, _, err := h.byLetter(ctx, h.tablet, h.home, trem.OpMove); err != nil {
			return out, err
		}
	}
	return out, nil
}

// MovesByLetter moves a license n times to and fro between two devices, by
// letters.
func (h House) MovesByLetter(ctx context.Context, n int) (out []Handed, err error) {
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	if _, err := h.inSession(ctx, h.tablet); err != nil {
		return nil, err
	}
	for src, dst := h.tablet, h.phone; len(out) < n; src, dst = dst, src {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		one, _, err := h.byLetter(ctx, src, dst, trem.OpMove)
		if err != nil {
			return out, err
		}
		out = append(out, one)
	}
	return out, nil
}

// Loans lends a license n times from the home server to a device, which gives
// it back, by letters.
func (h House) Loans(ctx context.Context, n int) (out []Loan, err error) {
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	for range n {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		lent, tid, err := h.byLetter(ctx, h.home, h.phone, trem.OpLend)
		if err != nil {
			return out, err
		}
		back, err := h.giveBack(ctx, h.phone, tid)
		if err != nil {
			return out, err
		}
		out = append(out, Loan{lent, back})
	}
	return out, nil
}
