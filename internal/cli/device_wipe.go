package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

func newDeviceWipeCmd(env *Env, dir *string) *cobra.Command {
	var giveUp bool
	cmd := &cobra.Command{
		Use:   "wipe",
		Short: "Leave the house for good and destroy this device's keys, before it is sold",
		Long: `Make this device one that nobody has used. What was set aside or lent here goes back, and
the house is told that this device does not come back; then its keys are destroyed, and
with them everything that is here. An old copy of the folder gets nothing from the house
any more, and opens nothing at all where a token or a TPM had the keys.

It stops before anything is destroyed when the house is away (exit status 4), or when
titles are here that are nowhere else (3): move them to the house or to another device
first. With --give-up they are lost, and are named. The same command goes on where
one was cut off.`,
		Example: `  lares device wipe
  lares device wipe --give-up --json   # without the house, and without what cannot go back`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := wipeDevice(cmd.Context(), env, *dir, giveUp)
			if err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error { return describeWiped(w, &out) })
		},
	}
	cmd.Flags().BoolVar(&giveUp, "give-up", false, "do not wait for the house, and lose what cannot go back")
	return cmd
}

// wipedSaid is what `device wipe --json` prints.
type wipedSaid struct {
	Wiped    bool         `json:"wiped"` // false: there was nothing here
	Device   ident.Device `json:"device"`
	Told     bool         `json:"told"`     // its house, if it had one, knows
	Returned int          `json:"returned"` // licenses and loans that went back
	Lost     []lostTitle  `json:"lost"`
}

// lostTitle is a title that was given up.
type lostTitle struct {
	Content ident.Content `json:"content"`
	Plays   *uint64       `json:"plays,omitzero"` // that were left; absent where they are not counted
}

// wipeDevice wipes the device of a folder, and removes what its commands keep there.
func wipeDevice(ctx context.Context, env *Env, dir string, giveUp bool) (out wipedSaid, err error) {
	for range 2 { // a module that was killed in the middle of it ends it first, and with it itself
		err = withDevice(env, dir, func(d *device) (err error) {
			out, err = d.wipe(ctx, env, giveUp)
			return err
		})
		if _, ended := errors.AsType[*exec.ExitError](err); !ended {
			break
		}
	}
	if err != nil {
		return out, err
	}
	for _, name := range []string{"device.json", "machine-id", inquiryFile, personFile, "content", "logs"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return out, fmt.Errorf("remove what is left: %w", err)
		}
	}
	return out, nil
}

func (d *device) wipe(ctx context.Context, env *Env, giveUp bool) (out wipedSaid, err error) {
	out.Lost = []lostTitle{}
	st, err := d.trem.Status(ctx)
	if err != nil {
		return out, err
	}
	if out.Device, out.Told = st.Device, st.Role != "" || d.cfg.Home == ""; st.Role == "" { // wiped before, or never used
		return out, nil
	}
	if d.cfg.Home != "" {
		err := d.goForGood(ctx, env, st, giveUp, &out)
		if ee, ok := errors.AsType[*exitError](err); ok && ee.code == statusRefused && !giveUp {
			return out, err
		}
		if err != nil && !giveUp {
			return out, later("nothing was destroyed: %w. Say it again when the house is in reach; or --give-up, which loses what cannot go back", err)
		}
		out.Told = err == nil
	}
	got, err := d.trem.Wipe(ctx, trem.WipeOrder{GiveUp: giveUp})
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeState {
		return out, later("nothing was destroyed: %s. --give-up does not wait", e.Text)
	}
	if err != nil {
		return out, err
	}
	if out.Wiped = got.Done; !got.Done {
		return out, wouldLose(got.Lost)
	}
	out.Lost = append(out.Lost, lostOf(got.Lost)...)
	return out, nil
}

func wouldLose(held []trem.Held) error {
	return refused("nothing was destroyed: these titles are only here, and would be lost: %s. Move them away first (lares device move TITLE --to house), or say --give-up", ownTitles(lostOf(held)))
}

// goForGood gives back what is the house's, and tells it that this device does not
// come back.
func (d *device) goForGood(ctx context.Context, env *Env, st trem.Status, giveUp bool, out *wipedSaid) error {
	p, err := d.post(ctx, env)
	if err != nil {
		return err
	}
	if st.Domain == (ident.Domain{}) { // it has left, and the house may not have heard
		if _, err := p.say(ctx); err != nil {
			return err
		}
	} else {
		if out.Returned, err = p.giveBackAll(ctx); err != nil && !giveUp {
			return err
		}
		got, err := d.trem.Wipe(ctx, trem.WipeOrder{House: d.cfg.Server, GiveUp: giveUp})
		if err != nil {
			return err
		}
		if len(got.Letters) == 0 {
			return wouldLose(got.Lost)
		}
		out.Lost = lostOf(got.Lost)
		if _, err := p.all(ctx, got.Letters); err != nil {
			return err
		}
	}
	return d.unhoused()
}

func lostOf(held []trem.Held) []lostTitle {
	out := []lostTitle{}
	for _, h := range held {
		out = append(out, lostTitle{Content: h.Content, Plays: h.Counters.PlaysLeft})
	}
	return out
}

func ownTitles(lost []lostTitle) string {
	var words []string
	for _, l := range lost {
		word := l.Content.String()
		switch {
		case l.Plays != nil && *l.Plays == 1:
			word += " (1 play)"
		case l.Plays != nil:
			word += fmt.Sprintf(" (%d plays)", *l.Plays)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func describeWiped(w io.Writer, out *wipedSaid) error {
	p := printer{w: w}
	if !out.Wiped {
		p.line("There is nothing on this device.")
	} else {
		p.line("This device is wiped: its keys are destroyed, and nothing that was here opens any more.")
	}
	if len(out.Lost) > 0 {
		p.line("Given up: %s.", ownTitles(out.Lost))
	}
	if !out.Told {
		p.line("Its house does not know yet. There: lares home remove %v", out.Device)
	}
	return p.err
}
