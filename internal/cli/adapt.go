package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/interconnect/adapt/clearkey"
	"github.com/lares-drm/lares/interconnect/adapt/cpix"
	"github.com/lares-drm/lares/interconnect/adapt/hls"
	"github.com/lares-drm/lares/interconnect/adapt/lcp"
	"github.com/lares-drm/lares/interconnect/adapt/odrl"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// adapters are those that the programs speak, by name.
func adapters() []adapt.Adapter {
	return []adapt.Adapter{clearkey.Adapter{}, cpix.Adapter{}, hls.Adapter{}, lcp.Adapter{}, odrl.Adapter{}}
}

func newAdaptCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "adapt",
		Short: "List other DRM systems and formats, and translate licenses to and from them",
		Long: `List the adapters to other systems and what each can do, and translate. Nothing
is ever widened: what a system cannot keep is narrowed, dropped or refused, and
each loss is named.`,
		Example: `  lares adapt list
  lares adapt convert --from odrl policy.jsonld
  lares adapt convert --to lcp film.license
  lares adapt keys film.cpix --cert packer.pem --key packer.key --to delivery.der --out keys.lkd`,
	}
	cmd.AddCommand(newAdaptListCmd(env), newAdaptConvertCmd(env), newAdaptKeysCmd(env))
	return cmd
}

func newAdaptListCmd(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the adapters and what each can do",
		Long: `List the adapters: what the other side enforces itself, what the house keeps
while it feeds a player (of a live system), whether documents of the system are
read, and where its players have their keys from.`,
		Example: `  lares adapt list
  lares adapt list --json | jq '.adapters[] | select(.imports) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := struct {
				Adapters []adapt.System `json:"adapters"`
			}{}
			for _, a := range adapters() {
				out.Adapters = append(out.Adapters, a.System())
			}
			return env.print(cmd, out, func(w io.Writer) error { return printAdapters(w, out.Adapters) })
		},
	}
}

func printAdapters(w io.Writer, all []adapt.System) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tSPEAKS\tREADS RIGHTS\tENFORCES\tHELD BY THE HOUSE")
	for _, s := range all {
		reads, enforces, held := "no", strings.Join(s.Enforces, " "), "nothing"
		if s.Imports {
			reads = "yes"
		}
		if enforces == "" {
			enforces = "nothing"
		}
		if s.Live {
			held = fmt.Sprintf("all %d conditions, while it feeds", len(s.Holds))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", s.Name, s.Version, reads, enforces, held)
	}
	return tw.Flush()
}

// converted is what `adapt convert --json` prints.
type converted struct {
	System    string          `json:"system"`
	Terms     string          `json:"terms,omitempty"`  // of an import: text form of the permission code
	Policy    *license.Policy `json:"policy,omitempty"` // of an import: the strictest reading
	About     string          `json:"about,omitempty"`
	MediaType string          `json:"media_type,omitempty"` // of an export
	Artifact  string          `json:"artifact,omitempty"`
	Request   *ident.Request  `json:"request,omitempty"` // of a debit: the same one again costs nothing
	Loss      adapt.Loss      `json:"loss"`
}

// convertFlags say what is translated, and who holds it.
type convertFlags struct {
	from, to, dir, request string
	plays                  uint64
}

func newAdaptConvertCmd(env *Env) *cobra.Command {
	var f convertFlags
	cmd := &cobra.Command{
		Use:   "convert FILE|TITLE",
		Short: "Translate a document of another system, or a license for it",
		Long: `With --from, read a document of another system and print the terms that it
comes to: a proposal, which grants nothing. With --to, write a license for
another system; its export condition must name the system. What is lost goes to
standard error. FILE may be - for standard input.

A license that is counted needs the module that holds it: give a title and, with
--dir, the folder of the home server or of the device. The module takes the plays
out of the license first, for good, signs what leaves, and only then it is
written. The request's ID goes to standard error before: with --request the same
request has the same answer and costs nothing more, whatever was cut off.`,
		Example: `  lares adapt convert --from odrl policy.jsonld
  lares adapt convert --to odrl film.license > film.jsonld
  lares adapt convert --to odrl --dir ./house --plays 2 rental > rental.jsonld
  lares adapt convert --to lcp film.license --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, env, args[0]) },
	}
	cmd.Flags().StringVar(&f.from, "from", "", "system whose document FILE is")
	cmd.Flags().StringVar(&f.to, "to", "", "system that the license is written for")
	cmd.Flags().StringVar(&f.dir, "dir", "", "folder of the home server or device that holds the title")
	cmd.Flags().StringVar(&f.request, "request", "", "with --dir: ID of a request that may have been debited; default a new one")
	cmd.Flags().Uint64Var(&f.plays, "plays", 0, "with --dir: plays that go, where the other system counts (default 1)")
	return cmd
}

