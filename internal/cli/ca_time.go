package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/trem"
)

// timeReset is what `ca time-reset --json` prints.
type timeReset struct {
	File  string    `json:"file"`
	Class pki.Class `json:"class"` // 0: all
	Most  time.Time `json:"most"`
}

func newCATimeResetCmd(env *Env, dir *string) *cobra.Command {
	var class uint32
	var most, out string
	cmd := &cobra.Command{
		Use:   "time-reset",
		Short: "Sign a file that leads clocks back which were led into the future",
		Long: `A secure player's clock never goes back by itself: a time signer that was wrong,
or whose key was stolen, leaves it too far ahead, and licenses end too early. The
file of this command, signed by the root, is the one way back: no clock of the
class stays above the given time. A player obeys it once (lares trem learn), and
then asks for the time again.`,
		Example: `  lares ca time-reset --most 2026-11-28T12:00:00Z --out reset.bin
  lares ca time-reset --most 2026-11-28T12:00:00Z --class 4097 --out reset.bin --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := time.Parse(time.RFC3339, most)
			if err != nil {
				return usage("--most %q is no time such as 2026-11-28T12:00:00Z", most)
			}
			var data []byte
			err = withAuthority(*dir, func(a *authority.Authority) (err error) {
				data, err = a.TimeReset(pki.Class(class), at, env.Now())
				return err
			})
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, data, 0o644); err != nil {
				return fmt.Errorf("write the reset: %w", err)
			}
			return env.print(cmd, timeReset{File: out, Class: pki.Class(class), Most: at}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s leads clocks back to %s at most. On each machine: lares trem learn --reset %s --dir ITS-FOLDER/trem\n", out, at.UTC().Format(time.RFC3339), out)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&most, "most", "", "the time that no clock stays above, such as 2026-11-28T12:00:00Z (required)")
	cmd.Flags().Uint32Var(&class, "class", 0, "the class of the modules it is for; 0 = all")
	cmd.Flags().StringVar(&out, "out", "", "file to write (required)")
	_ = cmd.MarkFlagRequired("most")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

func newTREMLearnCmd(env *Env, dir *string) *cobra.Command {
	var reset string
	cmd := &cobra.Command{
		Use:   "learn",
		Short: "Show a module a file of the authority's root that leads its clock back",
		Example: `  lares trem learn --reset reset.bin --dir ~/.local/share/lares/device/trem
  lares trem learn --reset reset.bin --dir ./trem --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := os.ReadFile(reset)
			if err != nil {
				return err
			}
			module, stop, err := startTREM(*dir)
			if err != nil {
				return err
			}
			defer stop() //nolint:errcheck // the module ends with its socket
			if err := module.Learn(cmd.Context(), trem.Learned{TimeReset: data}); err != nil {
				return err
			}
			s, err := module.Status(cmd.Context())
			if err != nil {
				return err
			}
			return env.print(cmd, s.Clock, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "The clock stands at %s, %s.\n", moment(s.Clock.Est), s.Clock.Quality)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reset, "reset", "", "file of lares ca time-reset (required)")
	_ = cmd.MarkFlagRequired("reset")
	return cmd
}
