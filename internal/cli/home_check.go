package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/service/home"
)

// checkLasts bounds a check that reads every byte: it notes how far it came.
const checkLasts = 7 * 24 * time.Hour

func newHomeCheckCmd(env *Env, dir *string) *cobra.Command {
	var read bool
	cmd := &cobra.Command{
		Use:   "check [TITLE]",
		Short: "Check whether the files of the library are there and as they should be",
		Long: `Look at the files of all films, or of one: what is missing or cut off is found at once.
The house reads all bytes by itself, slowly, and again after 30 days; what it found is
said, too. --read reads them now, as fast as it goes. A reading that is cut off goes on
where it was. Exit status 5 when something is not as it should be, or a folder of the
library is away; with TITLE, when something of that film is not.

What a packed film should be says its content.json; what one of your own should be, the
first reading of it. Nothing is changed.`,
		Args: cobra.MaximumNArgs(1),
		Example: `  lares home check
  lares home check --read
  lares home check urn:film:metropolis --read --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			order := home.CheckOrder{Read: read}
			if len(args) == 1 {
				var err error
				if order.Content, err = contentArg(args[0]); err != nil {
					return err
				}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), checkLasts)
			defer cancel()
			var got home.CheckReport
			if err := askHomeWithin(ctx, *dir, http.MethodPost, "/api/v1/check", order, &got); err != nil {
				return err
			}
			if err := env.print(cmd, got, func(w io.Writer) error { return showCheck(w, &got) }); err != nil {
				return err
			}
			if len(got.Suspects)+len(got.Unpacked)+len(got.Away) > 0 {
				return &exitError{code: statusCheck}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&read, "read", false, "read all bytes now")
	return cmd
}

func showCheck(w io.Writer, r *home.CheckReport) error {
	p := printer{w: w}
	p.line("%s", httpd.FilmsWords(*r))
	for _, s := range r.Suspects {
		found, do := httpd.FaultWords(s)
		p.line("%s (%v)\n  %s\n  %s", s.Title, s.ID, found, do)
	}
	for _, folder := range r.Unpacked {
		p.line("%s\n  content.json cannot be read: copy the folder again from where it came.", folder)
	}
	for _, folder := range r.Away {
		p.line("%s\n  not there now: its films come back with its disk.", folder)
	}
	if p.err != nil {
		return fmt.Errorf("print what was found: %w", p.err)
	}
	return nil
}
