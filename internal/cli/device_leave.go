package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

func newDeviceLeaveCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "leave",
		Short: "Leave the house: give back what is set aside or lent here, destroy the rest",
		Long: `Take this device out of its house, before it is sold or given away. Plays that were
set aside here go back to the house, and what was lent here to its lender; copies of the
house's titles are destroyed. Then the device says so to the house, whose list it is
taken off. What is the device's own stays. The same command goes on where one was cut off.`,
		Example: `  lares device leave
  lares device leave --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDevice(env, *dir, func(d *device) error {
				gone, err := d.leave(cmd.Context(), env)
				if err != nil {
					return err
				}
				return env.print(cmd, gone, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, "This device belongs to no house any more. Nothing of the house is on it.")
					return err
				})
			})
		},
	}
}

// departure is what `device leave --json` prints.
type departure struct {
	Left     bool `json:"left"`
	Returned int  `json:"returned"` // licenses and loans that went back
}

func (d *device) leave(ctx context.Context, env *Env) (out departure, err error) {
	p, err := d.post(ctx, env)
	if err != nil {
		return out, err
	}
	if out.Returned, err = p.giveBackAll(ctx); err != nil {
		return out, err
	}
	h, err := d.trem.Leave(ctx, d.cfg.Server)
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeState {
		return out, later("not yet: %s. The same command goes on", e.Text)
	}
	if err != nil {
		return out, err
	}
	if _, err := p.all(ctx, h.Letters); err != nil {
		return out, err
	}
	out.Left = true
	return out, d.unhoused()
}

// unhoused forgets the house that this device has left, and whose it was there.
func (d *device) unhoused() error {
	d.cfg = deviceConfig{}
	return errors.Join(d.save(), d.forgetWhose())
}

// giveBackAll returns to the house, and to lenders, what is theirs, and hears that
// they have it.
func (p *post) giveBackAll(ctx context.Context) (n int, err error) {
	st, err := p.d.trem.Status(ctx)
	if err != nil || st.Domain == (ident.Domain{}) { // it has left, and the house may not have heard
		return 0, err
	}
	if _, err := p.exchange(ctx); err != nil {
		return 0, err
	}
	held, err := p.d.trem.Licenses(ctx)
	if err != nil {
		return 0, err
	}
	for _, h := range held {
		if h.Kind != uint64(license.KindAllowance) {
			continue
		}
		got, err := p.d.trem.Yield(ctx, h.License)
		if err != nil {
			return n, err
		}
		if _, err := p.all(ctx, got.Letters); err != nil {
			return n, err
		}
		n++
	}
	list, err := p.d.trem.Transfers(ctx)
	if err != nil {
		return n, err
	}
	for _, t := range list {
		if t.Stage != trem.StageBorrowed {
			continue
		}
		got, err := p.d.trem.GiveBack(ctx, t.ID)
		if err != nil {
			return n, err
		}
		if _, err := p.all(ctx, got.Letters); err != nil {
			return n, err
		}
		n++
	}
	_, err = p.exchange(ctx) // what the house answers
	return n, err
}
