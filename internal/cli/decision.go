package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/trem"
)

// decided prints a refusal with every reason and remedy and ends with status 3.
// Any other error goes on.
func (e *Env) decided(cmd *cobra.Command, err error) error {
	var r *trem.RefusalError
	if !errors.As(err, &r) {
		return err
	}
	report := *e
	if !wantJSON(cmd) {
		report.Stdout = e.Stderr
	}
	if err := report.print(cmd, r.Decision, func(w io.Writer) error { return explain(w, &r.Decision) }); err != nil {
		return err
	}
	return saidNo()
}

// explain says in words what a decision means. What was there and what was
// needed is for --json: it is in the standard's terms.
func explain(w io.Writer, d *license.Decision) error {
	p := printer{w: w}
	switch {
	case d.Allow && d.Tier != 0:
		p.line("It plays here, in %v.", d.Tier)
	case d.Allow:
		p.line("It plays here.")
	default:
		p.line("Not now. Why:")
	}
	for _, r := range d.Reasons {
		p.line("  %s", reason(r))
	}
	for _, s := range httpd.ConfirmsOf(d) {
		p.line("  %s", s)
	}
	for _, r := range d.Reasons {
		switch {
		case r.Code == license.NeedsConfirm && r.Constraint == string(license.Metered):
			p.line("  Add --consent to begin.")
		case r.Code == license.NeedsConfirm:
			p.line("  Add --yes to begin.")
		}
	}
	for _, u := range d.WouldUnlock {
		p.line("  %v would play with %s.", u.Tier, u.Need)
	}
	if n := d.Counters.PlaysLeft; n != nil {
		p.line("  Plays left: %d.", *n)
	}
	return p.err
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2 Jan 2006 15:04 UTC") }

// reason is one line: the code for programs and manuals, then the words.
func reason(r license.Reason) string {
	w := httpd.WordsOf(r)
	s := fmt.Sprintf("%s: %s", r.Code, w.Sentence)
	if r.Code == license.ClockAhead {
		s += fmt.Sprintf(" (%s)", r.Have)
	}
	if w.Help != "" {
		s += " What helps: " + w.Help
	}
	return s
}
