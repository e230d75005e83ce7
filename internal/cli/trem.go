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
	cmd.PersistentFlags().StringVar(&dir, "dir", "", "the module's folder (required)")
	_ = cmd.MarkPersistentFlagRequired("dir")
	cmd.AddCommand(&cobra.Command{
		Use:   "init",
		Short: "Make a module's keys and its empty store",
		Long: `Make the keys of a trusted module in a folder, in software (level SL1): a file
sealed under a secret beside it. A software module does not resist the
administrator of its machine, and its certificate says so.`,
		Example: `  lares trem init --dir ~/.local/share/lares/trem
  lares trem init --dir ./trem --json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return tremStatus(cmd, env, dir) },
	}, &cobra.Command{
		Use:   "status",
		Short: "Show a module's role, clock, walls and counts",
		Example: `  lares trem status --dir ~/.local/share/lares/trem
  lares trem status --dir ./trem --json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return tremStatus(cmd, env, dir) },
	})
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
