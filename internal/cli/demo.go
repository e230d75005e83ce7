package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"
)

func newDemoCmd(env *Env) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A whole house on this machine, with a film to play",
		Long: `Start a whole house on loopback: certification authorities, a license issuer,
a home server, three devices and a film under eight rights: bought until a day,
rented and not begun, begun, with one play left, lent out, borrowed until Sunday,
in UHD on protected screens only, and on a device that is not trusted any more.
It prints one URL; opening it shows the household's library and plays the film
in the browser. Ctrl-C stops everything and leaves nothing behind.

With --check it runs the story of a license unattended instead: from the
authority to the third play that is refused, what the house says of each title,
revocation, a crash and a restart, and what lares doctor finds.
It prints a line per step with what it proved and ends with status 5 at the
first step that does not hold.`,
		Example: `  lares demo
  lares demo --listen 127.0.0.1:7710
  lares demo --check --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.check {
				return demoCheck(cmd, env)
			}
			return demoServe(cmd.Context(), env, f)
		},
	}
	cmd.Flags().BoolVar(&f.check, "check", false, "run the story unattended and prove each step")
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:0", "address of the house's page")
	cmd.Flags().StringVar(&f.dir, "dir", "", "keep the house's state in this folder; default: a temporary one")
	return cmd
}

type demoFlags struct {
	check       bool
	listen, dir string
}

// demoServe runs a house until ctx ends.
func demoServe(ctx context.Context, env *Env, f demoFlags) (err error) {
	dir, clean, err := demoDir(f.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	h, err := newHouse(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	fmt.Fprintln(env.Stderr, "Building the house: authorities, shop, home server, three devices, eight titles …")
	d := &demo{house: h, listen: f.listen}
	if err := d.build(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // Ctrl-C while it was being built
		}
		return err
	}
	fmt.Fprintf(env.Stdout, "%s\n", d.homeURL)
	tell(env.Stderr, d.homeURL)
	<-ctx.Done()
	fmt.Fprintln(env.Stderr, "\nStopping …")
	return nil
}

// tell says how to open the page, here and over ssh: browsers play protected
// streams on localhost or HTTPS only.
func tell(w io.Writer, page string) {
	u, err := url.Parse(page)
	if err != nil {
		return
	}
	p := printer{w: w}
	p.line("\nYour house is open: %s", page)
	if os.Getenv("SSH_CONNECTION") != "" {
		p.line("You are on ssh. On your own machine run\n  ssh -L %s:127.0.0.1:%s %s\nand open http://localhost:%s/ there.", u.Port(), u.Port(), hostname(), u.Port())
	}
	p.line("Ctrl-C stops everything and leaves nothing behind.")
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "this-machine"
	}
	return name
}

func demoDir(wanted string) (dir string, clean func() error, err error) {
	if wanted != "" {
		return wanted, func() error { return nil }, os.MkdirAll(wanted, 0o700)
	}
	dir, err = os.MkdirTemp("", "lares-demo-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

// proof is one line of `demo --check`.
type proof struct {
	Step   int    `json:"step"`
	Name   string `json:"name"`
	Holds  bool   `json:"holds"`
	Proved string `json:"proved,omitempty"`
	Failed string `json:"failed,omitempty"`
}

// demoCheck runs the story, a line a step.
func demoCheck(cmd *cobra.Command, env *Env) (err error) {
	dir, clean, err := demoDir("")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	h, err := newHouse(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	d := &demo{house: h, listen: "127.0.0.1:0"}
	var proofs []proof
	for i, step := range d.story() {
		p := proof{Step: i + 1, Name: step.name}
		proved, failed := step.run(cmd.Context())
		p.Proved, p.Holds = proved, failed == nil
		if failed != nil {
			p.Failed = failed.Error()
		}
		proofs = append(proofs, p)
		if !wantJSON(cmd) {
			if err := p.print(env.Stdout); err != nil {
				return err
			}
		}
		if failed != nil {
			break
		}
	}
	if wantJSON(cmd) {
		enc := json.NewEncoder(env.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(proofs); err != nil {
			return err
		}
	}
	if last := proofs[len(proofs)-1]; !last.Holds {
		fmt.Fprintf(env.Stderr, "The last lines of the house's log:\n%s", h.tail(20))
		return check("step %d (%s) does not hold: %s", last.Step, last.Name, last.Failed)
	}
	return nil
}

func (p *proof) print(w io.Writer) error {
	mark, text := "ok ", p.Proved
	if !p.Holds {
		mark, text = "NOT", p.Failed
	}
	_, err := fmt.Fprintf(w, "%s %2d  %-34s %s\n", mark, p.Step, p.Name, text)
	return err
}

// haveFFmpeg finds the second opinion on hashes.
func haveFFmpeg() (string, bool) {
	path, err := exec.LookPath("ffmpeg")
	return path, err == nil && runtime.GOOS == "linux"
}
