package cli

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// accountsFile keeps what this house shows to shops that ask who it is: mode 0600.
const accountsFile = "accounts.json"

// account is what is shown to one shop.
type account struct {
	Kind       string `json:"kind"`
	Credential []byte `json:"credential"`
}

// accountOf is the account for a shop, by its module's ID; nil where there is none.
func accountOf(dir string, peer ident.Device) (*lrp.Account, error) {
	all, err := readAccounts(dir)
	if a, ok := all[peer.String()]; err == nil && ok {
		return &lrp.Account{Kind: a.Kind, Credential: a.Credential}, nil
	}
	return nil, err
}

func readAccounts(dir string) (map[string]account, error) {
	all := map[string]account{}
	text, err := secretFile(filepath.Join(dir, accountsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", accountsFile, err)
	}
	return all, nil
}

func newHomeAccountCmd(env *Env, dir *string) *cobra.Command {
	var shop, kind, file string
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Keep the account that a shop or library wants to see before it gives anything",
		Long: `Some shops and libraries ask who their customer is: a card number, a voucher, a token.
It is shown to that one only, sealed to a key that its secure module has signed for:
relays on the way cannot read it. It is in accounts.json of the house's folder, which
nobody else may read.`,
		Example: `  lares home account --issuer http://library.example:7720 --kind card --file ./card
  lares home account --issuer http://library.example:7720 --kind card --file ./card --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			credential, err := secretFile(file)
			if err != nil {
				return err
			}
			if kind == "" || len(kind) > 32 || credential == "" || len(credential) > lrp.MaxCredential {
				return usage("want a kind of 1 to 32 bytes and a credential of 1 to %d", lrp.MaxCredential)
			}
			about, err := aboutShop(cmd.Context(), shop)
			if err != nil {
				return err
			}
			all, err := readAccounts(*dir)
			if err != nil {
				return err
			}
			all[about.Device.String()] = account{Kind: kind, Credential: []byte(credential)}
			data, err := json.MarshalIndent(all, "", "  ")
			if err != nil {
				return err
			}
			if err := writeDurably(filepath.Join(*dir, accountsFile), append(data, '\n')); err != nil {
				return err
			}
			out := struct {
				Issuer ident.Issuer `json:"issuer"`
				Kind   string       `json:"kind"`
			}{about.Issuer, kind}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "It is shown to %v when that asks.\n", about.Issuer)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&shop, "issuer", "", "URL of the shop or library (required)")
	cmd.Flags().StringVar(&kind, "kind", "voucher", "what it is, as the shop calls it: voucher, card, oidc")
	cmd.Flags().StringVar(&file, "file", "", "file (0600) that holds it (required)")
	_ = cmd.MarkFlagRequired("issuer")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

// show shows an account to a shop's LRM: sealed to the key of a HELLO that the shop's
// module has signed.
func show(ctx context.Context, link *lrphttp.Client, src, dst lrp.Addr, a lrp.Account, now time.Time) error {
	hello, err := lrp.Recognize(ctx, src, dst, lrp.DefaultHello("http"), now, func(ctx context.Context, _ lrp.LinkID, f lrp.Frame) ([]lrp.Frame, error) {
		return link.Exchange(ctx, f)
	})
	if err != nil {
		return fmt.Errorf("ask the shop for its key: %w", err)
	}
	tx := lrp.NewTransaction(dst, src, now, lrp.Life)
	f := tx.Next(lrp.TypeAuth, nil)
	if f.Body, err = lrp.SealAccount(hello.Seal, f, a); err != nil {
		return err
	}
	answers, err := link.Exchange(ctx, f)
	if err != nil {
		return err
	}
	for _, got := range answers {
		err := tx.Check(got)
		if e, ok := errors.AsType[*lrp.Error](err); ok && e.Code == lrp.CodeUnproven {
			return home.ErrAccount
		} else if ok && e.Code == lrp.CodeFull {
			return home.AccountLater{RetryMS: int64(e.RetryMS)}
		}
		if err != nil {
			return err
		}
		if got.Type == lrp.TypeAck {
			return nil
		}
	}
	return fmt.Errorf("the account: %w", lrp.ErrStrange)
}

// acceptedAccounts reads the accounts that an issuer accepts: a line each, its kind, a
// colon, and the credential.
func acceptedAccounts(file string) (func(lrp.Account) bool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := secretFile(file)
	if err != nil {
		return nil, err
	}
	known := map[[32]byte]bool{}
	for n, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		kind, credential, ok := strings.Cut(line, ":")
		if !ok || kind == "" || len(credential) < minCredential {
			return nil, fmt.Errorf("%s, line %d: want KIND:CREDENTIAL, of at least %d characters, because guesses are slowed down, not ended", file, n+1, minCredential)
		}
		known[accountSum(kind, []byte(credential))] = true
	}
	return func(a lrp.Account) bool { return known[accountSum(a.Kind, a.Credential)] }, nil
}

// minCredential is the shortest credential of an accounts file, in characters. Source: local.
const minCredential = 12

// accountSum is looked up in the place of the credential, so that how long a look
// takes says nothing about it.
func accountSum(kind string, credential []byte) [32]byte {
	return sha256.Sum256(append(append([]byte(kind), 0), credential...))
}
