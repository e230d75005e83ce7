package cli

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/internal/operator"
)

func newIssuerKeyCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "API keys: who may ask the issuer for what, until when"}
	cmd.AddCommand(newKeyNewCmd(env, dir), newKeyListCmd(env, dir), newKeyRevokeCmd(env, dir))
	return cmd
}

func newKeyNewCmd(env *Env, dir *string) *cobra.Command {
	var in operator.NewKey
	var role, out string
	var scopes []string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make an API key and write its token into a file that only you can read",
		Long: `Make an API key for a person or a program. The roles are viewer (look), support
(renew, lend, send codes again), issuer (titles, offers, grants, codes) and
security (revocations, keys, the log); --scopes takes less than the role. The
issuer keeps a hash: a token that is lost is not found again, but revoked.`,
		Example: `  lares issuer key new "payment notices" --role issuer --scopes read,sell --out ./paid.token
  lares issuer key new "Ada" --role security --out ./ada.token --for 720h
  lares issuer key new "Bert" --role viewer --out ./bert.token --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.Role, in.Expires = args[0], operator.Role(role), env.Now().Add(life).UnixMilli()
			for _, s := range scopes {
				in.Scopes = append(in.Scopes, operator.Scope(s))
			}
			var k issuerapi.MadeKey
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/keys", in, &k); err != nil {
				return err
			}
			if err := writeDurably(out, []byte(k.Token+"\n")); err != nil {
				return err
			}
			return env.print(cmd, k.Key, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Key %v (%s: %v) until %s. Its token is in %s.\n", k.ID, k.Role, k.Scopes, moment(k.Expires), out)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "viewer, support, issuer or security (required)")
	cmd.Flags().StringSliceVar(&scopes, "scopes", nil, "some of the role's scopes; default: all")
	cmd.Flags().StringVar(&out, "out", "", "file for the token, made with mode 0600 (required)")
	cmd.Flags().DurationVar(&life, "for", 90*24*time.Hour, "how long it is good; two years at most")
	_ = cmd.MarkFlagRequired("role")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

func newKeyListCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all API keys",
		Args:  cobra.NoArgs,
		Example: `  lares issuer key list
  lares issuer key list --dir ./shop --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out issuerapi.KeyList
			if err := askIssuer(cmd.Context(), *dir, http.MethodGet, "/api/v1/keys", nil, &out); err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				p := printer{w: w}
				for _, k := range out.Keys {
					state := "until " + moment(k.Expires)
					if k.Revoked != 0 {
						state = "revoked " + moment(k.Revoked)
					}
					p.line("%v  %-9s %v  %s  %s", k.ID, k.Role, k.Scopes, cmp.Or(k.Name, "-"), state)
				}
				return p.err
			})
		},
	}
}

func newKeyRevokeCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke KEY",
		Short: "End an API key, and the sessions that began with it",
		Example: `  lares issuer key revoke 3f0c5a5fd1b2a977
  lares issuer key revoke 3f0c5a5fd1b2a977 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var id operator.KeyID
			if err := id.UnmarshalText([]byte(args[0])); err != nil {
				return usage("a key's ID is 16 hexadecimal digits")
			}
			var out struct{}
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/keys/"+id.String()+"/revoke", out, &out); err != nil {
				return err
			}
			return env.print(cmd, map[string]any{"revoked": id}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Key %v is revoked.\n", id)
				return err
			})
		},
	}
}
