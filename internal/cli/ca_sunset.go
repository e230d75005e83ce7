package cli

import (
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki/authority"
)

func newCASunsetCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sunset",
		Short: "Let an issuer's notice of its end stand, or take it back at the issuer's word",
		Long: `An issuer's notice counts from the day that it names, at least 30 days ahead,
when the authority lets it stand. It comes as a file, or the issuer has sent it and
it waits (lares ca sunset list). Check first, by a call, that it comes from the
issuer and that the key is its notice key (lares issuer sunset notice prints it):
who has broken into a shop can send one, too.`,
	}
	cmd.AddCommand(newCAStandCmd(env, dir), newCARefuseCmd(env, dir), newCAWithdrawCmd(env, dir), &cobra.Command{
		Use:   "list",
		Short: "List the issuers: when they were heard from, what notice stands, and what waits",
		Args:  cobra.NoArgs,
		Example: `  lares ca sunset list
  lares ca sunset list --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return changeIssuer(cmd, env, *dir, func(*authority.Authority) error { return nil })
		},
	})
	return cmd
}

func newCAStandCmd(env *Env, dir *string) *cobra.Command {
	var issuer string
	cmd := &cobra.Command{
		Use:   "stand [FILE]",
		Short: "Publish that a notice stands: one that waits, or that a file has",
		Args:  cobra.MaximumNArgs(1),
		Example: `  lares ca sunset stand --issuer shop.example
  lares ca sunset stand closing.pem`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (issuer == "") == (len(args) == 0) {
				return usage("name the issuer whose notice waits (--issuer ID), or a file, and not both")
			}
			if issuer != "" {
				return changeIssuer(cmd, env, *dir, func(a *authority.Authority) error { return a.StandSent(ident.Issuer(issuer), env.Now()) })
			}
			data, point, err := readSigned(args[0])
			if err != nil {
				return err
			}
			return changeIssuer(cmd, env, *dir, func(a *authority.Authority) error { return a.Stand(data, point, env.Now()) })
		},
	}
	cmd.Flags().StringVar(&issuer, "issuer", "", "ID of the issuer whose notice waits")
	return cmd
}

func newCARefuseCmd(env *Env, dir *string) *cobra.Command {
	var issuer string
	cmd := &cobra.Command{
		Use:     "refuse",
		Short:   "Refuse a notice that waits; the issuer is told so",
		Args:    cobra.NoArgs,
		Example: `  lares ca sunset refuse --issuer shop.example`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return changeIssuer(cmd, env, *dir, func(a *authority.Authority) error { return a.RefuseSent(ident.Issuer(issuer), env.Now()) })
		},
	}
	cmd.Flags().StringVar(&issuer, "issuer", "", "ID of the issuer (required)")
	_ = cmd.MarkFlagRequired("issuer")
	return cmd
}

func newCAWithdrawCmd(env *Env, dir *string) *cobra.Command {
	var issuer string
	cmd := &cobra.Command{
		Use:     "withdraw FILE",
		Short:   "Take a notice back before its day, by a file that its issuer has signed",
		Args:    cobra.ExactArgs(1),
		Example: `  lares ca sunset withdraw --issuer shop.example going-on.pem`,
		RunE: func(cmd *cobra.Command, args []string) error {
			data, _, err := readSigned(args[0])
			if err != nil {
				return err
			}
			return changeIssuer(cmd, env, *dir, func(a *authority.Authority) error { return a.Withdraw(ident.Issuer(issuer), data, env.Now()) })
		},
	}
	cmd.Flags().StringVar(&issuer, "issuer", "", "ID of the issuer (required)")
	_ = cmd.MarkFlagRequired("issuer")
	return cmd
}

// changeIssuer does something about an issuer and prints what stands and waits then.
func changeIssuer(cmd *cobra.Command, env *Env, dir string, do func(*authority.Authority) error) error {
	var out struct {
		Issuers []authority.IssuerInfo `json:"issuers"`
	}
	err := withAuthority(dir, func(a *authority.Authority) error {
		if err := do(a); err != nil {
			return err
		}
		out.Issuers = a.Issuers()
		return nil
	})
	if errors.Is(err, authority.ErrSunset) {
		return refused("%w", err)
	}
	if err != nil {
		return err
	}
	return env.print(cmd, out, func(w io.Writer) error {
		p := printer{w: w}
		for _, i := range out.Issuers {
			ends := ""
			if !i.Effective.IsZero() {
				ends = "  ends " + i.Effective.Format(time.RFC3339)
			}
			p.line("%v  last heard %s%s", i.Issuer, i.LastSeen.Format(time.RFC3339), ends)
			if n := i.Waits; n != nil {
				p.line("  its notice that it ends %s waits since %s, from module %v, for %s", n.Effective.Format(time.RFC3339), n.Since.Format(time.RFC3339), n.From, titlesOf(n.Scope))
				p.line("  signed with the key %s", n.Key)
				p.line("  call the issuer, then: lares ca sunset stand --issuer %v, or: lares ca sunset refuse --issuer %v", i.Issuer, i.Issuer)
			}
		}
		return p.err
	})
}
