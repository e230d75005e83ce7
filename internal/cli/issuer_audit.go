package cli

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/audit"
)

func newIssuerAuditCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "The log of what operators did: take it out, check it"}
	cmd.AddCommand(newAuditExportCmd(env, dir), newAuditVerifyCmd(env, dir))
	return cmd
}

func newAuditExportCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "export FILE",
		Short: "Write the whole log with its signed heads into a new file",
		Long: `Write the operators' log, a JSON object a line: what was done, by whom, when, each
entry with the hash of the one before, the signed head of each day, and one that
closes the file. Keep it, and audit.pub, where the issuer's machine cannot change
them: then a log that was written anew is found out.`,
		Example: `  lares issuer audit export ./audit-2026-11.jsonl
  lares issuer audit export ./audit.jsonl --dir ./shop --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := fetchIssuer(cmd.Context(), *dir, http.MethodGet, "/api/v1/audit/export", nil)
			if err != nil {
				return err
			}
			if _, err := os.Stat(args[0]); err == nil {
				return fmt.Errorf("%s is there already; say another name", args[0])
			}
			if err := writeDurably(args[0], data); err != nil {
				return err
			}
			got, err := audit.VerifyExport(strings.NewReader(string(data)), nil)
			if err != nil {
				return err
			}
			return printAudit(env, cmd, got, args[0])
		},
	}
}

func newAuditVerifyCmd(env *Env, dir *string) *cobra.Command {
	var pub string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Follow the log, or an export of it; status 5 when something was changed",
		Long: `Follow the chain of entries and its signed heads: in the database of the issuer
that serves, or in a file that lares issuer audit export wrote. An entry that was
changed, dropped, inserted or moved is found, and an end that was cut off.`,
		Example: `  lares issuer audit verify
  lares issuer audit verify ./audit-2026-11.jsonl --key ./audit.pub
  lares issuer audit verify ./audit-2026-11.jsonl --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				var got audit.Report
				if err := askIssuer(cmd.Context(), *dir, http.MethodGet, "/api/v1/audit/verify", nil, &got); err != nil {
					return err
				}
				return printAudit(env, cmd, got, "the database")
			}
			key, err := auditPublic(pub, *dir)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // read only
			got, err := audit.VerifyExport(f, key)
			if err != nil {
				return check("%s is not a whole export of the log: %v", args[0], err)
			}
			return printAudit(env, cmd, got, args[0])
		},
	}
	cmd.Flags().StringVar(&pub, "key", "", "the issuer's public audit key (audit.pub); default: that of the folder, if there is one")
	return cmd
}

// auditPublic reads a public audit key; without a name the folder's, or none.
func auditPublic(name, dir string) (crypto.PublicKey, error) {
	asked := name != ""
	if !asked {
		name = filepath.Join(dir, issuerAuditPub)
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && !asked {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no public key in PEM", name)
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

func printAudit(env *Env, cmd *cobra.Command, got audit.Report, where string) error {
	err := env.print(cmd, got, func(w io.Writer) error {
		p := printer{w: w}
		for _, f := range got.Faults {
			p.line("Not so: %s", f.What)
		}
		if len(got.Faults) == 0 {
			p.line("The log in %s is whole: %d entries, %d signed heads.", where, got.Entries, got.Heads)
		}
		return p.err
	})
	if err == nil && len(got.Faults) > 0 {
		err = check("the log was changed: compare it with an export that you kept elsewhere")
	}
	return err
}
