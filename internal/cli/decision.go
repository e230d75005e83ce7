package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

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
	return said(statusRefused)
}

// explain says in words what a decision means.
func explain(w io.Writer, d *license.Decision) error {
	p := printer{w: w}
	if d.Allow {
		p.line("Allowed: %v, %v.", d.Action, d.Tier)
	} else {
		p.line("Not now. Why:")
	}
	for _, r := range d.Reasons {
		p.line("  %s", reason(r))
	}
	for _, c := range d.Confirm {
		if c.Kind == license.StartsInterval && c.Until > 0 {
			p.line("  Playing starts a period that ends %s; add --yes to begin.", moment(c.Until))
		}
	}
	for _, u := range d.WouldUnlock {
		p.line("  %v would play with %s.", u.Tier, u.Need)
	}
	for _, n := range d.Notes {
		p.line("  Note: %s", n)
	}
	if d.Counters.PlaysLeft != nil {
		p.line("  Plays left: %d.", *d.Counters.PlaysLeft)
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
	s := fmt.Sprintf("%s: %s", r.Code, words(r))
	if r.Earliest > 0 {
		s += " From " + moment(r.Earliest) + "."
	}
	if help := remedies()[r.Remedy]; help != "" {
		s += " " + help
	}
	return s
}

func words(r license.Reason) string {
	text, ok := reasons()[r.Code]
	if !ok {
		text = "the conditions of your copy do not hold."
	}
	if r.Have != "" || r.Need != "" {
		text += fmt.Sprintf(" (there is %q, needed is %q)", r.Have, r.Need)
	}
	return text
}

func reasons() map[license.Code]string {
	return map[license.Code]string{
		license.NoGrant:            "this device holds no copy that allows it.",
		license.NotYet:             "the time for it has not come.",
		license.Expired:            "its time is over.",
		license.IntervalOver:       "the period that began with the first play is over.",
		license.CountExhausted:     "all plays are used.",
		license.TimeExhausted:      "all of its playing time is used.",
		license.ClockStale:         "I do not know the time: connect to the house once.",
		license.StateClockConflict: "the time is before this copy's own first use.",
		license.StateRolledBack:    "an old state came back and was brought up to date.",
		license.Region:             "it is not for this region.",
		license.OutputCode:         "the display or connection is not protected enough.",
		license.KeyNotGranted:      "this picture quality is not part of your copy.",
		license.TREMLevel:          "it needs a more secure player than this device has.",
		license.RevokedCode:        "it was withdrawn by the safety list.",
		license.SubjectMismatch:    "this copy belongs to another house or device.",
		license.NeedsConfirm:       "it needs your consent first.",
		license.UnknownCritical:    "it has a condition that this version does not know.",
		license.StatusStale:        "the safety list here is old.",
		license.BadSignature:       "this copy is not genuine.",
	}
}

func remedies() map[license.Remedy]string {
	return map[license.Remedy]string{
		license.SyncTime:       "What helps: connect once, so that the time is known.",
		license.Renew:          "What helps: renew it.",
		license.ConnectDisplay: "What helps: a protected display or connection.",
		license.WaitUntil:      "What helps: waiting.",
		license.Buy:            "What helps: get it (lares device get), or buy or rent it again.",
		license.Contact:        "What helps: ask the shop.",
		license.MoveInstead:    "What helps: move it instead of copying.",
	}
}
