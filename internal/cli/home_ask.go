package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// askTimeout bounds one question to the running home server; a shop may take
// its time.
const askTimeout = 2 * time.Minute

// maxHomeAnswer is the largest answer of the home server that is read, in bytes.
const maxHomeAnswer = 16 << 20

// askHome exchanges one JSON document with the home server that runs in dir.
// Its problems become errors with this program's exit statuses.
func askHome(ctx context.Context, dir, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return askHomeWithin(ctx, dir, method, path, in, out)
}

// askHomeWithin is askHome for what takes as long as ctx says.
func askHomeWithin(ctx context.Context, dir, method, path string, in, out any) error {
	base, err := readURL(dir)
	if err != nil {
		return err
	}
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the question: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return fmt.Errorf("ask the home server: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if secret, err := secretFile(filepath.Join(dir, ownerFile)); err == nil { // else an earlier build serves, which wants none
		req.Header.Set(httpd.OwnerHeader, strings.TrimSpace(secret))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return later("the home server at %s does not answer: %w", base, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxHomeAnswer))
	if err != nil {
		return later("the home server at %s does not answer: %w", base, err)
	}
	if res.StatusCode/100 != 2 {
		return homeProblem(res.StatusCode, data)
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("read the home server's answer: %w", err)
	}
	return nil
}

func homeProblem(status int, data []byte) error {
	var p httpd.Problem
	if err := json.Unmarshal(data, &p); err != nil || p.Detail == "" {
		return fmt.Errorf("the home server answered HTTP status %d", status)
	}
	text := p.Detail
	if len(p.Words) > 0 {
		text = strings.Join(p.Words, " ")
	}
	switch {
	case p.RetryMS > 0 || status == http.StatusConflict || status == http.StatusServiceUnavailable || status == http.StatusBadGateway || status == http.StatusInsufficientStorage:
		return later("%s", text)
	case status == http.StatusForbidden || status == http.StatusGone || p.Code == "rejected":
		return refused("%s", text)
	}
	return fmt.Errorf("%s", text)
}

// houseView is what `home show` prints.
type houseView struct {
	URL string `json:"url"`
	httpd.StatusView
	Issuer ident.Issuer `json:"issuer,omitempty"`
	Domain ident.Domain `json:"pairwise,omitzero"` // what this issuer knows the house by
	Titles int          `json:"titles"`
}

func newHomeShowCmd(env *Env, dir *string) *cobra.Command {
	var issuer string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the house: its secure player, and the name a shop knows it by",
		Example: `  lares home show
  lares home show --issuer shop.example    # the house's ID for this shop, to buy with
  lares home show --dir ./house --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := houseView{Issuer: ident.Issuer(issuer)}
			var err error
			if v.URL, err = readURL(*dir); err != nil {
				return err
			}
			if err := askHome(cmd.Context(), *dir, http.MethodGet, "/api/v1/status", nil, &v.StatusView); err != nil {
				return err
			}
			if issuer != "" {
				var known struct {
					Domain ident.Domain `json:"domain"`
				}
				if err := askHome(cmd.Context(), *dir, http.MethodGet, "/api/v1/pairwise?issuer="+url.QueryEscape(issuer), nil, &known); err != nil {
					return err
				}
				v.Domain = known.Domain
			}
			var lib struct{ Titles []json.RawMessage }
			if err := askHome(cmd.Context(), *dir, http.MethodGet, "/api/v1/library", nil, &lib); err != nil {
				return err
			}
			v.Titles = len(lib.Titles)
			return env.print(cmd, v, func(w io.Writer) error { return showHouse(w, &v) })
		},
	}
	cmd.Flags().StringVar(&issuer, "issuer", "", "ID of a shop: also print what it knows the house by")
	return cmd
}

func showHouse(w io.Writer, v *houseView) error {
	p := printer{w: w}
	p.line("Your house at %s", v.URL)
	p.line("  Secure player  %v", v.Module.Device)
	p.line("  Titles         %d", v.Titles)
	if v.Issuer != "" {
		p.line("  For %v  %v", v.Issuer, v.Domain)
	}
	if v.Health.Problem != "" {
		p.line("  The authority was not heard at the last visit; it is tried again.")
	}
	return p.err
}

func newHomeFetchCmd(env *Env, dir *string) *cobra.Command {
	var shop string
	cmd := &cobra.Command{
		Use:   "fetch TITLE-ID",
		Short: "Fetch what was bought, rented or borrowed from a shop or library",
		Long: `Fetch your copy, rental or loan of a title. It may be repeated after any
failure: the shop gives the same again and counts nothing twice.`,
		Args: cobra.ExactArgs(1),
		Example: `  lares home fetch urn:film:metropolis --issuer http://shop.example:7720
  lares home fetch urn:film:metropolis --issuer http://127.0.0.1:7720 --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			about, err := aboutShop(cmd.Context(), shop)
			if err != nil {
				return err
			}
			want := home.Wanted{Content: id, URL: shop, Peer: about.Device, Issuer: about.Issuer}
			var got struct {
				License ident.License `json:"license"`
			}
			if err := askHome(cmd.Context(), *dir, http.MethodPost, "/api/v1/licenses", want, &got); err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "It is in your house now.")
				return err
			})
		},
	}
	cmd.Flags().StringVar(&shop, "issuer", "", "URL of the shop or library (required)")
	_ = cmd.MarkFlagRequired("issuer")
	return cmd
}

