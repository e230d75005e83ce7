package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

func newHomePersonCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "person",
		Short: "Say who lives here: adults, children, guests",
		Long: `Say who lives in the house. From the first adult on it asks in the browser who is
watching: a child watches what is rated for its age, in its hours; a guest watches; only
adults lend, buy and change things, and have a PIN for it. These commands ask for no PIN:
who can read the house's folder is its owner, so they also help whoever forgot theirs.`,
	}
	cmd.AddCommand(newPersonListCmd(env, dir), newPersonAddCmd(env, dir), newPersonSetCmd(env, dir), newPersonRemoveCmd(env, dir), newPersonBindCmd(env, dir))
	return cmd
}

func newPersonListCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the people of the house",
		Args:  cobra.NoArgs,
		Example: `  lares home person list
  lares home person list --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var got struct {
				People []httpd.PersonView `json:"people"`
			}
			if err := askHome(cmd.Context(), *dir, http.MethodGet, "/api/v1/people", nil, &got); err != nil {
				return err
			}
			return env.print(cmd, got.People, func(w io.Writer) error {
				p := printer{w: w}
				if len(got.People) == 0 {
					p.line("Nobody is asked who is watching: lares home person add NAME --adult.")
				}
				for i := range got.People {
					p.line("%-20s %s", got.People[i].Name, aboutPerson(&got.People[i]))
				}
				return p.err
			})
		},
	}
}

// aboutPerson says what somebody is.
func aboutPerson(p *httpd.PersonView) string {
	out := string(p.Kind)
	if p.Kind == home.Child || p.Age != 0 {
		out += fmt.Sprintf(", %d years old", p.Age)
	}
	if p.Hours != (home.Hours{}) {
		out += ", " + p.Hours.String()
	}
	if !p.PIN {
		out += ", no PIN"
	}
	return out
}

// personFlags are what is said of somebody.
type personFlags struct {
	adult, child, guest bool
	name, hours         string
	age                 int
	pin, noPIN          bool
	pinFile             string
}

func (f *personFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.adult, "adult", false, "may do everything, and has a PIN")
	cmd.Flags().BoolVar(&f.child, "child", false, "watches what is for its age, in its hours")
	cmd.Flags().BoolVar(&f.guest, "guest", false, "watches; an adult's PIN lets them in")
	cmd.Flags().IntVar(&f.age, "age", 0, "years; of a child up to 17")
	cmd.Flags().StringVar(&f.hours, "hours", "", "in which a child or guest may watch, such as 07:00-19:30; empty: at any time")
	cmd.Flags().StringVar(&f.pinFile, "pin-file", "", "file (0600) with the PIN, 4 to 12 digits; - for standard input")
	cmd.MarkFlagsMutuallyExclusive("adult", "child", "guest")
}

// change is what the flags that were given say.
func (f *personFlags) change(env *Env, cmd *cobra.Command) (c home.PersonChange, err error) {
	for kind, said := range map[home.PersonKind]bool{home.Adult: f.adult, home.Child: f.child, home.Guest: f.guest} {
		if said {
			c.Kind = &kind
		}
	}
	if cmd.Flags().Changed("age") {
		if f.age < 0 || f.age > 120 {
			return c, usage("--age %d: want 0 to 120 years", f.age)
		}
		years := uint8(f.age)
		c.Age = &years
	}
	if cmd.Flags().Changed("hours") {
		hours, err := home.ParseHours(f.hours)
		if err != nil {
			return c, usage("--hours %q: want a time of day and another one, such as 07:00-19:30", f.hours)
		}
		c.Hours = &hours
	}
	switch {
	case f.noPIN:
		c.PIN = new(string)
	case f.pin || f.pinFile != "":
		pin, err := readPIN(env, f.pinFile)
		if err != nil {
			return c, err
		}
		c.PIN = &pin
	}
	return c, nil
}

// maxPINLine bounds what is read for a PIN, in bytes. Source: local.
const maxPINLine = 64

// readPIN reads a PIN from a file, or a line of standard input.
func readPIN(env *Env, file string) (string, error) {
	if file != "" && file != "-" {
		text, err := secretFile(file)
		return strings.TrimSpace(text), err
	}
	if file == "" {
		fmt.Fprintln(env.Stderr, "The PIN, 4 to 12 digits, then Enter:")
	}
	line, err := bufio.NewReader(io.LimitReader(env.Stdin, maxPINLine)).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		return "", usage("no PIN was typed (%v)", err)
	}
	return line, nil
}

func newPersonAddCmd(env *Env, dir *string) *cobra.Command {
	var f personFlags
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add somebody: first an adult, then children and guests",
		Args:  cobra.ExactArgs(1),
		Example: `  lares home person add Ada --adult                       # it asks for a PIN
  lares home person add Ben --child --age 9 --hours 07:00-19:30
  lares home person add Guest --guest --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.pin = f.adult
			c, err := f.change(env, cmd)
			if err != nil {
				return err
			}
			if c.Kind == nil {
				return usage("say who %s is: --adult, --child or --guest", args[0])
			}
			c.Name = &args[0]
			return f.ask(cmd, env, *dir, http.MethodPost, "/api/v1/people", c)
		},
	}
	f.add(cmd)
	return cmd
}

func (f *personFlags) ask(cmd *cobra.Command, env *Env, dir, method, path string, c home.PersonChange) error {
	var got httpd.PersonView
	if err := askHome(cmd.Context(), dir, method, path, c, &got); err != nil {
		return err
	}
	return env.print(cmd, got, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s.\n", got.Name, aboutPerson(&got))
		return err
	})
}

