package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/issuer"
)

// claimTimeout bounds the question to a shop what a code is for.
const claimTimeout = 30 * time.Second

// claimed is what `home claim` prints.
type claimed struct {
	issuerapi.Redeemed
	License ident.License `json:"license"`
}

func newHomeClaimCmd(env *Env, dir *string) *cobra.Command {
	var shop string
	cmd := &cobra.Command{
		Use:   "claim CODE-OR-URL",
		Short: "Redeem a code of a shop or library, and fetch what it is for",
		Long: `Redeem the code that a shop or library gave you, and fetch what it is for. It may
be repeated after any failure: a code that your house has redeemed gives the
same again, and for any other house it is used up.`,
		Args: cobra.ExactArgs(1),
		Example: `  lares home claim https://shop.example/c/7KQ2M4XD9T3V
  lares home claim 7KQ2-M4XD-9T3V --issuer https://shop.example`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if base, _, ok := strings.Cut(args[0], issuer.ClaimPath); ok && strings.Contains(base, "://") && shop == "" {
				shop = base
			}
			if shop == "" {
				return usage("which shop is the code of? Give the whole URL, or --issuer")
			}
			code, err := issuer.ParseClaimCode(args[0])
			if err != nil {
				return refused("this is no code of twelve letters and digits, or one of them is wrong")
			}
			got, err := claim(cmd.Context(), *dir, shop, code)
			if err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "It is in your house now: %v\n", got.Content)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&shop, "issuer", "", "URL of the shop or library, where only the code is given")
	return cmd
}

// claim redeems a code for the house that serves dir, and fetches what it gives.
func claim(ctx context.Context, dir, shop string, code issuer.ClaimCode) (out claimed, err error) {
	about, err := aboutShop(ctx, shop)
	if err != nil {
		return out, err
	}
	var known struct {
		Domain ident.Domain `json:"domain"`
	}
	if err := askHome(ctx, dir, http.MethodGet, "/api/v1/pairwise?issuer="+url.QueryEscape(string(about.Issuer)), nil, &known); err != nil {
		return out, err
	}
	if err := redeem(ctx, shop, issuerapi.RedeemRequest{Code: code.Text(), Domain: known.Domain}, &out.Redeemed); err != nil {
		return out, err
	}
	// One request a code: said again, it is answered with the same license.
	sum := sha256.Sum256(append([]byte("lares/1/claim request"), out.Grant[:]...))
	want := home.Wanted{Content: out.Content, URL: shop, Peer: about.Device, Issuer: about.Issuer, Under: ident.Request(sum[:ident.Size])}
	if err := askHome(ctx, dir, http.MethodPost, "/api/v1/licenses", want, &out); err != nil {
		return out, fmt.Errorf("the code is yours, and what it gives was not fetched: %w; say it again", err)
	}
	return out, nil
}

// redeem shows a code to a shop.
func redeem(ctx context.Context, shop string, in issuerapi.RedeemRequest, out *issuerapi.Redeemed) error {
	return askShop(ctx, shop, "/api/v1/claims/redeem", in, out)
}

// askShop posts one JSON document to a shop, as everyone may.
func askShop(ctx context.Context, shop, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(shop, "/")+path, bytes.NewReader(body))
	if err != nil {
		return usage("%q is no address of a shop", shop)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return later("the shop does not answer; say it again later")
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxIssuerAnswer))
	if err != nil {
		return later("the shop does not answer; say it again later")
	}
	if res.StatusCode != http.StatusOK {
		return shopProblem(res.StatusCode, data)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("read the shop's answer: %w", err)
	}
	return nil
}

// shopProblem gives a shop's answer this program's exit status.
func shopProblem(status int, data []byte) error {
	var p struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(data, &p); err != nil || p.Detail == "" {
		return fmt.Errorf("the shop answered HTTP status %d", status)
	}
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || status >= 500:
		return later("%s", p.Detail)
	case strings.HasPrefix(p.Code, "code_"), p.Code == "no_proof", p.Code == "ended", p.Code == "domain_full", p.Code == "rejected", p.Code == "conflict":
		return refused("%s", p.Detail)
	}
	return fmt.Errorf("%s", p.Detail)
}