func (f *convertFlags) run(cmd *cobra.Command, env *Env, arg string) error {
	if (f.from == "") == (f.to == "") || f.dir == "" && (f.request != "" || f.plays != 0) || f.from != "" && f.dir != "" {
		return usage("give one of --from and --to, and --request and --plays with --to and --dir only")
	}
	a, err := adapterOf(f.from + f.to)
	if err != nil {
		return err
	}
	out := &converted{System: f.from + f.to, Loss: adapt.Loss{}}
	switch {
	case f.from != "":
		err = env.importDocument(cmd, a, arg, out)
	case f.dir != "":
		err = f.relay(cmd, env, a, arg, out)
	default:
		err = env.exportLicense(cmd, a, arg, out)
	}
	if err != nil {
		return env.decided(cmd, conversion(err))
	}
	return env.print(cmd, out, func(w io.Writer) error { return out.text(w, env.Stderr) })
}

func adapterOf(name string) (adapt.Adapter, error) {
	all := adapters()
	i := slices.IndexFunc(all, func(a adapt.Adapter) bool { return a.System().Name == name })
	if i < 0 {
		return nil, usage("no adapter is called %q (lares adapt list)", name)
	}
	return all[i], nil
}

// conversion gives what an adapter refuses the status of a refusal.
func conversion(err error) error {
	for _, no := range []error{adapt.ErrNotExportable, adapt.ErrNoRights, adapt.ErrUnknown, license.ErrNoRight} {
		if errors.Is(err, no) {
			return refused("%w", err)
		}
	}
	return notNow(err)
}

// maxForeign bounds a document of another system, in bytes. Source: local.
const maxForeign = 2 << 20

func (e *Env) importDocument(cmd *cobra.Command, a adapt.Adapter, name string, out *converted) error {
	doc, err := e.read(name, maxForeign)
	if err != nil {
		return err
	}
	p, err := a.Import(cmd.Context(), doc)
	if err != nil {
		return err
	}
	units, err := permission.Parse(p.Code)
	if err != nil {
		return fmt.Errorf("read the proposal: %w", err)
	}
	out.Terms, out.Policy, out.About, out.Loss = units.Text(), &p.Policy, p.About, append(out.Loss, p.Loss...)
	return nil
}

func (e *Env) exportLicense(cmd *cobra.Command, a adapt.Adapter, name string, out *converted) error {
	lic, err := e.license(name)
	if err != nil {
		return err
	}
	if w := lic.Whole(); !a.System().Live && (w.Plays != 0 || w.MS != 0) {
		return refused("the license is counted: only the module that holds it can take a play out of it: give --dir, its folder, and the title")
	}
	art, loss, err := a.Export(cmd.Context(), lic)
	if err != nil {
		return err
	}
	out.MediaType, out.Artifact, out.Loss = art.MediaType, string(art.Body), append(out.Loss, loss...)
	return nil
}

// text prints the result alone on w, so that it can go to a file.
func (c *converted) text(w, notes io.Writer) error {
	for _, l := range c.Loss {
		fmt.Fprintf(notes, "%s %s: %s\n", l.Right, l.Effect, l.Words)
	}
	if c.Terms == "" {
		_, err := fmt.Fprintln(w, strings.TrimSuffix(c.Artifact, "\n"))
		return err
	}
	policy, err := json.Marshal(c.Policy)
	if err != nil {
		return err
	}
	fmt.Fprintf(notes, "policy: %s\n", policy)
	_, err = fmt.Fprintln(w, c.Terms)
	return err
}
