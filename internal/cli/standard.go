package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares"
)

// statement is one row of docs/standard.md, which is the only source of it.
type statement struct {
	ID            string   `json:"id"`
	Section       string   `json:"section"`
	Statement     string   `json:"statement"`
	Mark          string   `json:"mark"` // S, A, P or L, as the page explains
	Package       string   `json:"package"`
	Specification string   `json:"specification"`
	Command       string   `json:"command"`
	Tests         []string `json:"tests"`
	Status        string   `json:"status"` // done, narrow or planned
	Note          string   `json:"note,omitempty"`
}

// standardColumns are the cells of a row of docs/standard.md.
const standardColumns = 8

func newStandardCmd(env *Env) *cobra.Command {
	var status string
	cmd := &cobra.Command{
		Use:   "standard [ID]",
		Short: "Print what the standard says, where it is in Lares and what shows it",
		Long: `Prints docs/standard.md: one row for each statement of IEC TS 62224 and its
family, with its certainty (S seen in the text, A in an article, P in patents
of the ancestors, L our own), its package, the command that shows it and its
tests. An ID or the beginning of one selects rows.`,
		Example: `  lares standard
  lares standard SLTP             # the rows of the transaction protocol
  lares standard --status planned # what is not there yet
  lares standard --json | jq '.rows[] | select(.mark == "S") | .id'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rows, err := parseStandard(lares.Standard)
			if err != nil {
				return err
			}
			rows = selectRows(rows, strings.Join(args, ""), status)
			if len(rows) == 0 {
				return usage("no row is called %q with status %q", strings.Join(args, ""), status)
			}
			answer := struct {
				Rows []statement `json:"rows"`
			}{rows}
			return env.print(cmd, answer, func(w io.Writer) error { return printStandard(w, rows) })
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only rows that are done, narrow or planned")
	return cmd
}

func selectRows(rows []statement, id, status string) []statement {
	var out []statement
	for _, r := range rows {
		series, _, _ := strings.Cut(r.ID, "-")
		if (id == "" || strings.EqualFold(r.ID, id) || strings.EqualFold(series, id)) && (status == "" || r.Status == status) {
			out = append(out, r)
		}
	}
	return out
}

func printStandard(w io.Writer, rows []statement) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	section := ""
	counts := map[string]int{}
	for _, r := range rows {
		if r.Section != section {
			section = r.Section
			fmt.Fprintf(tw, "\n%s\n", section)
		}
		counts[r.Status]++
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\tlares %s\n", r.ID, r.Mark, r.Status, r.Package, r.Command)
		for _, line := range wrap(r.Statement, 96) {
			fmt.Fprintf(tw, "    %s\n", line)
		}
		if r.Note != "" {
			for _, line := range wrap(r.Status+": "+r.Note, 96) {
				fmt.Fprintf(tw, "    %s\n", line)
			}
		}
	}
	fmt.Fprintf(tw, "\n%d rows: %d done, %d narrow, %d planned. Tests and specification pages: --json, or docs/standard.md.\n",
		len(rows), counts["done"], counts["narrow"], counts["planned"])
	return tw.Flush()
}

// wrap breaks text at blanks into lines of at most width bytes, words longer
// than that left whole.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// parseStandard reads the tables of docs/standard.md.
func parseStandard(text string) ([]statement, error) {
	var rows []statement
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = title
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ID ") || strings.HasPrefix(line, "|--") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != standardColumns {
			return nil, fmt.Errorf("docs/standard.md: %d cells instead of %d in %q", len(cells), standardColumns, line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		status, note, _ := strings.Cut(cells[7], ": ")
		tests := strings.Fields(strings.TrimSuffix(cells[6], "-")) // a dash: none yet
		rows = append(rows, statement{
			ID: cells[0], Section: section, Statement: cells[1], Mark: cells[2], Package: cells[3],
			Specification: cells[4], Command: cells[5], Tests: tests, Status: status, Note: note,
		})
	}
	return rows, nil
}
