package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/internal/httpd"
)

func newDeviceServeCmd(env *Env, dir *string) *cobra.Command {
	cfg := agentConfig{env: env, find: dnssd.Find}
	var listen string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Be a player without keyboard, such as a TV box: a small page to pair, play and hand over",
		Long: `Serve a small page on this machine until interrupted: it pairs the device, shows
what it holds, starts the player on the screen, and moves, copies, lends and gives
back. In between it meets the house every minute, so that what is handed over to
it arrives; without the house it plays what it holds.

The page answers on this machine only, to its own screen or through an ssh tunnel
(ssh -L 7730:127.0.0.1:7730 tv). Commands of the same folder still work while
nothing plays.`,
		Example: `  lares device serve
  lares device serve --player "mpv --fs" --name "Living room"
  lares device serve --dir /var/lib/lares/device --listen 127.0.0.1:7730`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.dir, cfg.name = *dir, cmp.Or(cfg.name, hostname())
			if strings.TrimSpace(cfg.player) == "" {
				return usage("--player names no program")
			}
			return serveDevice(cmd.Context(), cfg, listen)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:7730", "address of the page, on this machine")
	cmd.Flags().StringVar(&cfg.name, "name", "", "what the page and the house's owner read; default: this machine's name")
	cmd.Flags().StringVar(&cfg.player, "player", "mpv --fs", "player to start; {} stands for the address of the play")
	cmd.Flags().StringVar(&cfg.tier, "tier", "HD", "the best that is played: SD, HD or UHD")
	return cmd
}

func serveDevice(ctx context.Context, cfg agentConfig, listen string) error {
	if _, err := os.Stat(filepath.Join(cfg.dir, "trem")); err != nil {
		return fmt.Errorf("there is no device in %s yet: lares device init --dir %s", cfg.dir, cfg.dir)
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil || !isLoopback(host) {
		return usage("--listen %q: the page answers on this machine only; use 127.0.0.1 and an ssh tunnel", listen)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("serve the device: %w", err)
	}
	defer ln.Close() //nolint:errcheck // the server has closed it before
	cfg.log = slog.New(slog.NewTextHandler(cfg.env.Stderr, nil))
	g, gctx := errgroup.WithContext(ctx)
	a := newAgent(gctx, cfg)
	handler, err := httpd.NewAgent(a, cfg.log)
	if err != nil {
		return err
	}
	url := "http://" + ln.Addr().String()
	if err := writeURL(cfg.dir, url); err != nil {
		return err
	}
	defer os.Remove(filepath.Join(cfg.dir, urlFile)) //nolint:errcheck // a stale address is only a wrong hint
	srv := httpd.NewServer(gctx, handler)
	g.Go(func() error { a.run(gctx); return nil })
	serveIn(gctx, g, srv, ln, nil, "device")
	fmt.Fprintln(cfg.env.Stdout, url)
	return g.Wait()
}

// serveIn has a group serve until its context ends; what was begun may then end, too.
// With secret it serves HTTPS, too, on the same listener.
func serveIn(ctx context.Context, g *errgroup.Group, srv *http.Server, ln net.Listener, secret *tls.Config, what string) {
	serve := func() error { return unlessClosed(srv.Serve(ln)) }
	if secret != nil {
		serve = func() error { return serveBoth(srv, ln, secret) }
	}
	g.Go(func() error {
		if err := serve(); err != nil {
			return fmt.Errorf("serve the %s: %w", what, err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), stopGrace/2)
		defer done()
		return srv.Shutdown(grace)
	})
}
