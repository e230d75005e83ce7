package issuer

import (
	"context"
	"errors"
	"log/slog"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// query answers a household that asks what became of a transfer.
func (i *Issuer) query(ctx context.Context, ev trem.Event) ([]trem.SLTPMessage, error) {
	var a issue
	err := i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		a = issue{Issuer: i, tx: tx, ev: ev}
		err := a.again(ctx, ident.Domain{}, ev.Transfer)
		if errors.Is(err, ErrNotFound) {
			return errUnknown
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if a.closed != nil {
		return i.cfg.TREM.Done(ctx, *a.closed)
	}
	return i.cfg.TREM.Release(ctx, ev.Handle, a.sealed)
}

// receipt closes a transfer: the household's TREM has the license, or has
// refused it for good. What does not fit is noted and not answered.
func (i *Issuer) receipt(ctx context.Context, ev trem.Event) ([]trem.SLTPMessage, error) {
	done := trem.Done{Handle: ev.Handle, Transfer: ev.Transfer}
	err := i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) (err error) {
		done.Low, err = i.settle(ctx, tx, ev)
		return err
	})
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
		i.cfg.Log.LogAttrs(ctx, slog.LevelError, "receipt does not fit", slog.Any("transfer", ev.Transfer), slog.Any("error", err))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "transfer closed", slog.Any("transfer", ev.Transfer), slog.Bool("installed", ev.Installed))
	return i.cfg.TREM.Done(ctx, done)
}

func (i *Issuer) settle(ctx context.Context, tx Tx, ev trem.Event) (low uint64, err error) {
	t, err := tx.Transfer(ctx, ev.Domain, ev.Transfer)
	if err != nil {
		return 0, err
	}
	if t.XferHash != ev.XferHash {
		return 0, ErrConflict
	}
	if t.State == Escrow {
		if err := i.close(ctx, tx, t, ev.Installed); err != nil {
			return 0, err
		}
	}
	return tx.Low(ctx, t.Domain, t.ID)
}

// close erases the sealed body; a refused license goes back into its grant.
func (i *Issuer) close(ctx context.Context, tx Tx, t Transfer, installed bool) error {
	lic, err := tx.License(ctx, t.Domain, t.License)
	if err != nil {
		return err
	}
	if lic.State == Delivered {
		return closeRenewal(ctx, tx, t, lic, installed)
	}
	state := Delivered
	if !installed {
		state = Returned
		if _, err := tx.End(ctx, t.Domain, lic.ID); errors.Is(err, ErrNotFound) { // revoked on its way, it is not given again
			err = tx.Credit(ctx, GrantKey{t.Domain, lic.Grant})
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	if err := tx.SetLicense(ctx, t.Domain, lic.ID, state); err != nil {
		return err
	}
	return tx.CloseTransfer(ctx, t.Domain, t.ID)
}
