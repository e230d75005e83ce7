package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/revocation/spread"
)

// maxParameters is the longest file of parameters in bytes.
const maxParameters = 1 << 16

type simulateFlags struct {
	svg     string
	devices int
	seed    uint64
}

func newCASimulateCmd(env *Env) *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate [FILE]",
		Short: "Simulate how a revocation reaches households and their devices, and how long it takes",
		Long: `Simulate households and devices to which a new revocation state comes: directly,
through their home server, by visits, and with content. For each of these, added
to those before, it prints the days until 50, 90 and 99 % of the devices have
it, what stale devices are used for meanwhile, and the bytes it costs.

FILE has the parameters (- is standard input); without one those of
docs/spec/spread.md are taken. The same parameters give the same bytes. Ten
million devices take a minute or two and 300 MB.`,
		Example: `  lares ca simulate
  lares ca simulate town.json --svg spread.svg
  lares ca simulate --devices 10000000 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := f.parameters(cmd, env, strings.Join(args, ""))
			if err != nil {
				return err
			}
			return env.spread(cmd, p, f.svg)
		},
	}
	cmd.Flags().StringVar(&f.svg, "svg", "", "file to draw the curves into")
	cmd.Flags().IntVar(&f.devices, "devices", 0, "simulate so many devices instead")
	cmd.Flags().Uint64Var(&f.seed, "seed", 0, "take this seed instead")
	return cmd
}

func (f *simulateFlags) parameters(cmd *cobra.Command, env *Env, name string) (p spread.Parameters, err error) {
	var data []byte
	switch name {
	case "":
		p = spread.Example()
	case "-":
		data, err = io.ReadAll(io.LimitReader(env.Stdin, maxParameters))
	default:
		data, err = readMost(name, maxParameters)
	}
	if err != nil {
		return p, fmt.Errorf("read the parameters: %w", err)
	}
	if name != "" {
		if p, err = spread.Parse(data); err != nil {
			return p, usage("%s: %w (docs/spec/spread.md has all keys)", name, err)
		}
	}
	if cmd.Flags().Changed("devices") {
		p.Devices = f.devices
	}
	if cmd.Flags().Changed("seed") {
		p.Seed = f.seed
	}
	return p, nil
}

func (e *Env) spread(cmd *cobra.Command, p spread.Parameters, svg string) error {
	bar := progress{env: e, start: e.Now(), line: func(done, total int64, _ time.Duration) string {
		return fmt.Sprintf("simulating %3d %%", done*100/total)
	}}
	var watch func(spread.Strategy, int)
	if show := bar.show(); show != nil {
		n := int64(len(spread.Strategies()))
		watch = func(s spread.Strategy, day int) { show(int64(s)*int64(p.Days)+int64(day), n*int64(p.Days)) }
	}
	r, err := spread.Run(p, watch)
	bar.end()
	if errors.Is(err, spread.ErrParameters) {
		return usage("%w", err)
	}
	if err != nil {
		return err
	}
	if svg != "" {
		if err := os.WriteFile(svg, []byte(r.SVG()), 0o644); err != nil {
			return fmt.Errorf("draw: %w", err)
		}
	}
	return e.print(cmd, r, func(w io.Writer) error { return spreadTable(w, r) })
}

func spreadTable(w io.Writer, r *spread.Result) error {
	p := printer{w: w}
	p.line("%d devices in %d households, %d of which have a home server; %d days, seed %d", r.Parameters.Devices, r.Households, r.Servers, r.Parameters.Days, r.Parameters.Seed)
	p.line("")
	p.line("%-30s %8s %8s %8s %8s %12s %12s %6s %8s %8s", "days until devices have it", "50 %", "90 %", "99 %", "in the", "stale uses", "refused", "uses", "bytes", "bytes")
	p.line("%-30s %8s %8s %8s %8s %12s %12s %6s %8s %8s", "", "", "", "", "end", "(old titles)", "(new ones)", "of new", "a device", "a server")
	for _, o := range r.Strategies {
		p.line("%-30s %8s %8s %8s %6.1f %% %12d %12d %6d %8.0f %8.0f", o.Strategy, days(o.Days50), days(o.Days90), days(o.Days99), 100*o.Reached,
			o.StaleUses, o.Refused, o.PostUses, o.BytesPerDevice, o.BytesPerServer)
	}
	return p.err
}

func days(d *float64) string {
	if d == nil {
		return "never"
	}
	return fmt.Sprintf("%.1f", *d)
}
