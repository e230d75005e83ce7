package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// checkExport has the purchase go to the one other system that it names.
func checkExport(ctx context.Context, s *subject) error {
	held, err := s.Licenses(ctx)
	if err != nil || len(held) == 0 {
		return fmt.Errorf("LICENSES: %d: %w", len(held), err)
	}
	parent, err := license.Parse(held[0].Bytes)
	if err != nil {
		return err
	}
	order := trem.Export{Request: ident.NewRequest(), License: held[0].Hash, System: "clearkey", Holds: []string{"END_TIME"}, Trial: true}
	trial, err := s.Export(ctx, order)
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeMalformed {
		return &without{"it has none: " + e.Text}
	}
	if err != nil || len(trial.License) > 0 {
		return fmt.Errorf("a trial: %d bytes are signed: %w", len(trial.License), err)
	}
	order.Trial = false
	first, err := s.Export(ctx, order)
	if err != nil {
		return fmt.Errorf("EXPORT: %w", err)
	}
	child, err := license.Parse(first.License)
	if err != nil {
		return fmt.Errorf("EXPORT: the child: %w", err)
	}
	if p := child.Info().Parent; p == nil || p.Kind != license.KindExport || p.Hash != held[0].Hash {
		return fmt.Errorf("EXPORT: the child's parent is %+v", p)
	}
	if err := license.Narrower(child.Info(), parent.Info()); err != nil {
		return fmt.Errorf("EXPORT: %w", err)
	}
	if err := s.connect(ctx); err != nil { // who asked did not hear it
		return err
	}
	s.last = 0
	again, err := s.Export(ctx, order)
	if err != nil || !bytes.Equal(again.License, first.License) {
		return fmt.Errorf("the request again: another child: %w", err)
	}
	other := order
	other.Holds = []string{"END_TIME", "START_TIME"}
	_, err = s.Export(ctx, other)
	if err := wantCode("another order under the request", err, trem.CodeRejected); err != nil {
		return err
	}
	_, err = s.Export(ctx, trem.Export{Request: ident.NewRequest(), License: held[0].Hash, System: "widevine", Holds: order.Holds})
	if no, ok := errors.AsType[*trem.RefusalError](err); !ok || !no.Decision.Has(license.DestNotAllowed) {
		return fmt.Errorf("EXPORT to a system that is not named: %w; want a refusal (%s)", err, license.DestNotAllowed)
	}
	return nil
}
