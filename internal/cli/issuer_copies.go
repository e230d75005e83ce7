package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/service/issuer"
)

func newIssuerCopiesCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "copies", Short: "A library's copies: how many there are of a title, and who has one"}
	cmd.AddCommand(newCopiesSetCmd(env, dir), newCopiesListCmd(env, dir),
		copyCmd(env, dir, "lend", "Lend a copy to a house", "/api/v1/copies/lend", saidLoan, `  lares issuer copies lend --content metropolis --domain 9c1f…e2
  lares issuer copies lend --content metropolis --domain 9c1f…e2 --json`),
		copyCmd(env, dir, "renew", "Let a house keep its copy for another period, unless somebody waits", "/api/v1/copies/renew", saidLoan, `  lares issuer copies renew --content metropolis --domain 9c1f…e2
  lares issuer copies renew --content metropolis --domain 9c1f…e2 --json`),
		copyCmd(env, dir, "return", "Take back a copy that a house has not fetched (a fetched one comes back by itself)", "/api/v1/copies/return",
			func(struct{}) string { return "It is back." }, `  lares issuer copies return --content metropolis --domain 9c1f…e2
  lares issuer copies return --content metropolis --domain 9c1f…e2 --json`))
	return cmd
}

func newIssuerHoldsCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "holds", Short: "Who waits for a copy: houses are served in their turn"}
	cmd.AddCommand(
		copyCmd(env, dir, "add", "Put a house into the queue of a title", "/api/v1/holds", saidHold, `  lares issuer holds add --content metropolis --domain 9c1f…e2
  lares issuer holds add --content metropolis --domain 9c1f…e2 --json`),
		newHoldsListCmd(env, dir),
		copyCmd(env, dir, "cancel", "Take a house out of the queue", "/api/v1/holds/cancel", func(struct{}) string { return "It does not wait any more." }, `  lares issuer holds cancel --content metropolis --domain 9c1f…e2
  lares issuer holds cancel --content metropolis --domain 9c1f…e2 --json`))
	return cmd
}

func saidLoan(l issuer.CopyLoan) string {
	return fmt.Sprintf("The house has a copy until %s (grant %v).", moment(l.Until), l.Grant)
}

func saidHold(h issuer.Hold) string {
	if h.OfferedUntil != 0 {
		return "A copy is kept for the house until " + moment(h.OfferedUntil) + ": lend it."
	}
	return "The house waits for its turn."
}

// copyCmd is a command about a house and a title.
func copyCmd[T any](env *Env, dir *string, use, short, path string, say func(T) string, example string) *cobra.Command {
	var content, domain string
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var in issuerapi.CopyRequest
			var err error
			if in.Content, err = contentArg(content); err != nil {
				return err
			}
			if err := in.Domain.UnmarshalText([]byte(domain)); err != nil {
				return usage("--domain: a household's ID is 32 hexadecimal digits")
			}
			var out T
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, path, in, &out); err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, say(out))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&content, "content", "", "the title's content ID (required)")
	cmd.Flags().StringVar(&domain, "domain", "", "the household's pairwise ID (required)")
	_ = cmd.MarkFlagRequired("content")
	_ = cmd.MarkFlagRequired("domain")
	return cmd
}

func newCopiesSetCmd(env *Env, dir *string) *cobra.Command {
	var s issuer.Stock
	var period, window time.Duration
	cmd := &cobra.Command{
		Use:   "set TITLE-ID",
		Short: "Say how many copies there are of a title, and how they are lent",
		Long: `Say how many copies the library has of a title. Never do more houses have one, or
have one kept for them. The offer is of kind loan and says what a loan allows; its
end is the period's. Who waited has the window's time to borrow what is kept.`,
		Example: `  lares issuer offer add loan --kind loan --content metropolis --terms "PLAY; EXPORT=clearkey"
  lares issuer copies set metropolis --copies 3 --offer loan
  lares issuer copies set metropolis --copies 3 --offer loan --period 504h --window 72h --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if s.Content, err = contentArg(args[0]); err != nil {
				return err
			}
			s.Period, s.Window = period.Milliseconds(), window.Milliseconds()
			var out issuer.Stock
			if err := askIssuer(cmd.Context(), *dir, http.MethodPost, "/api/v1/copies", s, &out); err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%d copies of %v, lent for %v; kept for %v for who waited.\n", out.Copies, out.Content, period, window)
				return err
			})
		},
	}
	cmd.Flags().Uint64Var(&s.Copies, "copies", 0, "how many (required)")
	cmd.Flags().StringVar(&s.Offer, "offer", "", "ID of an offer of kind loan (required)")
	cmd.Flags().DurationVar(&period, "period", 21*24*time.Hour, "how long a loan lasts")
	cmd.Flags().DurationVar(&window, "window", 3*24*time.Hour, "how long a copy is kept for who waited")
	_ = cmd.MarkFlagRequired("copies")
	_ = cmd.MarkFlagRequired("offer")
	return cmd
}

// allCopies asks for all titles' copies, or for those of one.
func allCopies(ctx context.Context, dir, content string) (issuerapi.StockPage, error) {
	out := issuerapi.StockPage{Copies: []issuer.StockView{}}
	query := url.Values{}
	if content != "" {
		id, err := contentArg(content)
		if err != nil {
			return out, err
		}
		query.Set("content", id.String())
	}
	for {
		var page issuerapi.StockPage
		if err := askIssuer(ctx, dir, http.MethodGet, "/api/v1/copies?"+query.Encode(), nil, &page); err != nil {
			return out, err
		}
		out.Copies = append(out.Copies, page.Copies...)
		if page.Next == "" {
			return out, nil
		}
		query.Set("after", page.Next.String())
	}
}

// copiesList is a command that shows titles' copies.
func copiesList(env *Env, dir *string, short, example string, show func(*printer, *issuer.StockView)) *cobra.Command {
	var content string
	cmd := &cobra.Command{
		Use: "list", Short: short, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := allCopies(cmd.Context(), *dir, content)
			if err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				p := printer{w: w}
				for i := range out.Copies {
					show(&p, &out.Copies[i])
				}
				return p.err
			})
		},
	}
	cmd.Flags().StringVar(&content, "content", "", "only this title")
	return cmd
}

func newCopiesListCmd(env *Env, dir *string) *cobra.Command {
	return copiesList(env, dir, "List titles, their copies, and who has one until when", `  lares issuer copies list
  lares issuer copies list --content metropolis --json`, func(p *printer, v *issuer.StockView) {
		p.line("%v: %d copies, %d free, %d out, %d waiting", v.Content, v.Copies, v.Free, len(v.Loans), v.Waiting)
		for _, l := range v.Loans {
			p.line("  house %v until %s", l.Domain, moment(l.Until))
		}
	})
}

func newHoldsListCmd(env *Env, dir *string) *cobra.Command {
	return copiesList(env, dir, "List who waits, in their turn", `  lares issuer holds list
  lares issuer holds list --content metropolis --json`, func(p *printer, v *issuer.StockView) {
		for n, h := range v.Holds {
			state := "waits since " + moment(h.At)
			if h.OfferedUntil != 0 {
				state = "a copy is kept until " + moment(h.OfferedUntil)
			}
			p.line("%v  %3d  house %v  %s", v.Content, n+1, h.Domain, state)
		}
	})
}
