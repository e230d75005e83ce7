package cli

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
)

type crlFlags struct {
	out     string
	classes []uint
	base    uint64
	pem     bool
}

// crlAnswer is one file of 'ca crl'.
type crlAnswer struct {
	File    string    `json:"file"`
	Class   pki.Class `json:"class"`
	CAs     bool      `json:"cas"`
	Number  uint64    `json:"number"`
	Base    uint64    `json:"base,omitempty"`
	Entries int       `json:"entries"`
	Bytes   int       `json:"bytes"`
}

func newCACRLCmd(env *Env, dir *string) *cobra.Command {
	var f crlFlags
	cmd := &cobra.Command{
		Use:   "crl",
		Short: "Export the published revocation state as RFC 5280 lists, for peers that have nothing else",
		Long: `Write the published state as certificate revocation lists of RFC 5280: for every
CA that certifies parties crl-CLASS.crl, for every CA above others arl-CLASS.crl,
each signed by that CA. The list's number is the epoch. With --base, an earlier
epoch of the last 64, they are delta lists, crl-CLASS-delta-BASE.crl, for who
has the lists of that epoch. A CA that is revoked has no list: it stands on that
of the CA above it. The page docs/spec/crl.md says what a list holds.`,
		Example: `  lares ca crl --out ./lists
  lares ca crl --out ./lists --base 41 --json
  lares ca crl --out ./lists --class 4097 --pem && openssl crl -in ./lists/crl-4097.pem -noout -text`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var lists []authority.CRL
			err := withAuthority(*dir, func(a *authority.Authority) (err error) {
				lists, err = f.export(a)
				return err
			})
			if errors.Is(err, authority.ErrNoEpoch) || errors.Is(err, authority.ErrNoClass) {
				return refused("%w", err)
			}
			if err != nil {
				return err
			}
			return f.write(cmd, env, lists)
		},
	}
	cmd.Flags().StringVar(&f.out, "out", "", "folder to write into; it is made when it is not there (required)")
	cmd.Flags().UintSliceVar(&f.classes, "class", nil, "only the lists of the CA that issues this class; may be repeated")
	cmd.Flags().Uint64Var(&f.base, "base", 0, "write deltas from this earlier epoch")
	cmd.Flags().BoolVar(&f.pem, "pem", false, "write PEM (*.pem) instead of DER")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

func (f *crlFlags) export(a *authority.Authority) ([]authority.CRL, error) {
	if now := a.State().Epoch().Number; f.base >= now && f.base > 0 {
		return nil, usage("--base %d is not before the published epoch %d", f.base, now)
	}
	var classes []pki.Class
	for _, c := range f.classes {
		if c > uint(pki.MaxClass) {
			return nil, usage("--class %d: class IDs are below 2^32", c)
		}
		classes = append(classes, pki.Class(c))
	}
	return a.CRLs(f.base, classes...)
}

func (f *crlFlags) write(cmd *cobra.Command, env *Env, lists []authority.CRL) error {
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return fmt.Errorf("write lists: %w", err)
	}
	var out []crlAnswer
	for _, l := range lists {
		name, data := "crl-"+l.Class.String(), l.DER
		if l.CAs {
			name = "arl-" + l.Class.String()
		}
		if l.Base > 0 {
			name += fmt.Sprintf("-delta-%d", l.Base)
		}
		if f.pem {
			name, data = name+".pem", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: data})
		} else {
			name += ".crl"
		}
		file := filepath.Join(f.out, name)
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return fmt.Errorf("write list: %w", err)
		}
		out = append(out, crlAnswer{File: file, Class: l.Class, CAs: l.CAs, Number: l.Number, Base: l.Base, Entries: l.Entries, Bytes: len(l.DER)})
	}
	return env.print(cmd, out, func(w io.Writer) error {
		p := printer{w: w}
		for _, a := range out {
			p.line("%s  number %d, %d certificates, %d bytes", a.File, a.Number, a.Entries, a.Bytes)
		}
		return p.err
	})
}
