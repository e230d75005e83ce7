package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// playedOwn is what `device play --json` prints of one of the household's own films.
type playedOwn struct {
	ID    ident.Content `json:"id"`
	Title string        `json:"title"`
	Bytes int64         `json:"bytes,omitempty"` // with --out and --pipe
	URL   string        `json:"url,omitempty"`   // with --serve
}

func newDeviceFilmsCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "films",
		Short: "List the household's own films, which any device of the house plays",
		Args:  cobra.NoArgs,
		Example: `  lares device films
  lares device films --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDevice(env, *dir, func(d *device) error {
				list, err := d.ownFilms(cmd.Context())
				if err != nil {
					return err
				}
				return env.print(cmd, list, func(w io.Writer) error {
					p := printer{w: w}
					if len(list) == 0 {
						p.line("Your house has no films of its own: lares home add FOLDER, on the home server.")
					}
					for _, f := range list {
						p.line("%v  %s", f.ID, f.Title)
					}
					return p.err
				})
			})
		},
	}
}

// isOwn reports whether a title is one of the household's own films.
func isOwn(id ident.Content) bool { return strings.HasPrefix(id.String(), home.OwnPrefix) }

// isClear reports whether a title is one of the household's own films that nobody
// protected: this device has no license of it.
func (d *device) isClear(ctx context.Context, id ident.Content) (bool, error) {
	if !isOwn(id) {
		return false, nil
	}
	held, err := d.trem.Licenses(ctx)
	return !slices.ContainsFunc(held, func(h trem.Held) bool { return h.Content == id }), err
}

func (d *device) ownFilms(ctx context.Context) ([]httpd.FilmView, error) {
	if d.cfg.Home == "" || d.remote() {
		return nil, errors.New("this device belongs to no house with a home server: pair it (lares device pair)")
	}
	data, err := fetch(ctx, d.web(), strings.TrimSuffix(d.cfg.Home, "/")+home.PathFilms)
	if err != nil {
		return nil, err
	}
	var got struct {
		Films []httpd.FilmView `json:"films"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		return nil, fmt.Errorf("read the house's answer: %w", err)
	}
	return got.Films, nil
}

// playOwn plays one of the household's own films: nothing is asked, decrypted or counted,
// and the house gives it to devices that prove that they are of the house.
func (d *device) playOwn(cmd *cobra.Command, env *Env, id ident.Content, f playFlags) error {
	ctx := cmd.Context()
	if f.dir != "" || f.fromMS != 0 {
		return usage("--content and --from are for protected titles; a player seeks in your own film by itself")
	}
	list, err := d.ownFilms(ctx)
	if err != nil {
		return err
	}
	got, size := playedOwn{ID: id}, int64(0)
	for _, x := range list {
		if x.ID == id {
			got.Title, size = x.Title, x.Bytes
		}
	}
	if got.Title == "" {
		return fmt.Errorf("%v is no film of your house now (lares device films), or your house has protected it: lares device get %v", id, id)
	}
	from := strings.TrimSuffix(d.cfg.Home, "/") + home.PathFilms + "/" + url.PathEscape(id.String())
	switch {
	case f.player != "" || f.serve:
		return d.showOwn(cmd, env, from, got, f)
	case f.pipe != "":
		out, done := env.pipe(ctx, f.pipe)
		got.Bytes, err = d.copyOwn(ctx, from, out, size)
		if errors.Is(err, errPlayerLeft) {
			err = nil
		}
		err = errors.Join(err, done(err == nil))
	default:
		out, done, failed := env.output(f.out)
		if failed != nil {
			return failed
		}
		got.Bytes, err = d.copyOwn(ctx, from, out, size)
		err = errors.Join(err, done(err == nil))
	}
	if err != nil {
		return err
	}
	report := *env
	if f.out == "-" {
		report.Stdout = env.Stderr // the film itself is the output
	}
	return report.print(cmd, got, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Played %s, your own film: %d bytes.\n", got.Title, got.Bytes)
		return err
	})
}

func (d *device) copyOwn(ctx context.Context, from string, out io.Writer, size int64) (int64, error) {
	in, err := get(ctx, d.web(), from)
	if err != nil {
		return 0, err
	}
	defer in.Close() //nolint:errcheck // read only
	n, err := io.Copy(out, in)
	if err == nil && n != size {
		err = later("the film ended after %d of %d bytes: the house was cut off, or the file was changed", n, size)
	}
	if err != nil {
		return n, fmt.Errorf("copy the film: %w", err)
	}
	return n, nil
}

// showOwn serves the film on loopback to one player, which cannot prove by itself that
// it is of the house: what it asks for is asked of the house in its place.
func (d *device) showOwn(cmd *cobra.Command, env *Env, from string, got playedOwn, f playFlags) error {
	target, err := url.Parse(from)
	if err != nil {
		return fmt.Errorf("the house's address: %w", err)
	}
	p := &playServer{}
	at, err := p.listen()
	if err != nil {
		return err
	}
	got.URL = at + "/film.mp4"
	mux := http.NewServeMux()
	mux.Handle("GET "+p.path+"/film.mp4", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			h := http.Header{}
			for _, name := range []string{"Range", "If-Range"} {
				if v := r.In.Header.Get(name); v != "" {
					h.Set(name, v)
				}
			}
			r.Out.URL, r.Out.Host, r.Out.Header = target, "", h
		},
		Transport: d.web().Transport, ErrorLog: log.New(io.Discard, "", 0),
	})
	ctx := cmd.Context()
	return p.run(ctx, mux, func() error {
		if f.player != "" {
			return runPlayer(ctx, env, playerLine(strings.Fields(f.player), got.URL), nil)
		}
		return env.print(cmd, got, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s is at %s until you press Ctrl-C.\n", got.Title, got.URL)
			return err
		})
	}, f.serve)
}
