// Command deb builds a Debian package from a description in nfpm's form, with
// every time in it as the description says.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
)

func main() {
	config := flag.String("config", "", "description, YAML")
	target := flag.String("target", "", "file to write")
	base := flag.String("base", ".", "folder that relative names in the description start from")
	flag.Parse()
	if err := os.Chdir(*base); err != nil {
		fmt.Fprintln(os.Stderr, "deb:", err)
		os.Exit(1)
	}
	if err := run(*config, *target); err != nil {
		fmt.Fprintln(os.Stderr, "deb:", err)
		os.Exit(1)
	}
}

func run(config, target string) error {
	cfg, err := nfpm.ParseFile(config)
	if err != nil {
		return fmt.Errorf("read %s: %w", config, err)
	}
	info := nfpm.WithDefaults(&cfg.Info)
	if err := nfpm.Validate(info); err != nil {
		return err
	}
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return err
	}
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := deb.Default.Package(info, out); err != nil {
		return fmt.Errorf("write %s: %w", target, err)
	}
	return out.Close()
}
