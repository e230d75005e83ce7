package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/conform"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

type conformFlags struct {
	ca, voucher, key, title, account string
	members                          []string
}

func newConformCmd(env *Env) *cobra.Command {
	var f conformFlags
	cmd := &cobra.Command{
		Use:   "conform URL",
		Short: "Judge an issuer, a home server or an authority, ours or another maker's, by its answers",
		Long: `Send the public vectors and flows of docs/spec to a server, right ones and wrong
ones, and report clause by clause: passed, failed with what was expected and seen,
not applicable and why, or NOT RUN and what it would take. What the server is it
says itself.

It needs nothing but the address. With --key, an operator's, it judges what only
operators see: roles, the log, documents of what was issued; it makes API keys of
its own for that, and ends them. With --title, too, it sells and lends that title to
houses that it makes up, under offers named conform-…: take a title that is for
trials. With --ca and --voucher (of role home server) the judge gets certificates of
the server's trust domain, with a new module in a folder that is removed afterwards;
with --key and --title, too, it fetches what it grants itself. Where a server asks
for an account, --account is shown; with --member twice, folders of devices of the
house, its mailbox is judged too. At last it holds requests open until an issuer
turns it away, for about a second. Exit status 5 when a clause fails.`,
		Example: `  lares conform http://shop.example:7720
  lares conform http://127.0.0.1:7710 --json     # a home server
  lares conform http://127.0.0.1:7720 --ca http://127.0.0.1:7700 --voucher 3F9K-22QX --key ./shop/admin.token --title the-film
  lares conform http://127.0.0.1:7710 --member ./tablet --member ./phone
  lares conform http://library.example:7720 --account ./card`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, env, args[0])
		},
	}
	cmd.Flags().StringVar(&f.ca, "ca", "", "URL of the server's certification authority, for flows with a module of the judge's")
	cmd.Flags().StringVar(&f.voucher, "voucher", "", "enrollment voucher of a home server")
	cmd.Flags().StringVar(&f.key, "key", "", "file (0600) with an operator's key of the issuer: the owner's token, or an API key")
	cmd.Flags().StringVar(&f.key, "token", "", "as --key")
	cmd.Flags().StringVar(&f.title, "title", "", "a title that the issuer has, to be granted, sold and lent by the judge")
	cmd.Flags().StringVar(&f.account, "account", "", "file (0600) with KIND:CREDENTIAL, for a server that asks who its customer is")
	cmd.Flags().StringSliceVar(&f.members, "member", nil, "folder of a device that is a member of the house; twice, to judge its mailbox")
	cmd.MarkFlagsRequiredTogether("ca", "voucher")
	cmd.MarkFlagsMutuallyExclusive("key", "token")
	_ = cmd.Flags().MarkHidden("token") // it is there; deprecated, it would write a line before the JSON
	return cmd
}

func (f *conformFlags) run(cmd *cobra.Command, env *Env, url string) (err error) {
	ctx := cmd.Context()
	cfg := conform.Config{URL: url, Now: env.Now}
	if f.ca != "" {
		house, done, err := judgesHouse(ctx, env, url, f.ca, f.voucher)
		if err != nil {
			return err
		}
		defer done() //nolint:errcheck // its folder is temporary
		cfg.House = house
	}
	if f.key != "" {
		if cfg.Key, err = secretFile(f.key); err != nil {
			return fmt.Errorf("read the operator's key: %w", err)
		}
	}
	if f.title != "" {
		if cfg.Title, err = contentArg(f.title); err != nil {
			return err
		}
	}
	if f.account != "" {
		if cfg.Account, err = accountFile(f.account); err != nil {
			return err
		}
	}
	for _, dir := range f.members {
		member, stop, err := memberOf(ctx, dir)
		if err != nil {
			return err
		}
		defer stop() //nolint:errcheck // it has signed, and wrote nothing
		cfg.Members = append(cfg.Members, member)
	}
	var all []conform.Result
	count := map[conform.Verdict]int{}
	err = conform.Run(ctx, cfg, func(r conform.Result) {
		all = append(all, r)
		count[r.Verdict]++
		if !wantJSON(cmd) {
			fmt.Fprintln(env.Stdout, verdictLine(r))
		}
	})
	if err != nil {
		return later("%w", err)
	}
	if err := env.print(cmd, map[string]any{"url": url, "clauses": all}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d passed, %d failed, %d not applicable, %d not run\n", count[conform.Passed], count[conform.Failed], count[conform.Inapplicable], count[conform.NotRun])
		return err
	}); err != nil {
		return err
	}
	if n := count[conform.Failed]; n > 0 {
		return check("%d of %d clauses fail", n, len(all))
	}
	return nil
}

