package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

func newDeviceInitCmd(env *Env, dir *string) *cobra.Command {
	var ca, voucher string
	var storage storageFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make this device's secure player and get its certificate",
		Example: `  lares device init --ca http://ca.example:7700 --voucher 3F9K-22QX
  lares device init --ca http://ca.example:7700 --voucher 3F9K-22QX --keystore tpm   # keys in the machine's TPM
  lares device init --dir ./tablet --ca http://127.0.0.1:7700 --voucher 3F9K-22QX --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(*dir, 0o700); err != nil {
				return err
			}
			if err := storage.prepare(filepath.Join(*dir, "trem")); err != nil {
				return err
			}
			return withDevice(env, *dir, func(d *device) error {
				if err := enroll(cmd.Context(), d.trem, ca, pki.Device, voucher); err != nil {
					return err
				}
				st, err := d.trem.Status(cmd.Context())
				if err != nil {
					return err
				}
				return env.print(cmd, st, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "This device's secure player is ready: %v.\nNext: lares device pair --dir %s --home URL\n", st.Device, *dir)
					return err
				})
			})
		},
	}
	cmd.Flags().StringVar(&ca, "ca", "", "URL of the certification authority (required)")
	cmd.Flags().StringVar(&voucher, "voucher", "", "enrollment voucher (required)")
	storage.add(cmd)
	_ = cmd.MarkFlagRequired("ca")
	_ = cmd.MarkFlagRequired("voucher")
	return cmd
}

func newDevicePairCmd(env *Env, dir *string) *cobra.Command {
	var url, name string
	cmd := &cobra.Command{
		Use:   "pair",
		Short: "Join a house: shows a code that its owner approves",
		Long: `Ask a home server to admit this device. Both show the same code; the owner
compares and approves it at the house. The code holds for ten minutes and is
bound to both sides' keys. From then on the device speaks to the house by HTTPS, under
the CA that the house's secure player signs for; on this machine only when the
address says https. An address that says so is not done without: where nothing answers
by HTTPS, it is refused.`,
		Example: `  lares device pair --home http://home.local:7710
  lares device pair --home http://127.0.0.1:7710 --name "Living room" --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDevice(env, *dir, func(d *device) error {
				if err := d.pair(cmd.Context(), env, url, name); err != nil {
					return err
				}
				return env.print(cmd, d.cfg, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "This device belongs to the house at %s.\n", d.cfg.Home)
					return err
				})
			})
		},
	}
	cmd.Flags().StringVar(&url, "home", "", "URL of the home server (required)")
	cmd.Flags().StringVar(&name, "name", "", "what the owner reads; default: this machine's name")
	_ = cmd.MarkFlagRequired("home")
	return cmd
}

// pair has a house at an address admit this device. Until that is decided, and how the
// device speaks to it, its configuration stays as it was: what fails on the way takes no
// house and no CA from it.
func (d *device) pair(ctx context.Context, env *Env, url, name string) error {
	if d.remote() {
		return refused("this device belongs to a house without a server: lares device leave")
	}
	to := &device{dir: d.dir, now: d.now, trem: d.trem, cfg: d.cfg}
	to.cfg.Home = url
	to.cfg.Home, to.cfg.CA = to.plain(), nil // whose CA it is, is known when the device is paired
	if err := to.renew(ctx); err != nil {
		return err
	}
	st, got, err := to.admitted(ctx, env, name)
	if err != nil {
		return err
	}
	server, err := deviceOf(got.Manager)
	if err != nil {
		return err
	}
	moved, had := d.cfg.Server != server, d.cfg.CA != nil
	if moved { // what another server was asked for, this one does not owe
		to.cfg.Server, to.cfg.Asked, to.cfg.Read, to.cfg.Sent, to.cfg.Asks = server, nil, 0, nil, nil
	}
	bare, err := to.secure(ctx, strings.HasPrefix(url, "https://"), had, had && !moved)
	if err != nil {
		return err
	}
	same, err := to.enter(ctx, st.Domain, got)
	if err != nil {
		return err
	}
	if same && had && to.cfg.CA == nil { // a restored house's new server, as only the module knows: it stays a member, by the address of before
		return refused("%w", errStripped)
	}
	if bare {
		fmt.Fprintln(env.Stderr, "This device speaks to the house without TLS, which does not answer: who is in the network sees which titles it asks for. Pair it again when the house has TLS.")
	}
	d.cfg, d.client, d.link = to.cfg, nil, nil
	if err := d.save(); err != nil || !moved {
		return err
	}
	return d.forgetWhose()
}

// admitted shows the code and waits for the owner. The module has joined nothing yet.
func (d *device) admitted(ctx context.Context, env *Env, name string) (st trem.Status, got trem.Admission, err error) {
	if st, err = d.trem.Status(ctx); err != nil {
		return st, got, err
	}
	if len(st.Chain) == 0 {
		return st, got, errors.New("this device has no certificate yet: lares device init")
	}
	if name == "" {
		name, _ = os.Hostname()
	}
	mark, err := machineMark(d.dir)
	if err != nil {
		return st, got, err
	}
	got, err = home.Join(ctx, home.Joining{
		URL: d.cfg.Home, Chain: st.Chain, Delivery: st.Delivery, Hardware: mark, Name: name,
		Show: func(code string, until time.Time) {
			fmt.Fprintf(env.Stderr, "Code %s\nApprove it at the house before %s (in the browser, or: lares home pair %s)\n", code, until.Local().Format("15:04"), code)
		},
	})
	return st, got, err
}

// enter has the module join the house. same is whether the device was of that house
// before, of which a restore makes another server.
func (d *device) enter(ctx context.Context, before ident.Domain, got trem.Admission) (same bool, err error) {
	if err := d.trem.Join(ctx, got); err != nil {
		return false, err
	}
	now, err := d.trem.Status(ctx)
	return before != (ident.Domain{}) && before == now.Domain, err
}

// machineMark names this machine to its house: the operating system's machine
// ID where there is one, else a random file beside the device.
func machineMark(dir string) ([]byte, error) {
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(id) > 16 {
		return append(id, dir...), nil // two devices of one machine are two
	}
	file := filepath.Join(dir, "machine-id")
	if id, err := os.ReadFile(file); err == nil {
		return id, nil
	}
	id := newMark()
	return id, os.WriteFile(file, id, 0o600)
}

// renewTimeout bounds each question of renew. Source: local.
const renewTimeout = 30 * time.Second

// renew brings revocation state and time from the house to this device's
// module. A house that is away is no error here: the module knows what it knows.
func (d *device) renew(ctx context.Context) error {
	web := *d.web()
	web.Timeout = renewTimeout
	if d.remote() {
		return d.renewRemote(ctx, &web)
	}
	if err := d.catchUp(ctx); err != nil {
		return err
	}
	err := learn(ctx, d.trem, &web, d.cfg.Home)
	var e *trem.Error
	if errors.As(err, &e) && e.Code == trem.CodeRejected {
		return err
	}
	if err == nil { // the house is there, and its authority behind it, perhaps
		_, err = renewCertificate(ctx, d.trem, &web, d.cfg.Home, d.now())
		if errors.As(err, &e) && e.Code == trem.CodeRejected {
			return err
		}
	}
	return nil
}
