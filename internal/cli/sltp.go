package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

func newSLTPCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sltp",
		Short: "See how a license travels from module to module",
		Example: `  lares sltp trace                  # one exchange, every message field by field
  lares sltp trace --by-reference   # the second one, without certificates
  lares sltp trace --tamper 2       # what becomes of a changed byte`,
	}
	cmd.AddCommand(newSLTPTraceCmd(env))
	return cmd
}

// traceFlags are those of sltp trace.
type traceFlags struct {
	suite       int
	byReference bool
	plain       bool
	tamper      string
	replay      int
}

func newSLTPTraceCmd(env *Env) *cobra.Command {
	var f traceFlags
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Print a session of two modules, message by message",
		Long: `Run a session of SLTP between two modules in this process and print what goes
over the wire: each message in hexadecimal, its fields by the names of
docs/spec/sltp.md, what was encrypted after decryption, and what each side has
proven to the other by then. A home server (the destination) asks a license
issuer (the source) for a film, and once more in the session that follows.

Both are made for this one run, and so are their keys. It shows keys of this
session, which protects nothing; it never shows a private key, and no key of
anybody who exists.

--tamper N changes a byte of the N-th message on its way (1 to 4 are the
exchange, 5 and 6 the session) and shows what its receiver does about it; N:B
says which byte, from 0; without B it is the last. --replay N delivers the
message twice.`,
		Example: `  lares sltp trace
  lares sltp trace --suite -22 --by-reference
  lares sltp trace --tamper 1:10        # a byte of G_X: whose key share is it?
  lares sltp trace --replay 3 --json | jq '.messages[].then'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt, err := f.options()
			if err != nil {
				return err
			}
			t, err := traceSLTP(opt, env.Now().UTC())
			if err != nil {
				return fmt.Errorf("trace: %w", err)
			}
			return env.print(cmd, t, t.text)
		},
	}
	cmd.Flags().IntVar(&f.suite, "suite", int(edhoc.Suite2), "cipher suite: 2, 3, 6 or -22")
	cmd.Flags().BoolVar(&f.byReference, "by-reference", false, "trace the second exchange, where certificates are named by x5t")
	cmd.Flags().BoolVar(&f.plain, "x5chain", false, "send chains as they are, as to a peer that knows no packed ones")
	cmd.Flags().StringVar(&f.tamper, "tamper", "", "change a byte of this message, N or N:B")
	cmd.Flags().IntVar(&f.replay, "replay", 0, "deliver this message twice")
	cmd.MarkFlagsMutuallyExclusive("tamper", "replay")
	return cmd
}

// traceOptions are the flags, understood.
type traceOptions struct {
	suite       sltp.Suite
	byReference bool
	plain       bool // no packed chains
	tamper      int  // number of a message; 0 is none
	at          int  // byte of it; -1 is the last
	replay      int
}

// messagesOfTrace is how many messages a trace has when nothing goes wrong.
const messagesOfTrace = 6

func (f *traceFlags) options() (traceOptions, error) {
	o := traceOptions{suite: sltp.Suite(f.suite), byReference: f.byReference, plain: f.plain, replay: f.replay, at: -1}
	if !o.suite.Known() || o.suite == edhoc.Suite0 {
		return o, usage("%v is not one of SLTP: 2, 3, 6, -22", o.suite)
	}
	if f.replay < 0 || f.replay > messagesOfTrace {
		return o, usage("--replay is the number of a message, 1 to %d", messagesOfTrace)
	}
	if f.tamper == "" {
		return o, nil
	}
	number, at, which := strings.Cut(f.tamper, ":")
	var err1, err2 error
	o.tamper, err1 = strconv.Atoi(number)
	if which {
		o.at, err2 = strconv.Atoi(at)
	}
	if errors.Join(err1, err2) != nil || o.tamper < 1 || o.tamper > messagesOfTrace || which && o.at < 0 {
		return o, usage("--tamper is the number of a message, 1 to %d, and may name a byte: 2:40", messagesOfTrace)
	}
	return o, nil
}

// sltpTrace is what `sltp trace --json` prints.
type sltpTrace struct {
	About       string          `json:"about"`
	Suite       int             `json:"suite"`
	Algorithms  string          `json:"algorithms"`
	ByReference bool            `json:"by_reference"`
	Parties     []tracedParty   `json:"parties"`
	Messages    []tracedMessage `json:"messages"`
	Bytes       int             `json:"bytes"` // of all messages
	Outcome     string          `json:"outcome"`
}

type tracedParty struct {
	Side   string `json:"side"` // destination or source
	Role   string `json:"role"`
	EDHOC  string `json:"edhoc"` // Initiator or Responder
	ID     string `json:"id"`
	X5T    string `json:"x5t"`
	Chain  []int  `json:"chain_bytes"`
	Public string `json:"public_key"`
}

type tracedMessage struct {
	Number  int           `json:"number"`
	Name    string        `json:"name"`
	From    string        `json:"from"`
	To      string        `json:"to"`
	CID     string        `json:"cid,omitempty"` // connection ID that the frame carries beside it
	Bytes   int           `json:"bytes"`
	Hex     string        `json:"hex"`
	Fields  []tracedField `json:"fields"`
	Changed string        `json:"changed,omitempty"`
	Then    []string      `json:"then"` // what its receiver made of it
}

type tracedField struct {
	Name   string        `json:"name"`
	Value  string        `json:"value,omitempty"`
	Note   string        `json:"note,omitempty"`
	Fields []tracedField `json:"fields,omitempty"`
}

// text prints the trace for people.
func (t *sltpTrace) text(w io.Writer) error {
	p := printer{w: w}
	p.line("%s\n", t.About)
	p.line("suite %d: %s", t.Suite, t.Algorithms)
	for _, x := range t.Parties {
		p.line("%-11s %s, EDHOC %s", x.Side, x.Role, x.EDHOC)
		p.line("            ID %s, x5t %s, certificates of %d bytes", x.ID, x.X5T, x.Chain)
	}
	for i := range t.Messages {
		t.Messages[i].text(&p)
	}
	p.line("\n%s", t.Outcome)
	return p.err
}

// hexLine is how many bytes of a message a line shows.
const hexLine = 32

func (m *tracedMessage) text(p *printer) {
	p.line("\n%d  %s   %s -> %s   %d bytes", m.Number, m.Name, m.From, m.To, m.Bytes)
	if m.CID != "" {
		p.line("   for connection %s", m.CID)
	}
	wrapHex(p, "   | ", m.Hex)
	for _, f := range m.Fields {
		f.text(p, "   ")
	}
	if m.Changed != "" {
		p.line("   ! %s", m.Changed)
	}
	for _, s := range m.Then {
		p.line("   => %s", s)
	}
}

// text prints a field, and long values on lines of their own.
func (f *tracedField) text(p *printer, indent string) {
	note := f.Note
	if note != "" {
		note = "   (" + note + ")"
	}
	if len(f.Value) <= 2*hexLine+8 {
		p.line("%s", strings.TrimRight(fmt.Sprintf("%s%-14s %s%s", indent, f.Name, f.Value, note), " "))
	} else {
		p.line("%s%-14s%s", indent, f.Name, note)
		wrapHex(p, indent+"  ", f.Value)
	}
	for _, in := range f.Fields {
		in.text(p, indent+"  ")
	}
}

func wrapHex(p *printer, indent, s string) {
	for ; len(s) > 2*hexLine; s = s[2*hexLine:] {
		p.line("%s%s", indent, s[:2*hexLine])
	}
	p.line("%s%s", indent, s)
}