// accountFile reads what the judge shows of itself.
func accountFile(name string) (lrp.Account, error) {
	text, err := secretFile(name)
	if err != nil {
		return lrp.Account{}, fmt.Errorf("read the account: %w", err)
	}
	kind, credential, ok := strings.Cut(text, ":")
	if !ok || kind == "" || credential == "" {
		return lrp.Account{}, usage("--account: %s holds no KIND:CREDENTIAL", name)
	}
	return lrp.Account{Kind: kind, Credential: []byte(credential)}, nil
}

// memberOf opens the module of a device that is paired.
func memberOf(ctx context.Context, dir string) (lrp.Introduction, func() error, error) {
	var none lrp.Introduction
	if _, err := os.Stat(filepath.Join(dir, "trem")); err != nil {
		return none, nil, fmt.Errorf("--member: %s holds no device: %w", dir, err)
	}
	module, stop, err := startTREM(filepath.Join(dir, "trem"))
	if err != nil {
		return none, nil, err
	}
	st, err := module.Status(ctx)
	if err != nil {
		return none, nil, errors.Join(err, stop())
	}
	return *introduction(module, st.Device, ident.Device{}), stop, nil
}

func verdictLine(r conform.Result) string {
	verdict := string(r.Verdict)
	if r.Verdict == conform.Failed {
		verdict = "FAILED"
	}
	line := fmt.Sprintf("%-15s %-9s %-24s %s", verdict, r.Statement, r.Clause, r.Name)
	if r.Reason != "" {
		line += "\n" + strings.Repeat(" ", 16) + strings.ReplaceAll(r.Reason, "\n", "\n"+strings.Repeat(" ", 16))
	}
	return line
}

// judge is a household of the judge's own.
type judge struct {
	module *trem.Client
	self   ident.Device
	url    string
	env    *Env
}

// judgesHouse makes a module, gets its certificates and founds a house with it.
func judgesHouse(ctx context.Context, env *Env, url, ca, voucher string) (_ *judge, done func() error, err error) {
	dir, err := os.MkdirTemp("", "lares-conform-*")
	if err != nil {
		return nil, nil, err
	}
	module, stop, err := startTREM(filepath.Join(dir, "trem"))
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	done = func() error { return errors.Join(stop(), os.RemoveAll(dir)) }
	st, err := foundHouse(ctx, module, ca, voucher)
	if err == nil {
		err = learn(ctx, module, nil, ca)
	}
	if err != nil {
		return nil, nil, errors.Join(authorityError(err), done())
	}
	return &judge{module: module, self: st.Device, url: url, env: env}, done, nil
}

// Fetch implements conform.Household.
func (j *judge) Fetch(ctx context.Context, peer ident.Device, issuer ident.Issuer, content ident.Content, request ident.Request) ([]trem.Event, error) {
	opened, err := j.module.Open(ctx, trem.LicenseRequest{Peer: peer, Request: request, Content: content, Issuer: issuer})
	if err != nil {
		return nil, err
	}
	c := lrphttp.Courier{Module: j.module, Link: &lrphttp.Client{URL: strings.TrimSuffix(j.url, "/")}, Src: j.self, Dst: peer, Now: j.env.Now}
	events, err := c.Fetch(ctx, opened)
	if len(events) > 0 { // how it ended stands there
		return events, nil
	}
	return events, cmp.Or(err, errors.New("no answer"))
}

// Domain implements conform.Household.
func (j *judge) Domain(ctx context.Context, issuer ident.Issuer) (ident.Domain, error) {
	return j.module.Pairwise(ctx, issuer)
}
