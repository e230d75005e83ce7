package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// maxIssuerAnswer is the largest answer of the issuer that is read, in bytes.
const maxIssuerAnswer = 16 << 20

// askIssuer exchanges one JSON document with the issuer that serves dir.
func askIssuer(ctx context.Context, dir, method, path string, in, out any, header ...string) error {
	data, err := fetchIssuer(ctx, dir, method, path, in, header...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("read the issuer's answer: %w", err)
	}
	return nil
}

// fetchIssuer asks the issuer that serves dir with the owner's token.
func fetchIssuer(ctx context.Context, dir, method, path string, in any, header ...string) ([]byte, error) {
	base, err := os.ReadFile(filepath.Join(dir, urlFile))
	if err != nil {
		return nil, later("the issuer of %s does not serve: lares issuer serve --dir %s", dir, dir)
	}
	token, err := secretFile(filepath.Join(dir, issuerToken))
	if err != nil {
		return nil, fmt.Errorf("read the operator's token: %w", err)
	}
	return askAPI(ctx, strings.TrimSpace(string(base)), token, method, path, in, header...)
}

// askAPI sends a JSON document to an issuer's API and returns its answer.
func askAPI(ctx context.Context, base, token, method, path string, in any, header ...string) ([]byte, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask the issuer: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, later("the issuer does not answer: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxIssuerAnswer))
	if err != nil {
		return nil, later("the issuer does not answer: %w", err)
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusAccepted {
		return nil, issuerProblem(res.StatusCode, data)
	}
	return data, nil
}

func issuerProblem(status int, data []byte) error {
	var p struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(data, &p); err != nil || p.Detail == "" {
		return fmt.Errorf("the issuer answered HTTP status %d", status)
	}
	switch status {
	case http.StatusServiceUnavailable:
		return later("%s", p.Detail)
	case http.StatusConflict, http.StatusUnauthorized, http.StatusForbidden:
		return refused("%s", p.Detail)
	}
	return fmt.Errorf("%s", p.Detail)
}

func newIssuerContentCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "content", Short: "Titles whose keys the issuer's module holds"}
	var keys string
	add := &cobra.Command{
		Use:   "add",
		Short: "Give the keys of a packed title to the issuer's module",
		Long: `Give the sealed keys that lares pack made to the issuer's trusted module. Only
that module can open them. Doing it twice changes nothing.`,
		Example: `  lares issuer content add --keys packed/keys.lkd
  lares issuer content add --dir ./shop --keys packed/keys.lkd --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := os.ReadFile(keys)
			if err != nil {
				return err
			}
			var c issuer.Content
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/contents", map[string]any{"keys": data}, &c); err != nil {
				return err
			}
			return env.print(cmd, c, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "The module holds the keys of %v.\n", c.ID)
				return err
			})
		},
	}
	add.Flags().StringVar(&keys, "keys", "", "key delivery made by lares pack (required)")
	_ = add.MarkFlagRequired("keys")
	cmd.AddCommand(add, &cobra.Command{
		Use:   "list",
		Short: "List the titles that can be granted",
		Example: `  lares issuer content list
  lares issuer content list --dir ./shop --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out struct {
				Contents []issuer.Content `json:"contents"`
			}
			if err := askIssuer(cmd.Context(), *dir, http.MethodGet, "/api/v1/contents", nil, &out); err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				p := printer{w: w}
				for _, c := range out.Contents {
					p.line("%-32v since %s", c.ID, moment(c.At))
				}
				return p.err
			})
		},
	})
	return cmd
}

