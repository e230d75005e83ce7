package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/upnp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// rendered is what `device render --json` prints.
type rendered struct {
	Renderer *upnp.Renderer `json:"renderer"`
	played
}

type renderFlags struct {
	to, tier, dir    string
	confirm, consent bool
	takeover         bool
}

func newDeviceRenderCmd(env *Env, dir *string) *cobra.Command {
	var f renderFlags
	cmd := &cobra.Command{
		Use:   "render TITLE",
		Short: "Show a title on a television or box of the network (UPnP, DLNA)",
		Long: `Show a title on a renderer: a television or a box of the house's network that plays
what it is told to fetch (UPnP AVTransport, as DLNA devices do). Your copy has to
allow RENDER, and to ask for no protection of the way or of the screen: what goes to
a renderer is in the clear. This machine serves the film while it is shown, to the
address of the renderer alone, under a name that ends with the command. What it costs
is counted as for a play here, by a count of its own.

The renderer is named by its name or ID ('lares device renderers'), or by the address
of its description.`,
		Example: `  lares device renderers
  lares device render lares-film --to "Living room TV"
  lares device render lares-film --to http://192.168.1.20:49152/description.xml --tier SD
  lares device render rental --to "Living room TV" --yes   # starts the 48 hours`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.to == toList {
				return listRenderers(cmd, env)
			}
			if len(args) == 0 {
				return usage("which title?")
			}
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			r, err := rendererOf(cmd.Context(), f.to)
			if err != nil {
				return err
			}
			return withDevice(env, *dir, func(d *device) error { return d.render(cmd, env, id, r, f) })
		},
	}
	cmd.Flags().StringVar(&f.to, "to", "", "the renderer: its name, its ID, the address of its description, or list (required)")
	cmd.Flags().StringVar(&f.tier, "tier", "HD", "the best to show: SD, HD or UHD")
	cmd.Flags().StringVar(&f.dir, "content", "", "folder with the protected files; default: what was downloaded, else from the house")
	cmd.Flags().BoolVar(&f.confirm, "yes", false, "start a period that begins with the first use")
	cmd.Flags().BoolVar(&f.consent, "consent", false, "let the shop be told what your copy asks to tell; 'lares device why TITLE' says what")
	cmd.Flags().BoolVar(&f.takeover, "takeover", false, "where the title plays on as many screens as it may: continue here, and it stops on the oldest")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// toList is the word that lists renderers instead of naming one.
const toList = "list"

