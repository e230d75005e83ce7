package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/security/trem"
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
