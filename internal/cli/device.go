package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
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
		newDeviceFindCmd(env), newDeviceLeaveCmd(env, &dir), newDeviceWipeCmd(env, &dir), newDeviceCarryCmd(env, &dir), newDeviceInitCmd(env, &dir), newDevicePairCmd(env, &dir), newDeviceJoinCmd(env, &dir), newDeviceGetCmd(env, &dir),
		newDevicePlayCmd(env, &dir), newDeviceRenderCmd(env, &dir), newDeviceRenderersCmd(env), newDeviceFilmsCmd(env, &dir), newDeviceListCmd(env, &dir), newDeviceWhyCmd(env, &dir),
		newDeviceMoveCmd(env, &dir), newDeviceCopyCmd(env, &dir), newDeviceLendCmd(env, &dir),
		newDeviceReturnCmd(env, &dir), newDeviceRenewCmd(env, &dir), newDeviceCancelCmd(env, &dir), newDeviceLostCmd(env, &dir), newDeviceDownloadCmd(env, &dir), newDeviceTransfersCmd(env, &dir), newDeviceHealCmd(env, &dir), newDeviceServeCmd(env, &dir),
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

// deviceConfig is device.json: where the house is, and what it was asked for.
// Nothing in it is secret or trusted.
type deviceConfig struct {
	Home   string       `json:"home"`           // URL
	Server ident.Device `json:"server"`         // the home server's ID
	CA     []byte       `json:"ca,omitempty"`   // of the house's TLS, DER; Home is https then
	Asked  []wish       `json:"asked,omitzero"` // of this house, without a final answer yet

	// Authority is the URL of the certification authority, of a device whose house has
	// no server: Home and Server are an issuer and its module then.
	Authority string `json:"authority,omitempty"`

	Read uint64               `json:"read,omitzero"` // number of the newest letter that was taken
	Sent map[string]time.Time `json:"sent,omitzero"` // topic of a letter, when it was last sent
	Left [][]byte             `json:"left,omitzero"` // frames that were left in a folder and have no answer yet
	Asks [][]byte             `json:"asks,omitzero"` // likewise, questions for the revocation state

	Relays map[string]uint64 `json:"relays,omitzero"` // likewise Read, of the mailboxes of relays, by their addresses
}

// device is an open device folder with its running module.
type device struct {
	dir  string
	now  func() time.Time
	cfg  deviceConfig
	trem *trem.Client
	link *lrphttp.Client // to its house; made when it is needed

	client *http.Client // likewise
}

// withDevice opens the device of a folder for one command.
func withDevice(env *Env, dir string, do func(*device) error) error {
	d := &device{dir: dir, now: env.Now}
	if err := d.load(); err != nil {
		return err
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

// load reads device.json; there is none before the device is paired.
func (d *device) load() error {
	data, err := os.ReadFile(d.file())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read device: %w", err)
	}
	if err := json.Unmarshal(data, &d.cfg); err != nil {
		return fmt.Errorf("read %s: %w", d.file(), err)
	}
	return nil
}

// save replaces device.json: after it returns, a crash shows the new one,
// before that the old one.
func (d *device) save() error {
	data, err := json.MarshalIndent(d.cfg, "", "  ")
	if err != nil {
		return fmt.Errorf("save device: %w", err)
	}
	return d.replace(filepath.Base(d.file()), append(data, '\n'))
}

// replace writes a file of the device's folder whole or not at all.
func (d *device) replace(name string, data []byte) error {
	tmp, err := os.CreateTemp(d.dir, "."+name+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("save device: %w", err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone after the rename
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(d.dir, name))
	}
	if err != nil {
		return fmt.Errorf("save device: %w", err)
	}
	return nil
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
			return withDevice(env, *dir, func(d *device) error {
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
		switch n := h.Counters.PlaysLeft; {
		case n == nil:
		case *n == 1:
			left = "1 play left"
		default:
			left = fmt.Sprintf("%d plays left", *n)
		}
		p.line("%-24v %-14s %s", h.Content, left, httpd.KindOf(h))
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
			return withDevice(env, *dir, func(d *device) error {
				who, err := d.asking(cmd.Context(), env, id, func() *uint8 { return d.ratedOf(cmd.Context(), id) }, "")
				if err != nil {
					return err
				}
				got, err := d.trem.Evaluate(cmd.Context(), trem.Ask{Content: id, Action: permission.Play, Output: trem.OutputInternal, Person: who})
				if err != nil {
					return err
				}
				if err := env.print(cmd, got, func(w io.Writer) error { return explain(w, &got) }); err != nil || got.Allow {
					return err
				}
				return saidNo()
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
	var own bool
	cmd := &cobra.Command{
		Use:   "get TITLE",
		Short: "Get a copy of a title from the house, to play without it",
		Example: `  lares device get lares-film
  lares device get rental --plays 2   # sets two plays aside for this device
  lares device get film --own           # one of this device's own, once the shop has closed
  lares device get rental --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			return withDevice(env, *dir, func(d *device) error {
				got, err := d.get(cmd.Context(), env, wanted(id, plays, own))
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
	cmd.Flags().BoolVar(&own, "own", false, "a copy of this device's own, which the house may make of what you bought once the shop has closed: four devices a year")
	cmd.MarkFlagsMutuallyExclusive("plays", "own")
	return cmd
}

func wanted(id ident.Content, plays uint64, own bool) wish {
	w := wish{Content: id, Plays: plays}
	if own {
		w.Op = trem.OpBind
	}
	return w
}
