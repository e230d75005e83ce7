package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

func newIssuerDomainCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "domain", Short: "Households without a home server: this issuer keeps the list of their devices"}
	cmd.AddCommand(
		newDomainCreateCmd(env, dir), newDomainListCmd(env, dir), newDomainShowCmd(env, dir), newDomainCodeCmd(env, dir),
		newDomainRemoveDeviceCmd(env, dir), newDomainRemoveCmd(env, dir),
	)
	return cmd
}

func newDomainCreateCmd(env *Env, dir *string) *cobra.Command {
	var in issuerapi.DomainRequest
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a household without devices, and a code by which they join",
		Long: `Make a household whose devices this issuer's module manages: it has no home server. What
is printed first is what grants name it by. Devices join with the code within a day
(lares device join), up to the limits; a further code: lares issuer domain code.`,
		Example: `  lares issuer domain create
  lares issuer domain create --dir ./shop --devices 5 --new-a-year 10 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out issuerapi.DomainView
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/domains", in, &out); err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Household %v, at most %d devices. Join code %s, until %s.\n", out.Domain.Domain, out.Devices, out.Code, moment(out.ExpiresAt))
				return err
			})
		},
	}
	cmd.Flags().Uint64Var(&in.Devices, "devices", issuer.DomainDevices, "devices at one time, at most 64")
	cmd.Flags().Uint64Var(&in.NewAYear, "new-a-year", 0, "new devices in 365 days, at most 64; default: any number")
	return cmd
}

func newDomainListCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the households that this issuer manages",
		Example: `  lares issuer domain list
  lares issuer domain list --dir ./shop --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := issuerapi.ManagedPage{Domains: []issuer.Domain{}}
			for path := "/api/v1/domains"; path != ""; {
				var page issuerapi.ManagedPage
				if err := askIssuer(cmd.Context(), *dir, http.MethodGet, path, nil, &page); err != nil {
					return err
				}
				out.Domains, path = append(out.Domains, page.Domains...), ""
				if page.Next != "" {
					path = "/api/v1/domains?after=" + url.QueryEscape(page.Next)
				}
			}
			return env.print(cmd, out, func(w io.Writer) error {
				p := printer{w: w}
				for _, d := range out.Domains {
					p.line("%v  since %s  at most %d devices", d.Domain, moment(d.Created), d.Devices)
				}
				return p.err
			})
		},
	}
}

// domainArg reads a household's ID.
func domainArg(s string) (d ident.Domain, err error) {
	if d.UnmarshalText([]byte(s)) != nil {
		return d, usage("%q: a household's ID is 32 hexadecimal digits", s)
	}
	return d, nil
}

func newDomainShowCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show DOMAIN",
		Short: "Show a household and its devices",
		Example: `  lares issuer domain show 9c1f…e2
  lares issuer domain show 9c1f…e2 --dir ./shop --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := domainArg(args[0])
			if err != nil {
				return err
			}
			var out issuer.Domain
			if err := askIssuer(cmd.Context(), *dir, http.MethodGet, "/api/v1/domains/"+d.String(), nil, &out); err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				p := printer{w: w}
				p.line("%d of at most %d devices", len(out.Members), out.Devices)
				for _, m := range out.Members {
					state := "until " + moment(m.Until)
					if m.Lapsed {
						state = "lapsed: not seen for 30 days"
					}
					p.line("%v  %-24s since %s  %s", m.Device, m.Name, moment(m.Since), state)
				}
				return p.err
			})
		},
	}
}

func newDomainCodeCmd(env *Env, dir *string) *cobra.Command {
	var in issuerapi.CodeRequest
	cmd := &cobra.Command{
		Use:   "code DOMAIN",
		Short: "Make another code by which devices join a household; the one before is over",
		Example: `  lares issuer domain code 9c1f…e2
  lares issuer domain code 9c1f…e2 --idle    # in a full one, in the place of a device that was not seen for 30 days
  lares issuer domain code 9c1f…e2 --dir ./shop --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := domainArg(args[0])
			if err != nil {
				return err
			}
			var out issuerapi.JoinCodeView
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/domains/"+d.String()+"/code", in, &out); err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Join code %s, until %s.\n", out.Code, moment(out.ExpiresAt))
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&in.Idle, "idle", false, "who joins a full household may have the place of the device that was not seen for the longest time, if that is 30 days")
	return cmd
}

func newDomainRemoveDeviceCmd(env *Env, dir *string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "remove-device DOMAIN DEVICE",
		Short: "Put a device out of a household: it gets nothing more; what it holds plays there",
		Long: `Put a device out of a household. It gets nothing more, from this issuer or from the other
devices; what it holds stays playable there. Where the issuer holds its owner to the rule
of two as well, this proposes it, and another operator has to approve.`,
		Example: `  lares issuer domain remove-device 9c1f…e2 77ab…04
  lares issuer domain remove-device 9c1f…e2 77ab…04 --dir ./shop --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := domainArg(args[0])
			if err != nil {
				return err
			}
			var id ident.Device
			if id.UnmarshalText([]byte(args[1])) != nil {
				return usage("%q: a device's ID is 32 hexadecimal digits", args[1])
			}
			return decideByTwo(cmd, env, *dir, fmt.Sprintf("/api/v1/domains/%v/devices/%v/remove", d, id), reason, fmt.Sprintf("Device %v is out.", id))
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the operator who has to approve it")
	return cmd
}

func newDomainRemoveCmd(env *Env, dir *string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "remove DOMAIN",
		Short: "End a household: its devices get nothing more, and its grants are over",
		Example: `  lares issuer domain remove 9c1f…e2
  lares issuer domain remove 9c1f…e2 --dir ./shop --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := domainArg(args[0])
			if err != nil {
				return err
			}
			return decideByTwo(cmd, env, *dir, fmt.Sprintf("/api/v1/domains/%v/end", d), reason, fmt.Sprintf("Household %v is no more.", d))
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the operator who has to approve it")
	return cmd
}
