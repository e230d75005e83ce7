package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

func newDeviceReturnCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "return TITLE",
		Short: "Give a borrowed title back before its time, or plays that were set aside here",
		Example: `  lares device return lares-film
  lares device return rental        # the plays left here are the house's again
  lares device return lares-film --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			if set, err := setAside(cmd.Context(), env, *dir, id); err != nil || len(set) > 0 {
				if err != nil {
					return err
				}
				return returnPlays(cmd, env, *dir, id, set)
			}
			return onTransfer(cmd, env, *dir, args[0], "this device has not borrowed %v",
				func(t trem.Transfer) bool { return t.Stage == trem.StageBorrowed },
				func(ctx context.Context, d *device, t trem.Transfer) (trem.Handed, error) {
					return d.trem.GiveBack(ctx, t.ID)
				})
		},
	}
}

// setAside are the plays of a title that were set aside for a device.
func setAside(ctx context.Context, env *Env, dir string, id ident.Content) (out []trem.Held, err error) {
	err = withDevice(env, dir, func(d *device) error {
		held, err := d.trem.Licenses(ctx)
		for _, h := range held {
			if h.Content == id && h.Kind == uint64(license.KindAllowance) {
				out = append(out, h)
			}
		}
		return err
	})
	return out, err
}

// returnPlays gives all of them back to the house.
func returnPlays(cmd *cobra.Command, env *Env, dir string, id ident.Content, set []trem.Held) error {
	ctx := cmd.Context()
	return withDevice(env, dir, func(d *device) error {
		p, err := d.post(ctx, env)
		if err != nil {
			return err
		}
		d.settle(ctx, p.courier())
		for _, h := range set {
			if _, err := d.trem.Yield(ctx, h.License); err != nil {
				return notNow(err)
			}
		}
		_, away := p.exchange(ctx)
		return env.print(cmd, map[string]any{"content": id, "licenses": len(set)}, func(w io.Writer) error {
			words := fmt.Sprintf("%v is given back.", id)
			if away != nil {
				words += fmt.Sprintf(" The house does not answer now (%v); the next command tells it.", away)
			}
			_, err := fmt.Fprintln(w, words)
			return err
		})
	})
}

func newDeviceRenewCmd(env *Env, dir *string) *cobra.Command {
	var lasts string
	cmd := &cobra.Command{
		Use:   "renew TITLE",
		Short: "Give a title that is lent a later end",
		Example: `  lares device renew lares-film --for 14d    # from now
  lares device renew lares-film --for 2d --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ms, err := lasting(lasts)
			if err != nil {
				return err
			}
			err = onTransfer(cmd, env, *dir, args[0], "this device has not lent %v",
				func(t trem.Transfer) bool { return t.Stage == trem.StageLent },
				func(ctx context.Context, d *device, t trem.Transfer) (trem.Handed, error) {
					got, err := d.trem.RenewLoan(ctx, trem.Renewal{Transfer: t.ID, ForMS: ms})
					return got, notNow(err)
				})
			return env.decided(cmd, err)
		},
	}
	cmd.Flags().StringVar(&lasts, "for", "14d", "how long from now: 90m, 6h, 14d")
	return cmd
}

func newDeviceCancelCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel TITLE",
		Short: "Ask a title back that is on its way, or lent",
		Long: `Ask for a title that has left and not arrived, or call back a loan. Whether a
move still can be cancelled is the other device's to say: if it has the title
already, it keeps it. The answer says which it is, or that it is not known yet.`,
		Example: `  lares device cancel rental
  lares device cancel rental --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onTransfer(cmd, env, *dir, args[0], "%v is not on its way anywhere, and not lent",
				func(t trem.Transfer) bool { return t.Stage == trem.StageSent || t.Stage == trem.StageLent },
				func(ctx context.Context, d *device, t trem.Transfer) (trem.Handed, error) {
					return d.trem.Cancel(ctx, t.ID)
				})
		},
	}
}

func newDeviceLostCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "lost TITLE",
		Short: "Say that the device a title went to, or came from, is lost",
		Long: `Tell the house's server that the other device of a move is lost. It asks that
device first. A title that went to it with --within comes back a day after that
time is over, if the device has shown nothing until then; of a title with so many
plays none come back, since they could have been watched there. A title that came
from a lost device is confirmed.`,
		Example: `  lares device lost rental
  lares device lost rental --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onTransfer(cmd, env, *dir, args[0], "%v is not on its way anywhere",
				func(t trem.Transfer) bool { return t.Stage == trem.StageSent || t.Stage == trem.StageUnconfirmed },
				func(ctx context.Context, d *device, t trem.Transfer) (trem.Handed, error) {
					got, err := d.trem.Lost(ctx, t.ID)
					return got, notNow(err)
				})
		},
	}
}

