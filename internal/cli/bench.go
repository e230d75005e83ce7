package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/bench"
)

// maxBench is how long a bench may take without --full. Source: local
// (docs/performance.md).
const maxBench = 10 * time.Minute

func newBenchCmd(env *Env) *cobra.Command { return benchCmd(env, bench.All()) }

// benchCmd has one sub-command for each bench.
func benchCmd(env *Env, all []bench.Bench) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a part of Lares and hold the figures against bars",
		Long: `Measure a part of Lares on this machine, now. Each row is a figure of this run;
times are CPU time, medians of turns that the rows take. A row with a bar holds
or does not. docs/performance.md says what the rows are.`,
		Example: `  lares bench license
  lares bench license --json | jq '.rows[] | select(.bar)'
  lares bench license --gate      # exit status 5 when a row does not hold`,
	}
	var f benchFlags
	cmd.Args = unknownCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.gate || f.full {
			return usage("give the name of a bench") // a gate must not pass without a figure
		}
		return cmd.Help()
	}
	cmd.PersistentFlags().BoolVar(&f.gate, "gate", false, "exit with status 5 when a row does not hold")
	cmd.PersistentFlags().BoolVar(&f.full, "full", false, "measure longer, for figures to be kept")
	for _, b := range all {
		cmd.AddCommand(newBenchNameCmd(env, b, &f))
	}
	cmd.AddCommand(benchWorkers(env)...)
	return cmd
}

// benchWorkers are what benches start as processes of their own.
func benchWorkers(env *Env) []*cobra.Command {
	return []*cobra.Command{
		{
			Use: "content-peer", Hidden: true, Args: cobra.ArbitraryArgs,
			RunE: func(cmd *cobra.Command, args []string) error { return bench.ContentPeer(cmd.Context(), args) },
		},
		{
			Use: "issuer-load", Hidden: true, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return bench.IssuerLoad(cmd.Context(), env.Stdin, env.Stdout)
			},
		},
		{
			Use: "issuer-ceiling", Hidden: true, Args: cobra.ExactArgs(3),
			RunE: func(cmd *cobra.Command, args []string) error {
				return bench.IssuerCeiling(cmd.Context(), args[0], args[1], args[2], env.Stdout)
			},
		},
	}
}

type benchFlags struct {
	gate, full bool
	peers      map[string]string
	store      string
	files      map[string]string
}

func newBenchNameCmd(env *Env, b bench.Bench, f *benchFlags) *cobra.Command {
	path := "  lares bench " + b.Name
	files := map[string]*string{}
	cmd := &cobra.Command{
		Use:     b.Name,
		Short:   b.Short,
		Example: path + "\n" + path + " --json > today.json\n" + path + " --gate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			for name := range f.peers {
				if !slices.Contains(b.Peers, name) {
					return usage("bench %s compares with %s, not with %q", b.Name, strings.Join(b.Peers, ", "), name)
				}
			}
			if len(b.Stores) > 0 && !slices.Contains(b.Stores, f.store) {
				return usage("--store: want %s", strings.Join(b.Stores, " or "))
			}
			for name, path := range files {
				if *path == "" {
					continue
				}
				if f.files == nil {
					f.files = map[string]string{}
				}
				f.files[name] = *path
			}
			return env.bench(cmd, b, f)
		},
	}
	for _, file := range b.Files {
		files[file.Name] = cmd.Flags().String(file.Name, "", file.Usage)
	}
	if len(b.Stores) > 0 {
		cmd.Flags().StringVar(&f.store, "store", b.Stores[0], "database: "+strings.Join(b.Stores, " or "))
	}
	if len(b.Peers) > 0 {
		cmd.Flags().StringToStringVar(&f.peers, "peer", nil, "where a peer is, NAME=PATH: "+strings.Join(b.Peers, ", "))
	}
	return cmd
}

// bench runs one bench and prints its report.
func (e *Env) bench(cmd *cobra.Command, b bench.Bench, f *benchFlags) error {
	ctx := cmd.Context()
	if !f.full {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxBench)
		defer cancel()
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	rows, err := b.Run(ctx, bench.Config{Full: f.full, Peers: f.peers, Program: program, Store: f.store, Files: f.files, Say: e.Stderr, Start: spawnTREM})
	if err != nil {
		return fmt.Errorf("bench %s: %w", b.Name, err)
	}
	r := bench.Report{Machine: bench.Machine(), Commit: buildVersion().short(), Date: e.Now().UTC().Format(time.RFC3339), Rows: rows}
	if err := e.print(cmd, r, func(w io.Writer) error { return printBench(w, &r) }); err != nil {
		return err
	}
	if n := r.Fails(); f.gate && n > 0 {
		return check("bench %s: %d of %d rows do not hold", b.Name, n, len(rows))
	}
	return nil
}

func printBench(w io.Writer, r *bench.Report) error {
	var table strings.Builder
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, row := range r.Rows {
		value, verdict := figure(row.Value)+" "+row.Unit, ""
		if row.Note != "" {
			value = row.Note
		}
		switch {
		case !row.Holds:
			verdict = "DOES NOT HOLD"
		case row.Bar != "":
			verdict = "holds"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", row.Name, value, row.Bar, verdict)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\ncommit %s, %s\n\n", r.Machine, r.Commit, r.Date)
	for line := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// figure prints a whole number whole, and others with three digits or more.
func figure(v float64) string {
	switch {
	case v == float64(int64(v)), v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10 || v <= -10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}