func newPersonSetCmd(env *Env, dir *string) *cobra.Command {
	var f personFlags
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change what is said of somebody; what they watch ends",
		Args:  cobra.ExactArgs(1),
		Example: `  lares home person set Ben --age 10 --hours 07:00-20:00
  lares home person set Ada --pin                 # a new PIN, also after too many wrong ones
  lares home person set Ben --hours "" --json     # at any time`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.change(env, cmd)
			if err != nil {
				return err
			}
			if f.name != "" {
				c.Name = &f.name
			}
			if c == (home.PersonChange{}) {
				return usage("say what changes: --age, --hours, --name, --pin or another kind")
			}
			return f.ask(cmd, env, *dir, http.MethodPatch, personPath(args[0]), c)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "another name")
	cmd.Flags().BoolVar(&f.pin, "pin", false, "ask for a new PIN")
	cmd.Flags().BoolVar(&f.noPIN, "no-pin", false, "no PIN any more, of a child or a guest")
	cmd.MarkFlagsMutuallyExclusive("pin", "no-pin", "pin-file")
	return cmd
}

func personPath(name string) string { return "/api/v1/people/" + url.PathEscape(name) }

func newPersonRemoveCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove somebody; the last adult goes last, and then nobody is asked any more",
		Args:  cobra.ExactArgs(1),
		Example: `  lares home person remove Guest
  lares home person remove Guest --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := askHome(cmd.Context(), *dir, http.MethodDelete, personPath(args[0]), nil, nil); err != nil {
				return err
			}
			return env.print(cmd, map[string]string{"removed": args[0]}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is not of the house's people any more.\n", args[0])
				return err
			})
		},
	}
}

func newPersonBindCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "bind DEVICE [NAME]",
		Short: "Say whose a device is: a child's or a guest's; without a name everybody's",
		Args:  cobra.RangeArgs(1, 2),
		Example: `  lares home person bind tablet Ben
  lares home person bind tablet          # it is everybody's again`,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := houseDevice(cmd, *dir, args[0])
			if err != nil {
				return err
			}
			in := httpd.BindRequest{}
			if len(args) == 2 {
				in.Person = args[1]
			}
			if err := askHome(cmd.Context(), *dir, http.MethodPut, "/api/v1/devices/"+d.ID.String()+"/person", in, nil); err != nil {
				return err
			}
			return env.print(cmd, map[string]any{"device": d.ID, "person": in.Person}, func(w io.Writer) error {
				if in.Person == "" {
					_, err := fmt.Fprintf(w, "%s is everybody's.\n", d.Name)
					return err
				}
				_, err := fmt.Fprintf(w, "%s is %s's, as soon as it meets the house.\n", d.Name, in.Person)
				return err
			})
		},
	}
}

func newHomeRateCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "rate TITLE-ID [AGE]",
		Short: "Say from which age a title or your own film is; without an age, what comes with it",
		Long: `Say from which age a title is, for the children of the house. Most titles say so
themselves, in their folder. One of which nobody has said it is for no child. Your own
films say nothing of it: each is for adults until you do. A film's page has its ID.`,
		Args: cobra.RangeArgs(1, 2),
		Example: `  lares home rate urn:film:metropolis 6
  lares home rate urn:film:metropolis 0      # for everybody
  lares home rate urn:film:metropolis --json # what its folder says
  lares home rate urn:lares:own:0f9c2f4e2b8d4f3b9d2c6a7e1f5b8c3d 6   # your own film`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			var in httpd.RateRequest
			if len(args) == 2 {
				n, err := strconv.ParseUint(args[1], 10, 8)
				if err != nil || n > content.MaxRated {
					return usage("%q is no age of 0 to %d", args[1], content.MaxRated)
				}
				years := uint8(n)
				in.Years = &years
			}
			if err := askHome(cmd.Context(), *dir, http.MethodPut, titlePath(id)+"/rated", in, nil); err != nil {
				return err
			}
			now, err := ratedNow(cmd.Context(), *dir, id)
			if err != nil {
				return err
			}
			return env.print(cmd, now, func(w io.Writer) error { return now.describe(w) })
		},
	}
}

// ratedTitle is from which age something is now.
type ratedTitle struct {
	Content ident.Content `json:"content"`
	Title   string        `json:"title"`
	Rated   *uint8        `json:"rated,omitempty"` // years; nil: nobody says
}

func titlePath(id ident.Content) string { return "/api/v1/library/" + url.PathEscape(id.String()) }

// ratedNow asks the house about an own film, and about a title.
func ratedNow(ctx context.Context, dir string, id ident.Content) (now ratedTitle, err error) {
	if isOwn(id) {
		var got struct {
			Films []httpd.FilmView `json:"films"`
		}
		if err := askHome(ctx, dir, http.MethodGet, home.PathFilms, nil, &got); err != nil {
			return now, err
		}
		for _, f := range got.Films {
			if f.ID == id {
				return ratedTitle{f.ID, f.Title, f.Rated}, nil
			}
		}
	}
	return now, askHome(ctx, dir, http.MethodGet, titlePath(id), nil, &now)
}

func (t *ratedTitle) describe(w io.Writer) error {
	p := printer{w: w}
	switch {
	case t.Rated != nil:
		p.line("%s is from %d.", t.Title, *t.Rated)
	case isOwn(t.Content):
		p.line("%s: nobody says from which age it is, so it is for adults.", t.Title)
	default:
		p.line("%s: nobody says from which age it is, so it is for no child.", t.Title)
	}
	return p.err
}
