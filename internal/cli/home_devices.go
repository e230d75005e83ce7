package cli

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/service/home"
)

func newHomeDevicesCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "devices",
		Short: "List the devices of the house, and what is set aside for them",
		Long: `List the devices of the house: since when they belong to it, which were not seen for
30 days, and how many plays are set aside where. A device says how many of them it has
used when it gives the rest back: by itself, half of what it has left, when it meets the
house and another device has asked for more.`,
		Example: `  lares home devices
  lares home devices --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := houseDevices(cmd, *dir)
			if err != nil {
				return err
			}
			return env.print(cmd, list, func(w io.Writer) error {
				p := printer{w: w}
				if len(list) == 0 {
					p.line("No device belongs to your house yet: lares device pair.")
				}
				for _, d := range list {
					p.line("%-24s since %s  %v", d.Name, d.Since.Local().Format("2 Jan 2006"), d.ID)
					if d.Lapsed {
						p.line("  not seen since %s: what it holds plays on, and it gets nothing more before it meets the house", d.Seen.Local().Format("2 Jan 2006"))
					}
					for _, a := range d.Aside {
						p.line("  %s", httpd.AsideWords(a, d.Lapsed))
					}
				}
				return p.err
			})
		},
	}
}

func houseDevices(cmd *cobra.Command, dir string) ([]home.Listed, error) {
	var got struct {
		Devices []home.Listed `json:"devices"`
	}
	err := askHome(cmd.Context(), dir, http.MethodGet, "/api/v1/devices", nil, &got)
	return got.Devices, err
}

// houseDevice finds a device of the house by its name or ID.
func houseDevice(cmd *cobra.Command, dir, name string) (home.Listed, error) {
	list, err := houseDevices(cmd, dir)
	if err != nil {
		return home.Listed{}, err
	}
	var hit []home.Listed
	for _, d := range list {
		if d.Name == name || d.ID.String() == name {
			hit = append(hit, d)
		}
	}
	switch {
	case len(hit) == 0:
		return home.Listed{}, usage("%q is no device of the house: lares home devices", name)
	case len(hit) > 1:
		return home.Listed{}, usage("several devices are called %q: use the ID, which lares home devices shows", name)
	}
	return hit[0], nil
}

func newHomeRemoveCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "remove DEVICE",
		Short: "Put a device out of the house, by its name or ID: it gets nothing more",
		Long: `Put a device out of the house, because it is lost or was sold. It gets nothing more
from the house, and what the house buys from now on does not play there. What is on it
already goes on playing. A device that you still have in your hands better leaves by
itself (lares device leave): then what was set aside there comes back.`,
		Example: `  lares home remove "Old tablet"
  lares home remove 1f0c9e5b7a3d4c2e8f6a0b1c2d3e4f50 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := houseDevice(cmd, *dir, args[0])
			if err != nil {
				return err
			}
			if err := askHome(cmd.Context(), *dir, http.MethodDelete, "/api/v1/devices/"+d.ID.String(), nil, nil); err != nil {
				return err
			}
			return env.print(cmd, d, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is not of your house any more.\n", d.Name)
				return err
			})
		},
	}
}
