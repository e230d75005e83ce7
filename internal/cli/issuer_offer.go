package cli

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/service/issuer"
)

// termFlags are what an offer and a grant have in common.
type termFlags struct {
	content, terms, kind string
	tiers                []string
	licenses             uint64
}

func (t *termFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.content, "content", "", "the title's content ID")
	cmd.Flags().StringVar(&t.terms, "terms", "", `what the license allows, such as "PLAY; PLAY_COUNT=2; INTERVAL=48h"`)
	cmd.Flags().StringVar(&t.kind, "kind", "", "purchase, rental, subscription, loan, gift, coupon or preview; default rental")
	cmd.Flags().StringSliceVar(&t.tiers, "tiers", nil, "AUDIO, SD, HD, UHD; default all that the title has")
	cmd.Flags().Uint64Var(&t.licenses, "licenses", 0, "how many licenses may be issued; default 1")
}

func (t *termFlags) tierNumbers() ([]uint64, error) {
	var out []uint64
	for _, s := range t.tiers {
		var tier license.Tier
		if err := tier.UnmarshalText([]byte(s)); err != nil || tier == 0 {
			return nil, usage("%q is not a tier: AUDIO, SD, HD or UHD", s)
		}
		out = append(out, uint64(tier))
	}
	return out, nil
}

func newIssuerOfferCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "offer", Short: "What the shop or library has to give: terms for a title, under a name"}
	cmd.AddCommand(newOfferAddCmd(env, dir), newOfferListCmd(env, dir), newOfferShowCmd(env, dir))
	return cmd
}

func newOfferAddCmd(env *Env, dir *string) *cobra.Command {
	var t termFlags
	var o issuer.Offer
	cmd := &cobra.Command{
		Use:   "add OFFER",
		Short: "Keep terms for a title under a name, to grant and to sell them by it",
		Long: `Keep terms for a title under a name. Grants and claim codes are made from it
and keep what it says now: an offer that is replaced changes nothing of what was
sold. The kind's charge model becomes a part of the terms.`,
		Args: cobra.ExactArgs(1),
		Example: `  lares issuer offer add rental-48h --content the-film --terms "PLAY; PLAY_COUNT=2; INTERVAL=48h" --name "48-hour rental"
  lares issuer offer add buy --kind purchase --content the-film --terms "PLAY; EXPORT=clearkey" --name "The film, for good"
  lares issuer offer add trailer --kind preview --content the-film --terms "PLAY; PLAY_COUNT=1" --tiers AUDIO,SD --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(t.content)
			if err != nil {
				return err
			}
			tiers, err := t.tierNumbers()
			if err != nil {
				return err
			}
			o.ID, o.Content, o.Kind, o.Terms, o.Tiers, o.Licenses = args[0], id, issuer.Kind(t.kind), t.terms, tiers, t.licenses
			var kept issuer.Offer
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/offers", o, &kept); err != nil {
				return err
			}
			return env.print(cmd, kept, func(w io.Writer) error {
				p := printer{w: w}
				p.line("Offer %s: %s of %v: %s", kept.ID, kept.Kind, kept.Content, kept.Terms)
				return p.err
			})
		},
	}
	t.add(cmd)
	cmd.Flags().StringVar(&o.Name, "name", "", "one line for people; default: the offer's ID")
	cmd.Flags().StringVar(&o.Words, "words", "", "a description for people, one paragraph")
	for _, f := range []string{"content", "terms"} {
		_ = cmd.MarkFlagRequired(f)
	}
	return cmd
}

func newOfferListCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all offers",
		Args:  cobra.NoArgs,
		Example: `  lares issuer offer list
  lares issuer offer list --dir ./shop --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out struct {
				Offers []issuer.Offer `json:"offers"`
			}
			if err := askIssuer(cmd.Context(), *dir, http.MethodGet, "/api/v1/offers", nil, &out); err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				p := printer{w: w}
				if len(out.Offers) == 0 {
					p.line("There is no offer yet: lares issuer offer add")
				}
				for i := range out.Offers {
					o := &out.Offers[i]
					p.line("%-20s  %-12s %v  %s  (%s)", o.ID, o.Kind, o.Content, o.Name, o.Terms)
				}
				return p.err
			})
		},
	}
}

// offerView is an offer with what its terms mean.
type offerView struct {
	issuer.Offer
	httpd.OfferWords
}

func newOfferShowCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show OFFER",
		Short: "Show an offer, and what people read on its claim page",
		Args:  cobra.ExactArgs(1),
		Example: `  lares issuer offer show rental-48h
  lares issuer offer show buy --dir ./shop --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := showOffer(cmd.Context(), *dir, args[0])
			if err != nil {
				return err
			}
			return env.print(cmd, v, func(w io.Writer) error {
				p := printer{w: w}
				p.line("%s: %s", v.ID, v.Name)
				if v.Words != "" {
					p.line("%s", v.Words)
				}
				p.line("  %s of %v: %s", v.Kind, v.Content, v.Terms)
				for _, part := range []struct {
					title string
					lines []string
				}{{"What one gets", v.What}, {"If the shop closes", v.Closing}, {"Who sees what", v.Privacy}} {
					p.line("%s", part.title)
					for _, l := range part.lines {
						p.line("  %s", l)
					}
				}
				return p.err
			})
		},
	}
}

func showOffer(ctx context.Context, dir, id string) (v offerView, err error) {
	if err = askIssuer(ctx, dir, http.MethodGet, "/api/v1/offers/"+url.PathEscape(id), nil, &v.Offer); err != nil {
		return v, err
	}
	key, err := noticeKey(dir)
	if err != nil {
		return v, err
	}
	end, err := issuer.SunsetOf(&v.Offer, key.point)
	if err == nil {
		v.OfferWords, err = httpd.WordsOfOffer(&v.Offer, end)
	}
	return v, err
}
