package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// goes is how far a hand-over is when its command ends.
type goes struct {
	Transfer ident.Transfer `json:"transfer"`
	Op       trem.Op        `json:"op"`
	Content  ident.Content  `json:"content"`
	To       string         `json:"to"`
	Arrived  bool           `json:"arrived"` // the other side has it
	Refused  string         `json:"refused,omitempty"`
	words    string
}

// handFlags are where a title is to go, and how.
type handFlags struct {
	to     string
	here   bool
	files  bool
	lasts  string
	plays  uint64
	within string
}

func (f *handFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.to, "to", "", "name of a device of the house, or \"house\" for its server")
	cmd.Flags().BoolVar(&f.here, "here", false, "from the house's server to this device")
	cmd.Flags().BoolVar(&f.files, "download", false, "with --here: get the protected files first, so that the title is away from the house for a moment only")
	cmd.MarkFlagsOneRequired("to", "here")
	cmd.MarkFlagsMutuallyExclusive("to", "here")
}

func newDeviceMoveCmd(env *Env, dir *string) *cobra.Command {
	var f handFlags
	cmd := &cobra.Command{
		Use:   "move TITLE",
		Short: "Move a title to another device: it is there then, and no longer here",
		Long: `Move a title with all that is left of it. From the moment it leaves until the
other device says that it has it, it can be watched on neither; pulling a plug
in between loses nothing. A device that is off gets it when it is next on.

With --within the other device must have it and be heard from in that time, in
proven time; only then can the house give it back should that device be lost.`,
		Example: `  lares device move rental --to phone
  lares device move rental --to house
  lares device move rental --here      # from the house's server to this device`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHandOver(cmd, env, *dir, trem.OpMove, args[0], &f)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.within, "within", "", "time in which the other device has to have it, such as 7d (default: no limit)")
	return cmd
}

func newDeviceCopyCmd(env *Env, dir *string) *cobra.Command {
	var f handFlags
	cmd := &cobra.Command{
		Use:   "copy TITLE",
		Short: "Make a copy of a title for another device, where you may",
		Example: `  lares device copy lares-film --to phone
  lares device copy lares-film --here
  lares device copy lares-film --to phone --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHandOver(cmd, env, *dir, trem.OpCopy, args[0], &f)
		},
	}
	f.add(cmd)
	cmd.Flags().Uint64Var(&f.plays, "plays", 0, "plays that go with the copy of a counted title (default 1)")
	return cmd
}

func newDeviceLendCmd(env *Env, dir *string) *cobra.Command {
	var f handFlags
	cmd := &cobra.Command{
		Use:   "lend TITLE",
		Short: "Lend a title to another device: it comes back by itself",
		Long: `Lend a title for a time. It sleeps here meanwhile. It comes back when the
borrower gives it back, when you call it back (lares device cancel) and the
borrower hears it, and in any case after its time, which is proven time: turning
a clock changes nothing.`,
		Example: `  lares device lend lares-film --to phone --for 14d
  lares device lend lares-film --here --for 2d    # borrow it from the house
  lares device lend lares-film --to phone --for 6h --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHandOver(cmd, env, *dir, trem.OpLend, args[0], &f)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.lasts, "for", "14d", "how long: 90m, 6h, 14d")
	cmd.Flags().Uint64Var(&f.plays, "plays", 0, "plays that go with a counted title (default 1)")
	return cmd
}

// lasting reads a time of so many days, hours, minutes or seconds.
func lasting(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.ParseUint(n, 10, 16)
		if err != nil || days == 0 {
			return 0, usage("%q is no time: 90m, 6h, 14d", s)
		}
		return int64(days) * 24 * time.Hour.Milliseconds(), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Millisecond {
		return 0, usage("%q is no time: 90m, 6h, 14d", s)
	}
	return d.Milliseconds(), nil
}

func runHandOver(cmd *cobra.Command, env *Env, dir string, op trem.Op, title string, f *handFlags) error {
	id, err := contentArg(title)
	if err != nil {
		return err
	}
	order := trem.HandOver{Op: op, Content: id, Plays: f.plays}
	if order.ForMS, err = lasting(f.lasts); err != nil {
		return err
	}
	if order.HoldMS, err = lasting(f.within); err != nil {
		return err
	}
	return withDevice(env, dir, func(d *device) error {
		if err := d.mayHandle(cmd.Context(), id, op); err != nil {
			return env.decided(cmd, notNow(err))
		}
		if f.here && f.files {
			if _, err := d.download(cmd.Context(), env, id, ""); err != nil {
				return err
			}
		}
		if f.here {
			got, err := d.get(cmd.Context(), env, wish{Content: id, Op: op, ForMS: order.ForMS, Plays: f.plays})
			if err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%v is on this device.\n", id)
				return err
			})
		}
		got, err := d.handOver(cmd.Context(), env, order, f.to)
		if err != nil {
			return env.decided(cmd, notNow(err))
		}
		err = env.print(cmd, got, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, got.words)
			return err
		})
		if err == nil && got.Refused != "" {
			return saidNo()
		}
		return err
	})
}

// handOver takes a title out of use here and sends it. What cannot be sent now is
// sent by the next command.
func (d *device) handOver(ctx context.Context, env *Env, order trem.HandOver, to string) (goes, error) {
	p, err := d.post(ctx, env)
	if err != nil {
		return goes{}, err
	}
	if _, err := p.exchange(ctx); err != nil {
		return goes{}, err
	}
	r, err := p.recipient(ctx, to)
	if err != nil {
		return goes{}, err
	}
	order.To = r.Card
	got, err := d.trem.HandOver(ctx, order)
	if err != nil {
		return goes{}, err
	}
	out := goes{Transfer: got.Transfer, Op: order.Op, Content: order.Content, To: r.Name}
	events, err := p.all(ctx, got.Letters)
	out.read(events)
	if err != nil {
		out.words = fmt.Sprintf("%v has left here, but the house does not answer: %v. Nothing is lost; the next command sends it.", order.Content, err)
	}
	return out, nil
}

// notNow makes of what the module says about now an error that says so.
func notNow(err error) error {
	e, ok := errors.AsType[*trem.Error](err)
	switch {
	case ok && e.Code == trem.CodeState:
		return later("not now: %s", e.Text)
	case ok && e.Code == trem.CodeRejected:
		return refused("it does not go: %s", e.Text)
	}
	return err
}

// read finds what became of a hand-over in the events of its letters.
func (g *goes) read(events []trem.Event) {
	to := g.To
	if to == home.HouseName {
		to = "the house"
	}
	g.words = fmt.Sprintf("%v is on its way to %s, and goes on when that is next on. Until then: lares device cancel %v.", g.Content, to, g.Content)
	for _, e := range events {
		if e.Kind != trem.EventReceipt || e.Transfer != g.Transfer {
			continue
		}
		if g.Arrived = e.Installed; g.Arrived {
			g.words = fmt.Sprintf("%s has %v.", upperFirst(to), g.Content)
		} else {
			g.Refused = e.Code
			g.words = fmt.Sprintf("%s did not take %v (%s). It is here again.", upperFirst(to), g.Content, e.Code)
		}
	}
}

func upperFirst(s string) string {
	if s == "" || strings.Contains(s, "://") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
