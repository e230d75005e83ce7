// Command lint holds certificates and revocation lists against the lints of
// zlint whose source is RFC 5280, and prints what each finds: one line of JSON
// for each file. It is a module of its own, for tests, so that nothing of zlint
// is ever linked into a program that is shipped.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

// report is what was found in one file.
type report struct {
	File  string   `json:"file"`
	Lints int      `json:"lints"` // that were tried
	Found []string `json:"found"` // "error e_name", "warn w_name: details"
}

func main() {
	rules, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lint.SourceList{lint.RFC5280}})
	if err != nil {
		fail(err)
	}
	out := json.NewEncoder(os.Stdout)
	for _, name := range os.Args[1:] {
		r, err := look(name, rules)
		if err == nil {
			err = out.Encode(r)
		}
		if err != nil {
			fail(fmt.Errorf("%s: %w", name, err))
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "lint:", err)
	os.Exit(1)
}

// look lints one file: DER of a certificate, or of a list.
func look(name string, rules lint.Registry) (*report, error) {
	der, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var set *zlint.ResultSet
	if cert, certErr := x509.ParseCertificate(der); certErr == nil {
		set = zlint.LintCertificateEx(cert, rules)
	} else if list, listErr := x509.ParseRevocationList(der); listErr == nil {
		set = zlint.LintRevocationListEx(list, rules)
	} else {
		return nil, fmt.Errorf("neither a certificate (%w) nor a list (%w)", certErr, listErr)
	}
	r := &report{File: name, Found: []string{}}
	for lintName, res := range set.Results {
		switch res.Status {
		case lint.NA, lint.NE:
			continue
		case lint.Pass, lint.Notice:
		default:
			found := res.Status.String() + " " + lintName
			if res.Details != "" {
				found += ": " + res.Details
			}
			r.Found = append(r.Found, found)
		}
		r.Lints++
	}
	slices.Sort(r.Found)
	return r, nil
}
