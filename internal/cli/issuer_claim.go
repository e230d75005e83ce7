package cli

import (
	"cmp"
	"crypto/rand"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/service/issuer"
)

// issuerClaimKey is the file of the key that claim codes are made with: 0600,
// 64 hexadecimal digits. Without it no code that was given out is good any more.
const issuerClaimKey = "claim.key"

// claimKey reads the issuer's claim key, and makes one where there is none.
func claimKey(dir string) (issuer.ClaimKey, error) {
	name := filepath.Join(dir, issuerClaimKey)
	text, err := secretFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		var b [32]byte
		rand.Read(b[:]) // never returns an error
		text = hex.EncodeToString(b[:])
		err = writeDurably(name, []byte(text+"\n"))
	}
	if err != nil {
		return issuer.ClaimKey{}, fmt.Errorf("read the key of claim codes: %w", err)
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		return issuer.ClaimKey{}, fmt.Errorf("%s is damaged: put it back from a backup, or no code that was given out is good", name)
	}
	return issuer.NewClaimKey(b)
}

func newIssuerClaimCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "claim", Short: "Codes that become a purchase, rental or loan of the house that shows them"}
	cmd.AddCommand(newClaimNewCmd(env, dir), newClaimListCmd(env, dir), newClaimShowCmd(env, dir), newClaimResendCmd(env, dir), newClaimVoidCmd(env, dir))
	return cmd
}

// claimOutput says how codes are written out.
type claimOutput struct {
	csv bool
	qr  string // folder
}

func (o *claimOutput) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.csv, "csv", false, "print a table: code,url,batch,index,expires")
	cmd.Flags().StringVar(&o.qr, "qr", "", "write a picture (PNG) of each URL into this folder")
}

func (o *claimOutput) print(env *Env, cmd *cobra.Command, v *issuerapi.ClaimsView) error {
	if o.qr != "" {
		if err := os.MkdirAll(o.qr, 0o700); err != nil {
			return fmt.Errorf("write the pictures: %w", err)
		}
		for i := range v.Claims {
			c := &v.Claims[i]
			if err := os.WriteFile(filepath.Join(o.qr, c.Code+".png"), c.QR, 0o600); err != nil {
				return fmt.Errorf("write the pictures: %w", err)
			}
			c.QR = nil
		}
	}
	if o.csv {
		return writeCSV(env.Stdout, v)
	}
	return env.print(cmd, v, func(w io.Writer) error {
		p := printer{w: w}
		for _, c := range v.Claims {
			p.line("%s  %s", c.Code, c.URL)
		}
		p.line("Batch %v: %d for %s (%s)%s", v.ID, len(v.Claims), v.Offer.ID, v.Offer.Kind, until(v.Expires))
		return p.err
	})
}

func until(ms int64) string {
	if ms == 0 {
		return ""
	}
	return ", until " + moment(ms)
}

func writeCSV(w io.Writer, v *issuerapi.ClaimsView) error {
	t := csv.NewWriter(w)
	rows := [][]string{{"code", "url", "batch", "index", "expires"}}
	for _, c := range v.Claims {
		expires := ""
		if c.Expires != 0 {
			expires = time.UnixMilli(c.Expires).UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{c.Code, c.URL, c.Batch.String(), strconv.FormatUint(c.Index, 10), expires})
	}
	return t.WriteAll(rows)
}

func newClaimNewCmd(env *Env, dir *string) *cobra.Command {
	var in issuerapi.ClaimsRequest
	var out claimOutput
	var expires, key string
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make claim codes for an offer",
		Long: `Make codes of twelve letters and digits, each with its URL, for an offer as it is
now. Whoever shows a code first has what it is for: send it as you would send
money. The issuer keeps a keyed hash of each code, and can give the same codes
again while they are not redeemed (lares issuer claim resend).`,
		Example: `  lares issuer claim new --offer rental-48h
  lares issuer claim new --offer rental-48h --count 200 --csv > codes.csv
  lares issuer claim new --offer buy --key payment-4711 --expires 2027-12-31T00:00:00Z --qr ./pictures`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if expires != "" {
				at, err := time.Parse(time.RFC3339, expires)
				if err != nil {
					return usage("--expires: want a time such as 2027-12-31T00:00:00Z")
				}
				in.ExpiresAt = at.UnixMilli()
			}
			var header []string
			if key != "" {
				header = []string{"Idempotency-Key", key}
			}
			in.QR = out.qr != ""
			var v issuerapi.ClaimsView
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/claims", in, &v, header...); err != nil {
				return err
			}
			return out.print(env, cmd, &v)
		},
	}
	cmd.Flags().StringVar(&in.Offer, "offer", "", "ID of the offer (required)")
	cmd.Flags().Uint64Var(&in.Codes, "count", 1, "how many codes, at most 1000")
	cmd.Flags().StringVar(&expires, "expires", "", "redeem none from this time on, such as 2027-12-31T00:00:00Z; default: no end")
	cmd.Flags().StringVar(&key, "key", "", "idempotency key, such as a payment's ID: asked again, the same codes come again")
	out.add(cmd)
	_ = cmd.MarkFlagRequired("offer")
	return cmd
}

func newClaimListCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the batches of codes that were made",
		Example: `  lares issuer claim list
  lares issuer claim list --dir ./shop --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := issuerapi.BatchPage{Batches: []issuerapi.BatchRow{}}
			for path := "/api/v1/claims"; path != ""; {
				var page issuerapi.BatchPage
				if err := askIssuer(cmd.Context(), *dir, http.MethodGet, path, nil, &page); err != nil {
					return err
				}
				out.Batches = append(out.Batches, page.Batches...)
				path = ""
				if page.Next != "" {
					path = "/api/v1/claims?after=" + url.QueryEscape(page.Next)
				}
			}
			return env.print(cmd, out, func(w io.Writer) error {
				p := printer{w: w}
				for i := range out.Batches {
					b := &out.Batches[i]
					p.line("%v  %s  %4d for %s%s: %d wait, %d redeemed, %d withdrawn", b.ID, moment(b.Created), b.Codes, b.Offer.ID, until(b.Expires), b.Open, b.Redeemed, b.Void)
				}
				return p.err
			})
		},
	}
}

func newClaimShowCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show BATCH",
		Short: "Show what became of the codes of a batch",
		Example: `  lares issuer claim show 7d0c5a5fd1b2…
  lares issuer claim show 7d0c5a5fd1b2… --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var v issuerapi.BatchView
			if err := askIssuer(cmd.Context(), *dir, http.MethodGet, "/api/v1/claims/"+url.PathEscape(args[0]), nil, &v); err != nil {
				return err
			}
			return env.print(cmd, v, func(w io.Writer) error {
				p := printer{w: w}
				for _, c := range v.Claims {
					if c.State == issuer.CodeRedeemed {
						p.line("%4d  %-8s  %s  house %v  grant %v", c.Index, c.State, moment(c.RedeemedAt), c.Domain, c.Grant)
					} else {
						p.line("%4d  %-8s", c.Index, c.State)
					}
				}
				return p.err
			})
		},
	}
}

// pickFlag is --index: one place of a batch instead of all.
type pickFlag struct{ index int64 }

func (f *pickFlag) add(cmd *cobra.Command) {
	cmd.Flags().Int64Var(&f.index, "index", -1, "only the code of this place; default: all that wait")
}

func (f *pickFlag) body(qr bool) map[string]any {
	m := map[string]any{"qr": qr}
	if f.index >= 0 {
		m["index"] = f.index
	}
	return m
}

func newClaimResendCmd(env *Env, dir *string) *cobra.Command {
	var pick pickFlag
	var out claimOutput
	cmd := &cobra.Command{
		Use:   "resend BATCH",
		Short: "Print codes again that were given out and wait to be redeemed",
		Example: `  lares issuer claim resend 7d0c5a5fd1b2… --index 3
  lares issuer claim resend 7d0c5a5fd1b2… --csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var v issuerapi.ClaimsView
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/claims/"+url.PathEscape(args[0])+"/resend", pick.body(out.qr != ""), &v); err != nil {
				return err
			}
			return out.print(env, cmd, &v)
		},
	}
	pick.add(cmd)
	out.add(cmd)
	return cmd
}

func newClaimVoidCmd(env *Env, dir *string) *cobra.Command {
	var pick pickFlag
	cmd := &cobra.Command{
		Use:   "void BATCH",
		Short: "Withdraw codes that wait to be redeemed; what was redeemed stays",
		Example: `  lares issuer claim void 7d0c5a5fd1b2… --index 3
  lares issuer claim void 7d0c5a5fd1b2…`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var v issuerapi.VoidView
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/claims/"+url.PathEscape(args[0])+"/void", pick.body(false), &v); err != nil {
				return err
			}
			return env.print(cmd, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s withdrawn.\n", cmp.Or(map[uint64]string{0: "No code was waiting; none", 1: "1 code"}[v.Void], fmt.Sprintf("%d codes", v.Void)))
				return err
			})
		},
	}
	pick.add(cmd)
	return cmd
}
