package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/trem"
)

func newTREMCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trem",
		Short: "The trusted module of a folder: make it, look at it",
	}
	var dir string
	var storage storageFlags
	cmd.PersistentFlags().StringVar(&dir, "dir", "", "the module's folder (required)")
	_ = cmd.MarkPersistentFlagRequired("dir")
	create := &cobra.Command{
		Use:   "init",
		Short: "Make a module's keys and its empty store",
		Long: `Make the keys of a trusted module, and a folder for what it keeps:

  soft     in a file of the folder, sealed under a secret beside it. Whoever
           copies the folder has the module (level SL1, no anchor).
  pkcs11   in a PKCS#11 token, which gives them to nobody (SL2, no anchor).
           Needs a build with -tags pkcs11.
  tpm      in the machine's TPM 2.0, which gives them to nobody and keeps a
           register: the folder cannot be set back to an older copy (SL3, A2).

The administrator of the machine can use the keys of a module that runs, wherever
they are. What a certificate says of a module is the authority's decision. Keys
never move from one of these to another: that is a new module, a new enrollment.`,
		Example: `  lares trem init --dir ~/.local/share/lares/trem
  lares trem init --dir ./trem --keystore tpm --json
  lares trem init --dir ./trem --keystore pkcs11 --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-token house --pin-file ./pin --pkcs11-dir /var/lib/softhsm/tokens`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := storage.prepare(dir); err != nil {
				return err
			}
			return tremStatus(cmd, env, dir)
		},
	}
	storage.add(create)
	cmd.AddCommand(create, &cobra.Command{
		Use:   "status",
		Short: "Show a module's keys, role, clock, walls and counts",
		Example: `  lares trem status --dir ~/.local/share/lares/trem
  lares trem status --dir ./trem --json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return tremStatus(cmd, env, dir) },
	}, newTREMConformCmd(env))
	cmd.AddCommand(newTREMLearnCmd(env, &dir), newTREMRenewCmd(env, &dir))
	return cmd
}

func tremStatus(cmd *cobra.Command, env *Env, dir string) error {
	module, stop, err := startTREM(dir)
	if err != nil {
		return err
	}
	defer stop() //nolint:errcheck // the module ends with its socket
	s, err := module.Status(cmd.Context())
	if err != nil {
		return err
	}
	return env.print(cmd, s, func(w io.Writer) error { return describe(w, &s) })
}

func describe(w io.Writer, s *trem.Status) error {
	p := printer{w: w}
	role := s.Role
	if role == "" {
		role = "not enrolled"
	}
	p.line("device      %v (%s)", s.Device, role)
	register := "no register"
	if s.Keystore.Register != "" {
		register = "register " + s.Keystore.Register
	}
	p.line("keystore    %s, %s: reaches SL%d, anchor A%d", s.Keystore.Kind, register, s.Keystore.Level, s.Keystore.Anchor)
	p.line("level       SL%d, anchor A%d", s.Level, s.Anchor)
	p.line("clock       %s, %s", moment(s.Clock.Est), s.Clock.Quality)
	p.line("epoch       %d", s.Epoch)
	p.line("licenses    %d", s.Licenses)
	p.line("records     %d", s.Records)
	for _, o := range s.Outputs {
		lit := "dark"
		if o.Lit {
			lit = "lit, " + o.Protection
		}
		p.line("output      %-14s %s: %s", o.Name, o.Class, lit)
	}
	for _, wall := range s.Walls {
		stands := "does not stand"
		if wall.Stands {
			stands = "stands"
		}
		p.line("wall        %-14s %s: %s", wall.Name, stands, wall.Detail)
	}
	if p.err != nil {
		return fmt.Errorf("print status: %w", p.err)
	}
	return nil
}