// ended is how a transfer stands after a command about it.
type ended struct {
	Content ident.Content  `json:"content"`
	Open    *trem.Transfer `json:"open,omitempty"` // what it still waits for; none when it is closed
	Here    bool           `json:"here"`           // the title can be used here
	words   string
}

// onTransfer does something about the open transfer of a title and says
// truthfully what came of it.
func onTransfer(cmd *cobra.Command, env *Env, dir, title, none string, which func(trem.Transfer) bool,
	do func(context.Context, *device, trem.Transfer) (trem.Handed, error),
) error {
	id, err := contentArg(title)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	return withDevice(env, dir, func(d *device) error {
		list, err := d.trem.Transfers(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(t trem.Transfer) bool { return t.Content == id && which(t) })
		if i < 0 {
			return fmt.Errorf(none, id)
		}
		p, err := d.post(ctx, env)
		if err != nil {
			return err
		}
		got, err := do(ctx, d, list[i])
		if err != nil {
			return err
		}
		_, sendErr := p.all(ctx, got.Letters)
		if sendErr == nil {
			_, sendErr = p.exchange(ctx)
		}
		out, err := d.stands(ctx, p, list[i])
		if err != nil {
			return err
		}
		if sendErr != nil {
			out.words += fmt.Sprintf(" The house does not answer now (%v); the next command tells it.", sendErr)
		}
		return env.print(cmd, out, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, out.words)
			return err
		})
	})
}

// stands looks how a transfer is now.
func (d *device) stands(ctx context.Context, p *post, t trem.Transfer) (ended, error) {
	out := ended{Content: t.Content}
	list, err := d.trem.Transfers(ctx)
	if err != nil {
		return out, err
	}
	held, err := d.trem.Licenses(ctx)
	if err != nil {
		return out, err
	}
	out.Here = slices.ContainsFunc(held, func(h trem.Held) bool { return h.Content == t.Content && h.Phase == "HELD" })
	if i := slices.IndexFunc(list, func(o trem.Transfer) bool { return o.ID == t.ID }); i >= 0 {
		out.Open = &list[i]
		out.words = fmt.Sprintf("%v: %s", t.Content, httpd.TransferWords(list[i], p.names(ctx, list)[list[i].Peer]))
		return out, nil
	}
	switch {
	case t.Stage == trem.StageUnconfirmed && out.Here:
		out.words = fmt.Sprintf("%v is this device's, confirmed by the house.", t.Content)
	case t.Stage == trem.StageBorrowed:
		out.words = fmt.Sprintf("%v is given back.", t.Content)
	case out.Here:
		out.words = fmt.Sprintf("%v is here again.", t.Content)
	default:
		out.words = fmt.Sprintf("Too late: the other device has %v.", t.Content)
	}
	return out, nil
}

func newDeviceTransfersCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "transfers",
		Short: "Fetch and send what is on its way, and say what waits for what",
		Example: `  lares device transfers
  lares device transfers --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return withDevice(env, *dir, func(d *device) error {
				p, err := d.post(ctx, env)
				if err != nil {
					return err
				}
				events, away := p.exchange(ctx)
				list, err := d.trem.Transfers(ctx)
				if err != nil {
					return err
				}
				names := p.names(ctx, list)
				return env.print(cmd, map[string]any{"transfers": list, "came": came(events)}, func(w io.Writer) error {
					return listTransfers(w, list, names, events, away)
				})
			})
		},
	}
}

// titleOf is the title that a transfer is of. Of a loan that was given back it is
// not known here any more.
func titleOf(t trem.Transfer) string {
	if t.Content == "" {
		return "A borrowed title"
	}
	return t.Content.String()
}

// came are the titles that arrived.
func came(events []trem.Event) []ident.Content {
	out := []ident.Content{}
	for _, e := range events {
		if e.Kind == trem.EventInstalled {
			out = append(out, ident.Content(e.Content))
		}
	}
	return out
}

func listTransfers(w io.Writer, list []trem.Transfer, names map[ident.Device]string, events []trem.Event, away error) error {
	p := printer{w: w}
	for _, id := range came(events) {
		p.line("%v has come to this device.", id)
	}
	for _, e := range events {
		if e.Kind == trem.EventFailed {
			p.line("Something came that this device does not take: %s.", e.Text)
		}
	}
	for _, t := range list {
		p.line("%s: %s", titleOf(t), httpd.TransferWords(t, names[t.Peer]))
	}
	for _, e := range events {
		if e.Kind == trem.EventReceipt && e.Installed {
			p.line("The other device has what was on its way to it.")
		}
	}
	if len(list) == 0 {
		p.line("Nothing is on its way.")
	}
	if away != nil {
		p.line("The house does not answer now: %v.", away)
	}
	return p.err
}
