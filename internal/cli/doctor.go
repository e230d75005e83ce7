package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/internal/care"
)

// examined is what `doctor --json` prints of one folder.
type examined struct {
	Folder string     `json:"folder"`
	Kind   care.Kind  `json:"kind"`
	Worst  care.Mark  `json:"worst"`
	Rows   []care.Row `json:"rows"`
}

// doctor collects the facts about folders.
type doctor struct {
	env  *Env
	ca   string // the authority, when it was named
	wait time.Duration
	find func(context.Context, time.Duration) ([]dnssd.Found, error)
}

func newDoctorCmd(env *Env) *cobra.Command {
	var dirs []string
	doc := &doctor{env: env, wait: findWait, find: dnssd.Find}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look whether house, device, shop or authority are in order, and what to do if not",
		Long: `Look at a folder and what it needs: clock, rights of files, space, flush time,
port, discovery, certificate, safety list, shop and authority, walls of the
secure player, databases. Each is ok, warn or fail, with what to do. It changes
nothing, and may run while the server runs.

Without --dir it looks at all folders of this user: house, device, shop and
authority. Status 5 when a check fails; a warning is none.`,
		Example: `  lares doctor
  lares doctor --dir /var/lib/lares/home --ca http://ca.example:7700
  lares doctor --dir ./tablet --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := doc.examine(cmd.Context(), dirs)
			if err != nil {
				return err
			}
			views := make([]examined, 0, len(all))
			for _, f := range all {
				rows := care.Judge(f)
				views = append(views, examined{Folder: f.Dir, Kind: f.Kind, Worst: care.Worst(rows), Rows: rows})
			}
			if err := env.print(cmd, views, func(w io.Writer) error { return describeRows(w, views) }); err != nil {
				return err
			}
			return sick(views)
		},
	}
	cmd.Flags().StringSliceVar(&dirs, "dir", nil, "folder of a house, device, shop, authority or secure player; default: those of this user")
	cmd.Flags().StringVar(&doc.ca, "ca", "", "URL of the authority of a house, to see whether it answers")
	return cmd
}

// sick is the error of folders with a check that fails.
func sick(views []examined) error {
	var which []string
	for _, v := range views {
		if v.Worst == care.Fail {
			which = append(which, v.Folder)
		}
	}
	if len(which) > 0 {
		return check("not in order: %s", strings.Join(which, ", "))
	}
	return nil
}

func describeRows(w io.Writer, views []examined) error {
	p := printer{w: w}
	for i, v := range views {
		if i > 0 {
			p.line("")
		}
		p.line("%s %s", v.Kind, v.Folder)
		for _, r := range v.Rows {
			p.line("  %-4s  %-20s %s", r.Mark, r.Check, r.Found)
			if r.Do != "" {
				p.line("  %-4s  %-20s → %s", "", "", r.Do)
			}
		}
	}
	return p.err
}

// examine collects the facts about the named folders, or those of this user.
func (d *doctor) examine(ctx context.Context, dirs []string) ([]*care.Facts, error) {
	if len(dirs) == 0 {
		for _, kind := range []string{"home", "device", "issuer", "ca"} {
			if _, err := os.Stat(defaultDir(kind)); err == nil {
				dirs = append(dirs, defaultDir(kind))
			}
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("there is no house, device, shop or authority of this user; name a folder with --dir")
	}
	var all []*care.Facts
	for _, dir := range dirs {
		f, err := d.facts(ctx, dir)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}
