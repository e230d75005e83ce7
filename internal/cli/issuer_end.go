package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

func newIssuerRevokeCmd(env *Env, dir *string) *cobra.Command {
	var domain, grant, lic, reason string
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "End a grant, or one license: nothing more is issued; what was issued plays by its own rules",
		Long: `End a grant, or one license of it. Where the issuer holds its owner to the rule of two as well (lares
issuer serve --two-persons), this proposes it, and another operator has to approve.`,
		Example: `  lares issuer revoke --domain 9c1f…e2 --grant 07aa…31
  lares issuer revoke --domain 9c1f…e2 --license 5b30…7c
  lares issuer revoke --dir ./shop --domain 9c1f…e2 --grant 07aa…31 --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lic != "" {
				return endLicense(cmd, env, *dir, domain, lic, "end", reason, "License %v is revoked: it is not given again and not renewed.")
			}
			var d ident.Domain
			var g issuer.GrantID
			if d.UnmarshalText([]byte(domain)) != nil || g.UnmarshalText([]byte(grant)) != nil {
				return usage("a household's and a grant's ID are 32 hexadecimal digits each")
			}
			return decideByTwo(cmd, env, *dir, fmt.Sprintf("/api/v1/grants/%v/%v/revoke", d, g), reason, fmt.Sprintf("Grant %v is revoked.", g))
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "the household's pairwise ID (required)")
	cmd.Flags().StringVar(&grant, "grant", "", "the grant's ID")
	cmd.Flags().StringVar(&lic, "license", "", "ID of one license, instead of the grant")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the operator who has to approve it")
	_ = cmd.MarkFlagRequired("domain")
	cmd.MarkFlagsMutuallyExclusive("grant", "license")
	cmd.MarkFlagsOneRequired("grant", "license")
	return cmd
}

func newIssuerReplaceCmd(env *Env, dir *string) *cobra.Command {
	var domain, lic, reason string
	cmd := &cobra.Command{
		Use:   "replace",
		Short: "Give a household a license again whose secure player is lost",
		Long: `End a license whose secure player is lost, at your word, and let the household
fetch one in its place: the same grant has one more to give. What was used of the
lost one is not known here. A license without counts needs no replacement: every
home server of the household that asks gets it.`,
		Example: `  lares issuer replace --domain 9c1f…e2 --license 5b30…7c
  lares issuer replace --dir ./shop --domain 9c1f…e2 --license 5b30…7c --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return endLicense(cmd, env, *dir, domain, lic, "replace", reason, "License %v is over; the household can fetch one in its place.")
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "the household's pairwise ID (required)")
	cmd.Flags().StringVar(&lic, "license", "", "the license's ID (required)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the operator who has to approve it")
	_ = cmd.MarkFlagRequired("domain")
	_ = cmd.MarkFlagRequired("license")
	return cmd
}

func endLicense(cmd *cobra.Command, env *Env, dir, domain, lic, how, reason, words string) error {
	var d ident.Domain
	var id ident.License
	if d.UnmarshalText([]byte(domain)) != nil || id.UnmarshalText([]byte(lic)) != nil {
		return usage("a household's and a license's ID are 32 hexadecimal digits each")
	}
	return decideByTwo(cmd, env, dir, fmt.Sprintf("/api/v1/licenses/%v/%v/%s", d, id, how), reason, fmt.Sprintf(words, id))
}

// decideByTwo asks for what two operators decide, and says whether it is done.
func decideByTwo(cmd *cobra.Command, env *Env, dir, path, reason, done string) error {
	var out issuerapi.Revoked
	if err := askIssuer(cmd.Context(), dir, http.MethodPost, path, issuerapi.Reason{Reason: reason}, &out); err != nil {
		return err
	}
	return env.print(cmd, out, func(w io.Writer) error {
		if !out.Done {
			done = fmt.Sprintf("Proposed as %v: another operator has to approve it until %s.", out.Proposal.ID, moment(out.Proposal.Expires))
		}
		_, err := fmt.Fprintln(w, done)
		return err
	})
}

func newHomeReturnCmd(env *Env, dir *string) *cobra.Command {
	var shop string
	cmd := &cobra.Command{
		Use:   "return TITLE",
		Short: "Give a loan back to its library before its end, so that the next one gets it",
		Long: `Give a loan back to its library before its end. The secure player destroys it
first and signs that; then the library is told. It may be repeated after any
failure. Devices of the house that have it give it back first (lares device return).`,
		Args: cobra.ExactArgs(1),
		Example: `  lares home return urn:film:metropolis --issuer https://library.example
  lares home return urn:film:metropolis --issuer https://library.example --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			doc, err := giveLoanBack(cmd.Context(), *dir, shop, id)
			if err != nil {
				return err
			}
			return env.print(cmd, doc, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "The library has it again. Thank you.")
				return err
			})
		},
	}
	cmd.Flags().StringVar(&shop, "issuer", "", "URL of the library (required)")
	_ = cmd.MarkFlagRequired("issuer")
	return cmd
}

func giveLoanBack(ctx context.Context, dir, shop string, id ident.Content) (doc issuer.StatusDocument, err error) {
	var in trem.HandedIn
	if err := askHome(ctx, dir, http.MethodPost, "/api/v1/library/"+url.PathEscape(id.String())+"/return", struct{}{}, &in); err != nil {
		return doc, err
	}
	path := issuer.StatusPath + in.Domain.String() + "/" + in.License.String() + "/return"
	if err := askShop(ctx, shop, path, in.Proof, &doc); err != nil {
		return doc, fmt.Errorf("your house has it no more, and the library was not told: %w; say it again", err)
	}
	return doc, nil
}
