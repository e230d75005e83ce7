package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// homeHandFlags are where a title of the house's server is to go.
type homeHandFlags struct {
	to, lasts, within string
	plays             uint64
}

func newHomeMoveCmd(env *Env, dir *string) *cobra.Command {
	return homeHandCmd(env, dir, trem.OpMove, &cobra.Command{
		Use:   "move TITLE",
		Short: "Move a title from the house's server to a device",
		Example: `  lares home move rental --to tablet
  lares home move rental --to tablet --within 7d --json`,
	})
}

func newHomeCopyCmd(env *Env, dir *string) *cobra.Command {
	return homeHandCmd(env, dir, trem.OpCopy, &cobra.Command{
		Use:   "copy TITLE",
		Short: "Make a copy of a title for a device, where you may",
		Example: `  lares home copy lares-film --to tablet
  lares home copy lares-film --to tablet --json`,
	})
}

func newHomeLendCmd(env *Env, dir *string) *cobra.Command {
	return homeHandCmd(env, dir, trem.OpLend, &cobra.Command{
		Use:   "lend TITLE",
		Short: "Lend a title to a device: it comes back by itself",
		Example: `  lares home lend lares-film --to tablet --for 2d
  lares home lend lares-film --to tablet --for 6h --json`,
	})
}

func homeHandCmd(env *Env, dir *string, op trem.Op, cmd *cobra.Command) *cobra.Command {
	var f homeHandFlags
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := contentArg(args[0])
		if err != nil {
			return err
		}
		in := httpd.HandOverRequest{Op: op, Content: id, To: f.to, Plays: f.plays}
		if in.ForMS, err = lasting(f.lasts); err != nil {
			return err
		}
		if in.HoldMS, err = lasting(f.within); err != nil {
			return err
		}
		var out httpd.HandOverAnswer
		if err := askHome(cmd.Context(), *dir, http.MethodPost, "/api/v1/transfers", in, &out); err != nil {
			return err
		}
		err = env.print(cmd, out, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, handedWords(out, id, f.to))
			return err
		})
		if err == nil && out.Refused != "" {
			return saidNo()
		}
		return err
	}
	to := "name of a device of the house (required)"
	switch op {
	case trem.OpLend:
		to = "name of a device of the house, or URL of another house (required)"
	case trem.OpTransfer:
		to = "URL of another house (required)"
	case trem.OpMove, trem.OpCopy, trem.OpBind: // stay in the house
	}
	cmd.Flags().StringVar(&f.to, "to", "", to)
	_ = cmd.MarkFlagRequired("to")
	if op == trem.OpLend {
		cmd.Flags().StringVar(&f.lasts, "for", "14d", "how long: 90m, 6h, 14d")
	} else if op == trem.OpMove {
		cmd.Flags().StringVar(&f.within, "within", "", "time in which the device has to have it, such as 7d (default: no limit)")
	}
	if op == trem.OpCopy || op == trem.OpLend {
		cmd.Flags().Uint64Var(&f.plays, "plays", 0, "plays that go with a counted title (default 1)")
	}
	return cmd
}

func handedWords(out httpd.HandOverAnswer, id ident.Content, to string) string {
	switch {
	case out.Arrived:
		return fmt.Sprintf("%s has %v.", upperFirst(to), id)
	case out.Refused != "":
		return fmt.Sprintf("%s did not take %v (%s). It is here again.", upperFirst(to), id, out.Refused)
	}
	return fmt.Sprintf("%v waits for %s, which gets it when it is next on.", id, to)
}

func newHomeGiveCmd(env *Env, dir *string) *cobra.Command {
	return homeHandCmd(env, dir, trem.OpTransfer, &cobra.Command{
		Use:   "give TITLE",
		Short: "Give a title away to another house, for good",
		Long: `Give a title to another house, whose owner has said: lares home receive. It is
theirs from then on, with all that is left of it, and no longer this house's. What
devices of this house have of it they give back first (lares device return). The
shop may have limited how often, and how soon again, a title changes hands.`,
		Example: `  lares home give lares-film --to http://aunt.example:7710
  lares home give lares-film --to http://127.0.0.1:7720 --json`,
	})
}

func newHomeReceiveCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "receive",
		Short: "Expect a title that another house gives to this one, for ten minutes",
		Long: `Let another house give a title to this one. For ten minutes it may learn by which
name the shop of that title knows this house; without this command nobody may.`,
		Example: `  lares home receive
  lares home receive --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v struct {
				Until time.Time `json:"until"`
			}
			if err := askHome(cmd.Context(), *dir, http.MethodPost, "/api/v1/receive", map[string]any{}, &v); err != nil {
				return err
			}
			return env.print(cmd, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "This house expects a title until %s.\n", v.Until.Local().Format("15:04"))
				return err
			})
		},
	}
}

// homeTransfers is the house's list of what is not closed.
type homeTransfers struct {
	Transfers []httpd.TransferView `json:"transfers"`
}

func newHomeTransfersCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "transfers",
		Short: "Say what of the house's server is on its way or lent, and what it waits for",
		Example: `  lares home transfers
  lares home transfers --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v homeTransfers
			if err := askHome(cmd.Context(), *dir, http.MethodGet, "/api/v1/transfers", nil, &v); err != nil {
				return err
			}
			return env.print(cmd, v, func(w io.Writer) error {
				p := printer{w: w}
				if len(v.Transfers) == 0 {
					p.line("Nothing is on its way, and nothing is lent.")
				}
				for _, t := range v.Transfers {
					p.line("%s: %s", titleOf(t.Transfer), t.Words)
				}
				return p.err
			})
		},
	}
}

func newHomeCancelCmd(env *Env, dir *string) *cobra.Command {
	return homeTransferCmd(dir, "cancel", "%v is asked back from %s. Whether it still can be is for that device to say: lares home transfers.\n",
		[]trem.Stage{trem.StageSent, trem.StageLent}, env, &cobra.Command{
			Use:   "cancel TITLE",
			Short: "Ask a title back that is on its way to a device, or lent to it",
			Example: `  lares home cancel lares-film
  lares home cancel lares-film --json`,
		})
}

func newHomeLostCmd(env *Env, dir *string) *cobra.Command {
	return homeTransferCmd(dir, "lost", "%v: the house asks %s. What left comes back a day after its time limit, unless that device shows that it has it; what came is confirmed.\n",
		[]trem.Stage{trem.StageSent, trem.StageUnconfirmed}, env, &cobra.Command{
			Use:   "lost TITLE",
			Short: "Say that the device a title went to is lost",
			Example: `  lares home lost lares-film
  lares home lost lares-film --json`,
		})
}

func newHomeRenewCmd(env *Env, dir *string) *cobra.Command {
	var lasts string
	cmd := &cobra.Command{
		Use:   "renew TITLE",
		Short: "Give a title that the house has lent a later end",
		Example: `  lares home renew lares-film --for 14d    # from now
  lares home renew lares-film --for 2d --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ms, err := lasting(lasts)
			if err != nil {
				return err
			}
			t, err := openTransfer(cmd.Context(), *dir, args[0], []trem.Stage{trem.StageLent})
			if err != nil {
				return err
			}
			if err := askHome(cmd.Context(), *dir, http.MethodPost, "/api/v1/transfers/renew", httpd.RenewLoanRequest{Transfer: t.ID, ForMS: ms}, nil); err != nil {
				return err
			}
			return env.print(cmd, map[string]any{"transfer": t.ID}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%v has a later end for %s, which hears it when it is next on: lares home transfers.\n", t.Content, t.PeerName)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&lasts, "for", "14d", "how long from now: 90m, 6h, 14d")
	return cmd
}

// openTransfer finds the open transfer of a title.
func openTransfer(ctx context.Context, dir, title string, stages []trem.Stage) (httpd.TransferView, error) {
	id, err := contentArg(title)
	if err != nil {
		return httpd.TransferView{}, err
	}
	var v homeTransfers
	if err := askHome(ctx, dir, http.MethodGet, "/api/v1/transfers", nil, &v); err != nil {
		return httpd.TransferView{}, err
	}
	i := slices.IndexFunc(v.Transfers, func(t httpd.TransferView) bool { return t.Content == id && slices.Contains(stages, t.Stage) })
	if i < 0 {
		return httpd.TransferView{}, fmt.Errorf("%v is not on its way anywhere, and not lent", id)
	}
	return v.Transfers[i], nil
}

// homeTransferCmd does something about the open transfer of a title.
func homeTransferCmd(dir *string, what, words string, stages []trem.Stage, env *Env, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := openTransfer(cmd.Context(), *dir, args[0], stages)
		if err != nil {
			return err
		}
		if err := askHome(cmd.Context(), *dir, http.MethodPost, "/api/v1/transfers/"+what, map[string]any{"transfer": t.ID}, nil); err != nil {
			return err
		}
		return env.print(cmd, map[string]any{"transfer": t.ID}, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, words, t.Content, t.PeerName)
			return err
		})
	}
	return cmd
}
