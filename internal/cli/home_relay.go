package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/interconnect/lrp/file"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// announceHome lets devices of the network find the house. A house that is served
// on this machine only is not announced, and one that cannot be is served all the same.
func announceHome(ctx context.Context, at net.Addr, module *trem.Client, log *slog.Logger) {
	t, ok := at.(*net.TCPAddr)
	if !ok || t.IP.IsLoopback() {
		return
	}
	st, err := module.Status(ctx)
	if err == nil {
		err = dnssd.Announce(ctx, dnssd.Announcement{Self: lrp.Addr(st.Device), Port: t.Port})
	}
	if err != nil && ctx.Err() == nil {
		log.LogAttrs(ctx, slog.LevelWarn, "the house is not announced: devices have to be told its address", slog.Any("error", err))
	}
}

// sweepEvery is how often a folder is looked at. Source: local.
const sweepEvery = 2 * time.Second

// sweepFolder answers what devices have left in a folder, and puts their letters
// there, for as long as the house is served. A stick that is out is no error.
func sweepFolder(ctx context.Context, dir string, h *home.Home, module *trem.Client, now func() time.Time, log *slog.Logger) {
	st, err := module.Status(ctx)
	if err != nil {
		return // the house ends with its module
	}
	s := &file.Server{
		Dir: dir, Self: lrp.Addr(st.Device), Frames: h.FrameBy, Mail: h.MailFor, Now: now,
		Serves: func(dst lrp.Addr) bool { return h.Serves(ctx, dst) },
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		done, err := s.Sweep(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !errors.Is(err, lrp.ErrLost):
			log.LogAttrs(ctx, slog.LevelWarn, "the folder of letters", slog.Any("error", err))
		case done.Answered+done.Mail > 0:
			log.LogAttrs(ctx, slog.LevelInfo, "letters by the folder", slog.Int("taken", done.Answered), slog.Int("put", done.Mail))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// findWait is how long devices wait for answers. Source: local.
const findWait = 2 * time.Second

func newDeviceFindCmd(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "find",
		Short: "Look for home servers in this network",
		Long: `Ask the network who is a home server (DNS-SD, _lrp._tcp). What answers is a hint:
that it is your house, the code of pairing says. A house may keep silent
(lares home serve --announce=false); then its owner knows the address.`,
		Example: `  lares device find
  lares device find --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := dnssd.Find(cmd.Context(), findWait)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				return later("no home server answers in this network")
			}
			return env.print(cmd, found, func(w io.Writer) error {
				p := printer{w: w}
				for _, f := range found {
					p.line("%-32s house %s", f.URL, f.Prefix)
				}
				p.line("%s", fmt.Sprintf("Next: lares device pair --home %s", found[0].URL))
				return p.err
			})
		},
	}
}
