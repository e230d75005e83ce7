package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/trem"
)

func newDeviceCmd(env *Env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "device",
		Short: "A player of the house: pair it, get titles, play them, ask why not",
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", defaultDir("device"), "the device's folder")
	cmd.AddCommand(
		newDeviceInitCmd(env, &dir), newDevicePairCmd(env, &dir), newDeviceGetCmd(env, &dir),
		newDevicePlayCmd(env, &dir), newDeviceListCmd(env, &dir), newDeviceWhyCmd(env, &dir),
	)
	return cmd
}

// defaultDir is the folder of one kind of program of this user.
func defaultDir(kind string) string {
	base := os.Getenv("XDG_DATA_HOME")
	if home, err := os.UserHomeDir(); base == "" && err == nil {
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "lares", kind)
}

// deviceConfig is device.json: where the house is. Nothing in it is secret or trusted.
type deviceConfig struct {
	Home   string       `json:"home"`   // URL
	Server ident.Device `json:"server"` // the home server's ID
}

// device is an open device folder with its running module.
type device struct {
	dir  string
	cfg  deviceConfig
	trem *trem.Client
}

// withDevice opens the device of a folder for one command.
func withDevice(dir string, do func(*device) error) error {
	d := &device{dir: dir}
	data, err := os.ReadFile(d.file())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read device: %w", err)
	}
	if err == nil {
		if err := json.Unmarshal(data, &d.cfg); err != nil {
			return fmt.Errorf("read %s: %w", d.file(), err)
		}
	}
	module, stop, err := startTREM(filepath.Join(dir, "trem"))
	if err != nil {
		return err
	}
	d.trem = module
	err = do(d)
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeState {
		if st, failed := module.Status(context.Background()); failed == nil && st.Role == "" {
			err = fmt.Errorf("this device has no certificate yet: lares device init --dir %s", dir)
		}
	}
	return errors.Join(err, stop())
}

func (d *device) file() string { return filepath.Join(d.dir, "device.json") }

func (d *device) save() error {
	data, err := json.MarshalIndent(d.cfg, "", "  ")
	if err != nil {
		return err
	}
	tmp := d.file() + ".new"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("save device: %w", err)
	}
	return os.Rename(tmp, d.file())
}

func contentArg(s string) (ident.Content, error) {
	var id ident.Content
	if err := id.UnmarshalText([]byte(s)); err != nil {
		return "", usage("%q is not a title's ID", s)
	}
	return id, nil
}

func newDeviceListCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the copies this device holds and the plays left",
		Example: `  lares device list
  lares device list --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDevice(*dir, func(d *device) error {
				held, err := d.trem.Licenses(cmd.Context())
				if err != nil {
					return err
				}
				return env.print(cmd, held, func(w io.Writer) error { return listHeld(w, held) })
			})
		},
	}
}

func listHeld(w io.Writer, held []trem.Held) error {
	p := printer{w: w}
	if len(held) == 0 {
		p.line("Nothing yet: lares device get TITLE.")
	}
	for _, h := range held {
		left := "no limit"
		if h.Counters.PlaysLeft != nil {
			left = fmt.Sprintf("%d plays left", *h.Counters.PlaysLeft)
		}
		p.line("%-24v %-14s %s", h.Content, left, h.Terms)
	}
	return p.err
}

func newDeviceWhyCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "why TITLE",
		Short: "Say whether a title plays here now, and if not, why and what would help",
		Example: `  lares device why rental
  lares device why rental --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			return withDevice(*dir, func(d *device) error {
				got, err := d.trem.Evaluate(cmd.Context(), trem.Ask{Content: id, Action: permission.Play, Output: trem.OutputInternal})
				if err != nil {
					return err
				}
				if err := env.print(cmd, got, func(w io.Writer) error { return explain(w, &got) }); err != nil || got.Allow {
					return err
				}
				return said(statusRefused)
			})
		},
	}
}

// gotten is what `device get --json` prints.
type gotten struct {
	License  ident.License    `json:"license"`
	Content  ident.Content    `json:"content"`
	Counters license.Counters `json:"counters"`
}

