package cli

import (
	"errors"
	"fmt"
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
issuer: have the day, the titles and the key read out to you (lares issuer sunset
show prints them). Who has broken into a shop can send one, too, and another one
takes the place of one that waits: so name the notice that you read by its hash.`,
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
	var sent sentNotice
	cmd := &cobra.Command{
		Use:   "stand [FILE]",
		Short: "Publish that a notice stands: one that waits, or that a file has",
		Args:  cobra.MaximumNArgs(1),
		Example: `  lares ca sunset stand --issuer shop.example --notice 4f2a91c0d18b6e37
  lares ca sunset stand closing.pem`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (sent == sentNotice{}) == (len(args) == 0) {
				return usage("name the notice that waits (--issuer ID --notice HASH), or a file, and not both")
			}
			if len(args) == 0 {
				return changeIssuer(cmd, env, *dir, func(a *authority.Authority) error {
					return a.StandSent(ident.Issuer(sent.issuer), sent.notice, env.Now())
				})
			}
			data, point, err := readSigned(args[0])
			if err != nil {
				return err
			}
			return changeIssuer(cmd, env, *dir, func(a *authority.Authority) error { return a.Stand(data, point, env.Now()) })
		},
	}
	sent.add(cmd)
	return cmd
}

// sentNotice names a notice that waits, as the operator has read it.
type sentNotice struct{ issuer, notice string }

func (s *sentNotice) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.issuer, "issuer", "", "ID of the issuer whose notice waits")
	cmd.Flags().StringVar(&s.notice, "notice", "", "hash of the notice that you read (lares ca sunset list)")
	cmd.MarkFlagsRequiredTogether("issuer", "notice")
}

func newCARefuseCmd(env *Env, dir *string) *cobra.Command {
	var sent sentNotice
	cmd := &cobra.Command{
		Use:     "refuse",
		Short:   "Refuse a notice that waits; the issuer is told so",
		Args:    cobra.NoArgs,
		Example: `  lares ca sunset refuse --issuer shop.example --notice 4f2a91c0d18b6e37`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return changeIssuer(cmd, env, *dir, func(a *authority.Authority) error {
				return a.RefuseSent(ident.Issuer(sent.issuer), sent.notice, env.Now())
			})
		},
	}
	sent.add(cmd)
	_ = cmd.MarkFlagRequired("issuer")
	return cmd
}

func newCAWithdrawCmd(env *Env, dir *string) *cobra.Command {
	var issuer string
	cmd := &cobra.Command{
		Use:     "withdraw FILE",
		Short:   "Take a notice back that stands or waits, by a file that its issuer has signed",
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
			if i.Waits != nil {
				waitingSays(&p, i.Issuer, i.Waits, env.Now())
			}
		}
		return p.err
	})
}

// waitingSays tells the operator of a notice that waits, and what he does about it.
func waitingSays(p *printer, issuer ident.Issuer, n *authority.Waiting, now time.Time) {
	name := n.Notice[:authority.NoticeDigits]
	p.line("  its notice %s, that it ends %s, for %s, waits since %s, from module %v", name, n.Effective.Format(time.RFC3339), titlesOf(n.Scope), n.Since.Format(time.RFC3339), n.From)
	p.line("  signed with the key %s", n.Key)
	if n.Replaced != "" {
		p.line("  it has taken the place of another notice that waited, %s: ask for both", n.Replaced[:authority.NoticeDigits])
	}
	named := fmt.Sprintf("--issuer %v --notice %s", issuer, name)
	if n.Late(now) {
		p.line("  its day is less than 30 days ahead, so it cannot stand any more; the issuer is told to announce a later day. To end it now: lares ca sunset refuse %s", named)
		return
	}
	p.line("  call the issuer and have the day, the titles and the key read out, then: lares ca sunset stand %s, or: lares ca sunset refuse %s", named, named)
}
