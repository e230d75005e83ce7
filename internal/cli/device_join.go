package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

func newDeviceJoinCmd(env *Env, dir *string) *cobra.Command {
	var shop, ca, name string
	cmd := &cobra.Command{
		Use:   "join CODE",
		Short: "Join a house that has no server: a shop or library keeps its list of devices",
		Long: `Join a house without a server, by the code that the shop or library gives out. It keeps
the list of the devices then, and this device gets titles from it: of this shop, and of
no other. Titles go from device to device as in any house. A device that belongs to a
house leaves that one first (lares device leave).`,
		Example: `  lares device join 7Q3K-M2XR-9HT4 --issuer https://shop.example
  lares device join 7Q3K-M2XR-9HT4 --issuer http://127.0.0.1:7720 --name "Living room" --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			code, err := issuer.ParseClaimCode(args[0])
			if err != nil {
				return usage("%q is no code of a shop: three groups of four letters and digits", args[0])
			}
			return withDevice(env, *dir, func(d *device) error {
				if err := d.join(cmd.Context(), shop, ca, name, code); err != nil {
					return err
				}
				return env.print(cmd, d.cfg, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "This device belongs to a house whose devices the shop at %s knows.\n", d.cfg.Home)
					return err
				})
			})
		},
	}
	cmd.Flags().StringVar(&shop, "issuer", "", "URL of the shop or library (required)")
	cmd.Flags().StringVar(&ca, "ca", "", "URL of the certification authority; default: what the shop says")
	cmd.Flags().StringVar(&name, "name", "", "what the other devices call this one; default: this machine's name")
	_ = cmd.MarkFlagRequired("issuer")
	return cmd
}

// join makes this device a member of the code's domain, which the issuer manages.
func (d *device) join(ctx context.Context, shop, ca, name string, code issuer.ClaimCode) error {
	about, err := aboutShop(ctx, shop)
	if err != nil {
		return err
	}
	if d.cfg.Home != "" && (!d.remote() || d.cfg.Server != about.Device) {
		return refused("this device belongs to a house: lares device leave")
	}
	if ca = cmp.Or(ca, about.Authority); ca == "" {
		return usage("the shop does not say where its certification authority is: --ca URL")
	}
	if err := learn(ctx, d.trem, nil, ca); err != nil {
		return err
	}
	st, err := d.trem.Status(ctx)
	if err != nil {
		return err
	}
	mark, err := machineMark(d.dir)
	if err != nil {
		return err
	}
	if name == "" {
		name, _ = os.Hostname()
	}
	in := issuerapi.JoinRequest{Code: code.Text(), Joining: issuer.Joining{
		Chain: st.Chain, Delivery: st.Delivery, Hardware: issuer.Machine(about.Device, mark), Name: name,
	}}
	says, err := in.Statement(code, about.Device)
	if err != nil {
		return err
	}
	proof, err := d.trem.ProveLink(ctx, trem.LinkOrder{Link: says.Link, Relay: says.Relay, Hello: says.Hello})
	if err != nil {
		return err
	}
	in.Proof = proof.Statement
	var got issuerapi.Joined
	if err := askShop(ctx, shop, "/api/v1/domains/join", in, &got); err != nil {
		return err
	}
	if manager, err := deviceOf(got.Manager); err != nil || manager != about.Device {
		return refused("the answer is by another shop than the one that was asked")
	}
	if err := d.trem.Join(ctx, trem.Admission{Membership: got.Membership, Manager: got.Manager}); err != nil {
		return notNow(err)
	}
	moved := d.cfg.Server != about.Device
	if moved {
		d.cfg = deviceConfig{Server: about.Device}
	}
	d.cfg.Home, d.cfg.Authority = shop, ca
	if err := d.save(); err != nil || !moved {
		return err
	}
	return d.forgetWhose()
}

// remote reports whether an issuer manages this device's house: Home is the issuer then.
func (d *device) remote() bool { return d.cfg.Authority != "" }

// renewRemote brings revocation state, time and certificates from the authority. One
// that is away is no error: the module knows what it knows.
func (d *device) renewRemote(ctx context.Context, web *http.Client) error {
	err := learn(ctx, d.trem, web, d.cfg.Authority)
	if err == nil {
		_, err = renewCertificate(ctx, d.trem, web, d.cfg.Authority, time.Now())
	}
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeRejected {
		return err
	}
	return nil
}

// linkedTo asks the issuer for what it says to devices of the house only.
func (d *device) linkedTo(ctx context.Context, self ident.Device, url string) ([]byte, error) {
	res, err := d.linked(ctx, self, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxIssuerAnswer))
	if err == nil && res.StatusCode != http.StatusOK {
		err = issuerProblem(res.StatusCode, data)
	}
	return data, err
}