func newDeviceGetCmd(env *Env, dir *string) *cobra.Command {
	var plays uint64
	cmd := &cobra.Command{
		Use:   "get TITLE",
		Short: "Get a copy of a title from the house, to play without it",
		Example: `  lares device get lares-film
  lares device get rental --plays 2   # sets two plays aside for this device
  lares device get rental --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			return withDevice(*dir, func(d *device) error {
				got, err := d.get(cmd.Context(), env, id, plays)
				if err != nil {
					return err
				}
				return env.print(cmd, got, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%v is on this device.\n", id)
					return err
				})
			})
		},
	}
	cmd.Flags().Uint64Var(&plays, "plays", 0, "plays to set aside here, for a counted title (default 1)")
	return cmd
}

// get renews what this device knows of its house, then asks for a license.
func (d *device) get(ctx context.Context, env *Env, id ident.Content, plays uint64) (gotten, error) {
	if d.cfg.Home == "" {
		return gotten{}, errors.New("this device belongs to no house yet: lares device pair")
	}
	if err := d.renew(ctx); err != nil {
		return gotten{}, err
	}
	st, err := d.trem.Status(ctx)
	if err != nil {
		return gotten{}, err
	}
	req := trem.LicenseRequest{Peer: d.cfg.Server, Request: ident.NewRequest(), Content: id, Plays: plays}
	courier := &http.Courier{Module: d.trem, Link: &http.Client{URL: d.cfg.Home}, Src: st.Device, Dst: d.cfg.Server, Now: env.Now}
	events, err := d.ask(ctx, courier, req)
	for _, e := range events {
		switch e.Kind {
		case trem.EventInstalled, trem.EventClosed: // closed alone: a repetition of what was installed before
			if e.License == (ident.License{}) {
				continue
			}
			return d.holding(ctx, e.License, id)
		case trem.EventRefused:
			return gotten{}, refused("the house refused: %s", shopWords(e.Code))
		case trem.EventFailed:
			if e.Code == sltp.AlertCertificate.String() {
				return gotten{}, refused("the house does not accept this device: its certificate was withdrawn by the safety list, or has run out (%s)", e.Text)
			}
			err = errors.Join(err, fmt.Errorf("the exchange failed: %s", e.Text))
		default: // the rest is between the modules
		}
	}
	if err == nil {
		err = errors.New("the house sent no copy")
	}
	return gotten{}, later("nothing came (%w); it may be asked again", err)
}

// ask repeats a request under one request ID until it is answered: a house
// that was restarted in the middle answers the repetition as it would have.
func (d *device) ask(ctx context.Context, courier *http.Courier, req trem.LicenseRequest) (events []trem.Event, err error) {
	for range 3 {
		var opened trem.Opened
		if opened, err = d.trem.Open(ctx, req); err != nil {
			return nil, err
		}
		if events, err = courier.Fetch(ctx, opened); len(events) > 0 {
			return events, err
		}
	}
	return nil, err
}

func (d *device) holding(ctx context.Context, lic ident.License, id ident.Content) (gotten, error) {
	held, err := d.trem.Licenses(ctx)
	if err != nil {
		return gotten{}, err
	}
	for _, h := range held {
		if h.License == lic {
			return gotten{License: lic, Content: id, Counters: h.Counters}, nil
		}
	}
	return gotten{}, errors.New("the license was installed and is not held")
}

// shopWords says a source's refusal in words.
func shopWords(code string) string {
	words := map[string]string{
		"NO_GRANT":      "nothing was bought or rented for this house",
		"UNKNOWN":       "the house has no such title",
		"EXHAUSTED":     "all plays are used or set aside for other devices",
		"NOT_MEMBER":    "this device is not (or no longer) a member of the house: pair it again",
		"REVOKED":       "this device was withdrawn by the safety list",
		"STALE_EPOCH":   "the safety list here is old: connect to the house once",
		"LEVEL_TOO_LOW": "it needs a more secure player than this device has",
		"CONFLICT":      "the request was used for something else",
	}
	if w, ok := words[code]; ok {
		return code + ": " + w
	}
	return code
}