func newDeviceRenderersCmd(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "renderers",
		Short: "Look for televisions and boxes in this network that show what they are told",
		Long: `Ask the network who shows films (SSDP, AVTransport). A name is the machine's own word:
two may have the same, then the ID tells them apart, or where they say the same ID the address.`,
		Example: `  lares device renderers
  lares device renderers --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listRenderers(cmd, env) },
	}
}

func listRenderers(cmd *cobra.Command, env *Env) error {
	found, err := upnp.Find(cmd.Context(), findWait)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return later("no renderer answers in this network")
	}
	return env.print(cmd, found, func(w io.Writer) error {
		p := printer{w: w}
		for _, r := range found {
			p.line("%-32s %s  %s", r.Name, r.ID, r.URL)
		}
		p.line("Next: lares device render TITLE --to %q", found[0].Name)
		return p.err
	})
}

// rendererOf is the renderer that a name, an ID or an address stands for.
func rendererOf(ctx context.Context, to string) (*upnp.Renderer, error) {
	if strings.Contains(to, "://") {
		r, err := upnp.Open(ctx, to)
		if errors.Is(err, upnp.ErrAway) {
			return nil, later("%w", err)
		}
		return r, err
	}
	found, err := upnp.Find(ctx, findWait)
	if err != nil {
		return nil, err
	}
	return rendererNamed(found, to)
}

// rendererNamed is the one of a name or an ID.
func rendererNamed(found []*upnp.Renderer, to string) (*upnp.Renderer, error) {
	var named, same []*upnp.Renderer
	for _, r := range found {
		if r.ID == to {
			same = append(same, r)
		}
		if strings.EqualFold(r.Name, to) {
			named = append(named, r)
		}
	}
	switch len(same) {
	case 1:
		return same[0], nil
	case 0:
	default:
		return nil, usage("%d renderers say that they are %s; use the address: lares device renderers", len(same), to)
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return nil, later("no renderer %q answers in this network: lares device renderers", to)
	}
	return nil, usage("%d renderers are called %q; use the ID or the address: lares device renderers", len(named), to)
}

func (d *device) render(cmd *cobra.Command, env *Env, id ident.Content, r *upnp.Renderer, f renderFlags) error {
	ctx := cmd.Context()
	tier, src, m, err := d.toShow(ctx, id, f.dir, f.tier)
	if err != nil {
		return err
	}
	who, err := d.asking(ctx, env, id, func() *uint8 { return m.Rated }, "")
	if err != nil {
		return err
	}
	d.look(ctx, env, looksFor)
	var got played
	if err := d.seated(ctx, env, trem.Ask{
		Content: id, Action: permission.Render, Tier: uint64(tier), Output: trem.OutputNetwork, Renderer: r.ID, Confirm: f.confirm, Consent: f.consent, Person: who, Takeover: f.takeover,
	}, func(ctx context.Context, s trem.Session) (err error) {
		got, err = d.renderTo(ctx, env, src, m, s, r, f.tier)
		return err
	}); err != nil {
		return env.decided(cmd, err)
	}
	return env.print(cmd, rendered{r, got}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Shown %s of %s on %s: %d segments, %d bytes.\n", got.Tier, m.Title, r.Name, got.Segments, got.Bytes)
		return err
	})
}

// renderTo serves a title to a renderer until that has shown it or is gone, the user ends
// it, or the license.
func (d *device) renderTo(ctx context.Context, env *Env, src *files, m *content.Manifest, s trem.Session, r *upnp.Renderer, most string) (played, error) {
	got := played{License: s.License, Decision: s.Decision}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	shared := &sharedPlay{stop: stop}
	views, tracks, err := d.views(ctx, src, m, s, most, shared)
	if err != nil {
		return got, err
	}
	got.Tier = tracks[0].Tier
	film, err := newFilmView(views)
	if err != nil {
		return got, err
	}
	p := &renderServer{film: film, renderer: r.Address, since: env.Now()}
	at, err := p.listen(ctx)
	if err != nil {
		return got, err
	}
	defer p.run()()
	last := tracks[0].Segments[len(tracks[0].Segments)-1]
	err = r.Show(ctx, upnp.Film{URL: at, Title: m.Title, Type: "video/mp4", Bytes: film.Size(), Length: time.Duration(last.StartMS+last.DurationMS) * time.Millisecond})
	if err == nil {
		fmt.Fprintf(env.Stderr, "%s is shown on %s; Ctrl-C ends it.\n", m.Title, r.Name)
		err = shows(ctx, p, r, shared)
	}
	quiet, done := context.WithTimeout(context.WithoutCancel(ctx), stopGrace/2)
	defer done()
	_ = r.Stop(quiet) // one that is at its end, or gone, needs no word
	return shared.came(got, missing(err, cmp.Or(r.Name, r.ID)))
}

// missing says of a renderer that does not answer that it may later.
func missing(err error, name string) error {
	if errors.Is(err, upnp.ErrAway) {
		return later("%s is gone, and the play has ended: %w", name, err)
	}
	return err
}

// How a renderer is watched. Source: local, docs/spec/device-api.md.
const (
	renderEvery  = time.Second
	renderMissed = 5  // answers that may be missing one after the other
	renderStarts = 30 // looks until it has to have fetched something
	renderStops  = 2  // looks at which it stands still before that is the end
)

// shows waits until a renderer comes to the end, or is gone, or ctx ends. One that still
// fetches the film is not gone.
func shows(ctx context.Context, p *renderServer, r *upnp.Renderer, shared *sharedPlay) error {
	tick := time.NewTicker(renderEvery)
	defer tick.Stop()
	w := looks{name: cmp.Or(r.Name, r.ID)}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		state, err := r.State(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if over, err := w.look(state, err, shared.moved(), p.asked.Load()); over {
			return err
		}
	}
}

// looks is what was seen of a renderer.
type looks struct {
	name                 string
	count, missed, stood int
	bytes                int64
}

// look takes what a renderer says, how much of the film was read, and whether it asked for
// any. It reports whether the play is over.
func (w *looks) look(state upnp.State, err error, bytes int64, asked bool) (bool, error) {
	w.count++
	if bytes != w.bytes {
		w.bytes, w.missed, w.stood = bytes, 0, 0
		return false, nil
	}
	switch {
	case errors.Is(err, upnp.ErrAway):
		w.missed++
		return w.missed == renderMissed, err
	case err != nil:
		return true, err
	case !asked && w.count > renderStarts: // whatever it says, such as that it gets ready
		return true, later("%s does not fetch the film", w.name)
	case state != upnp.Stopped:
		w.missed, w.stood = 0, 0
	case asked:
		w.stood++
	}
	return w.stood == renderStops, nil
}