func newHomePairCmd(env *Env, dir *string) *cobra.Command {
	var idle bool
	cmd := &cobra.Command{
		Use:   "pair [CODE]",
		Short: "List the devices that ask to join, or admit the one that shows CODE",
		Args:  cobra.MaximumNArgs(1),
		Example: `  lares home pair             # who is asking?
  lares home pair 7KQ2-M4XD   # admit the device that shows this code
  lares home pair 7KQ2-M4XD --idle   # in a full house: in the place of the device that was not seen for the longest time`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listPairings(cmd, env, *dir)
			}
			var got struct {
				ID   ident.Device `json:"id"`
				Name string       `json:"name"`
			}
			if err := askHome(cmd.Context(), *dir, http.MethodPost, "/api/v1/pairings/approve", httpd.ApproveRequest{Code: args[0], Idle: idle}, &got); err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s belongs to your house now.\n", got.Name)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&idle, "idle", false, "where the house is full, give it the place of the device that was not seen for the longest time, and not for 30 days")
	return cmd
}

func listPairings(cmd *cobra.Command, env *Env, dir string) error {
	var got struct {
		Pairings []httpd.PairingView `json:"pairings"`
	}
	if err := askHome(cmd.Context(), dir, http.MethodGet, "/api/v1/pairings", nil, &got); err != nil {
		return err
	}
	return env.print(cmd, got, func(w io.Writer) error {
		p := printer{w: w}
		if len(got.Pairings) == 0 {
			p.line("No device is asking.")
		}
		for _, x := range got.Pairings {
			p.line("%s  %s, until %s", x.Code, x.Name, x.Expires.Local().Format("15:04"))
		}
		return p.err
	})
}

func newHomeSessionsCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "sessions",
		Short: "List what is playing in browsers of the house",
		Example: `  lares home sessions
  lares home sessions --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var got struct {
				Sessions []httpd.SessionView `json:"sessions"`
			}
			if err := askHome(cmd.Context(), *dir, http.MethodGet, "/api/v1/sessions", nil, &got); err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				p := printer{w: w}
				if len(got.Sessions) == 0 {
					p.line("Nothing is playing.")
				}
				for _, s := range got.Sessions {
					p.line("%s  %s, since %s", s.ID, s.Title, s.Started.Local().Format("15:04"))
				}
				return p.err
			})
		},
	}
}

func newHomeStopCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "stop SESSION",
		Short: "Stop a playback; its picture goes at once",
		Args:  cobra.ExactArgs(1),
		Example: `  lares home sessions                                # lists the sessions
  lares home stop 5b1f0a8c9d3e4f60718293a4b5c6d7e8`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := askHome(cmd.Context(), *dir, http.MethodDelete, "/api/v1/sessions/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			return env.print(cmd, map[string]string{"stopped": args[0]}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "Stopped.")
				return err
			})
		},
	}
}

func newHomeLearnCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "learn",
		Short: "Ask the authority now for the time and the safety list (it is asked every minute)",
		Example: `  lares home learn
  lares home learn --dir ./house --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var got httpd.StatusView
			if err := askHome(cmd.Context(), *dir, http.MethodPost, "/api/v1/learn", nil, &got); err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "The safety list of %s is in use.\n", got.Health.StateAt.Local().Format("2 Jan 2006 15:04"))
				return err
			})
		},
	}
}