func newIssuerGrantCmd(env *Env, dir *string) *cobra.Command {
	var t termFlags
	var domain, offer, expires, key string
	cmd := &cobra.Command{
		Use:   "grant",
		Short: "Let a household have licenses of a title",
		Long: `Record that a household may have licenses of a title. The household is its
pairwise ID at this issuer (lares home show prints it); it means nothing to
any other issuer. With --key the same order given twice is one grant.`,
		Example: `  lares issuer grant --domain 9c1f…e2 --content the-film --terms "PLAY; PLAY_COUNT=2; INTERVAL=48h"
  lares issuer grant --domain 9c1f…e2 --content the-film --kind purchase --terms "PLAY; EXPORT=clearkey" --key order-4711
  lares issuer grant --domain 9c1f…e2 --offer rent-48h --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := issuerapi.GrantRequest{Offer: offer, Kind: issuer.Kind(t.kind), Terms: t.terms, Licenses: t.licenses}
			if err := in.Domain.UnmarshalText([]byte(domain)); err != nil {
				return usage("--domain: a household's ID is 32 hexadecimal digits")
			}
			if (offer == "") == (t.content == "" || t.terms == "") {
				return usage("say either --offer, or --content and --terms")
			}
			var err error
			if t.content != "" {
				if in.Content, err = contentArg(t.content); err != nil {
					return err
				}
			}
			if in.Tiers, err = t.tierNumbers(); err != nil {
				return err
			}
			if expires != "" {
				at, err := time.Parse(time.RFC3339, expires)
				if err != nil {
					return usage("--expires: want a time such as 2026-12-24T18:00:00Z")
				}
				in.ExpiresAt = at.UnixMilli()
			}
			var header []string
			if key != "" {
				header = []string{"Idempotency-Key", key}
			}
			var g issuer.Grant
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/grants", in, &g, header...); err != nil {
				return err
			}
			return env.print(cmd, g, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Granted %v: %s of %v: %s\n", g.ID, g.Kind, g.Content, g.Terms)
				return err
			})
		},
	}
	t.add(cmd)
	cmd.Flags().StringVar(&domain, "domain", "", "the household's pairwise ID (required)")
	cmd.Flags().StringVar(&offer, "offer", "", "name of an offer, instead of --content and --terms")
	cmd.Flags().StringVar(&expires, "expires", "", "issue nothing for it from this time on, such as 2026-12-24T18:00:00Z")
	cmd.Flags().StringVar(&key, "key", "", "idempotency key: the same order again is the same grant")
	_ = cmd.MarkFlagRequired("domain")
	return cmd
}

func newIssuerGrantsCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "grants",
		Short: "List all grants and what remains of them",
		Example: `  lares issuer grants
  lares issuer grants --dir ./shop --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := issuerapi.GrantPage{Grants: []issuer.Grant{}}
			for path := "/api/v1/grants"; path != ""; {
				var page issuerapi.GrantPage
				if err := askIssuer(cmd.Context(), *dir, http.MethodGet, path, nil, &page); err != nil {
					return err
				}
				out.Grants = append(out.Grants, page.Grants...)
				path = ""
				if page.Next != "" {
					path = "/api/v1/grants?after=" + url.QueryEscape(page.Next)
				}
			}
			return env.print(cmd, out, func(w io.Writer) error {
				p := printer{w: w}
				for _, g := range out.Grants {
					state := ""
					if g.Revoked {
						state = " (revoked)"
					}
					p.line("%v  house %v  %-8s %v  %d left%s  %s", g.ID, g.Domain, g.Kind, g.Content, g.Remaining, state, g.Terms)
				}
				return p.err
			})
		},
	}
}

func newIssuerRenewCmd(env *Env, dir *string) *cobra.Command {
	var domain, grant, until string
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Let a grant that has an end go on, also after that end",
		Long: `Move the end of a grant's terms, for a subscription that was paid for another
month for example. The house asks again and gets the same license in its next
version; the film that it has is not needed for it, and stays as it is.`,
		Example: `  lares issuer renew --domain 9c1f…e2 --grant 07aa…31 --until 2027-01-31T00:00:00Z
  lares issuer renew --dir ./shop --domain 9c1f…e2 --grant 07aa…31 --until 2027-01-31T00:00:00Z --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var d ident.Domain
			var g issuer.GrantID
			if d.UnmarshalText([]byte(domain)) != nil || g.UnmarshalText([]byte(grant)) != nil {
				return usage("a household's and a grant's ID are 32 hexadecimal digits each")
			}
			at, err := time.Parse(time.RFC3339, until)
			if err != nil {
				return usage("--until: want a time such as 2027-01-31T00:00:00Z")
			}
			var out issuer.Grant
			in := issuerapi.RenewRequest{Until: at.UnixMilli()}
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, fmt.Sprintf("/api/v1/grants/%v/%v/renew", d, g), in, &out); err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Grant %v, version %d: %s\n", out.ID, out.Version, out.Terms)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "the household's pairwise ID (required)")
	cmd.Flags().StringVar(&grant, "grant", "", "the grant's ID (required)")
	cmd.Flags().StringVar(&until, "until", "", "the new end, such as 2027-01-31T00:00:00Z (required)")
	for _, f := range []string{"domain", "grant", "until"} {
		_ = cmd.MarkFlagRequired(f)
	}
	return cmd
}

func newIssuerLicensesCmd(env *Env, dir *string) *cobra.Command {
	var domain string
	cmd := &cobra.Command{
		Use:   "licenses",
		Short: "List what a household was issued",
		Example: `  lares issuer licenses --domain 9c1f…e2
  lares issuer licenses --dir ./shop --domain 9c1f…e2 --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var d ident.Domain
			if err := d.UnmarshalText([]byte(domain)); err != nil {
				return usage("--domain: a household's ID is 32 hexadecimal digits")
			}
			var out struct {
				Licenses []issuerapi.LicenseRow `json:"licenses"`
			}
			if err := askIssuer(cmd.Context(), *dir, http.MethodGet, "/api/v1/licenses/"+d.String(), nil, &out); err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				p := printer{w: w}
				for _, l := range out.Licenses {
					p.line("%v  %-9s  %s  device %v  grant %v", l.ID, l.State, moment(l.IssuedAt), l.Device, l.Grant)
				}
				return p.err
			})
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "the household's pairwise ID (required)")
	_ = cmd.MarkFlagRequired("domain")
	return cmd
}
