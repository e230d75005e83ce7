package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

func newHomeCmd(env *Env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "home",
		Short: "The home server: library, devices, playback in the browser",
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", defaultDir("home"), "the home server's folder")
	cmd.AddCommand(
		newHomeInitCmd(env, &dir), newHomeServeCmd(env, &dir), newHomeShowCmd(env, &dir), newHomeAddCmd(env, &dir), newHomeFoldersCmd(env, &dir), newHomeCheckCmd(env, &dir), newHomeProtectCmd(env, &dir),
		newHomeMoveCmd(env, &dir), newHomeCopyCmd(env, &dir), newHomeLendCmd(env, &dir), newHomeRenewCmd(env, &dir), newHomeGiveCmd(env, &dir), newHomeReceiveCmd(env, &dir), newHomeCancelCmd(env, &dir), newHomeLostCmd(env, &dir), newHomeTransfersCmd(env, &dir),
		newHomeFetchCmd(env, &dir), newHomeClaimCmd(env, &dir), newHomeAccountCmd(env, &dir), newHomeCertifyCmd(env, &dir), newHomePairCmd(env, &dir), newHomeDevicesCmd(env, &dir), newHomeRemoveCmd(env, &dir), newHomeSessionsCmd(env, &dir), newHomeStopCmd(env, &dir), newHomeLearnCmd(env, &dir),
		newHomeBackupCmd(env, &dir), newHomeRestoreCmd(env, &dir), newHomeReleaseCmd(env, &dir), newHomeReturnCmd(env, &dir), newHomePersonCmd(env, &dir), newHomeRateCmd(env, &dir),
	)
	return cmd
}

func newHomeInitCmd(env *Env, dir *string) *cobra.Command {
	var ca, voucher string
	var storage storageFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the home server's secure player, get its certificate, found the house",
		Example: `  lares home init --ca http://ca.example:7700 --voucher 3F9K-22QX
  lares home init --ca http://ca.example:7700 --voucher 3F9K-22QX --keystore tpm   # keys in the machine's TPM
  lares home init --dir ./house --ca http://127.0.0.1:7700 --voucher 3F9K-22QX --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(*dir, 0o700); err != nil {
				return fmt.Errorf("make the folder: %w", err)
			}
			if err := storage.prepare(filepath.Join(*dir, "trem")); err != nil {
				return err
			}
			module, stop, err := startTREM(filepath.Join(*dir, "trem"))
			if err != nil {
				return err
			}
			st, err := foundHouse(cmd.Context(), module, ca, voucher)
			if err := errors.Join(err, stop()); err != nil {
				return err
			}
			return env.print(cmd, st, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Your house is founded. Its secure player is %v.\nNext: lares home serve --dir %s --ca %s\n", st.Device, *dir, ca)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&ca, "ca", "", "URL of the certification authority (required)")
	cmd.Flags().StringVar(&voucher, "voucher", "", "enrollment voucher (required)")
	storage.add(cmd)
	_ = cmd.MarkFlagRequired("ca")
	_ = cmd.MarkFlagRequired("voucher")
	return cmd
}

func foundHouse(ctx context.Context, module *trem.Client, ca, voucher string) (trem.Status, error) {
	if err := enroll(ctx, module, ca, pki.HomeServer, voucher); err != nil {
		return trem.Status{}, err
	}
	if _, err := module.Found(ctx); err != nil {
		return trem.Status{}, fmt.Errorf("found the house: %w", err)
	}
	return module.Status(ctx)
}

type homeFlags struct {
	dir, listen, ca string
	hosts           []string
	announce        bool
	folder          string
	mirrors         []string
	relay           string
}

func newHomeServeCmd(env *Env, dir *string) *cobra.Command {
	var f homeFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the house until interrupted; the first line printed is its URL",
		Long: `Serve the house's pages, browser playback, and its devices.

A house that is not founded yet begins on its first page: open the URL, and type the
setup code that is printed and the invitation that you got.

The pages answer on this machine, and over HTTPS to browsers of the network that you
let in: /trust says how, and /enter asks. Browsers play protected films on localhost or
over HTTPS only; from elsewhere use an ssh tunnel.`,
		Example: `  lares home serve                                    # a new house: begin it on its first page
  lares home serve --ca http://ca.example:7700
  lares home serve --dir ./house --listen 127.0.0.1:7710 --ca http://127.0.0.1:7700
  lares home serve --listen :7710 --ca http://ca.example:7700   # devices of the network may pair
  lares home serve --listen :7710 --announce=false               # and have to be told the address`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.dir = *dir
			return serveHome(cmd.Context(), env, f)
		},
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:7710", "address to serve on")
	cmd.Flags().StringVar(&f.ca, "ca", "", "URL of the certification authority; default: that of the invitation with which the house was begun on its pages; without one nothing new is learned")
	cmd.Flags().BoolVar(&f.announce, "announce", true, "let devices of the network find the house (DNS-SD); it says no name and no title. Never when the house is served on this machine only")
	cmd.Flags().StringVar(&f.folder, "folder", "", "a folder, as on a stick, by which devices without a network exchange letters (lares device carry); it may come and go")
	cmd.Flags().StringVar(&f.relay, "relay", "", "a relay with a mailbox, as it prints itself (URL#ADDRESS), by which devices that do not reach the house exchange letters (lares device carry --relay)")
	cmd.Flags().StringSliceVar(&f.mirrors, "mirror", nil, "address of a server that has packed titles, too, each in a folder of its ID; devices download from there first")
	cmd.Flags().StringSliceVar(&f.hosts, "host", nil, "further host names of the pages, for a proxy on this machine")
	return cmd
}

// maxMirror bounds a mirror's address, in bytes: with a title's it fits into a CONTENT
// frame. Source: local.
const maxMirror = 512

// urlFile is where a running home server tells the other commands its address.
const urlFile = "url"

// playFiles is the folder play beside this program, which `make build` fills
// with the page "Try to lose a film"; nil when it is not there.
func playFiles() fs.FS {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	dir := filepath.Join(filepath.Dir(self), "play")
	if _, err := os.Stat(filepath.Join(dir, "play.wasm")); err != nil {
		return nil
	}
	return os.DirFS(dir)
}

// courier carries exchanges between this house's module and shops. Each shop sees an
// address of its own, by which two of them cannot tell that it is one house.
func courier(dir string, module *trem.Client, spki []byte, now func() time.Time) home.Courier {
	return func(ctx context.Context, url string, peer ident.Device, opened trem.Opened) ([]trem.Event, error) {
		src := ident.Device(lrp.Blind(lrp.Addr(peer), spki))
		link := &lrphttp.Client{URL: url}
		c := lrphttp.Courier{Module: module, Link: link, Src: src, Dst: peer, Now: now}
		events, err := c.Fetch(ctx, opened)
		if e, ok := errors.AsType[*lrp.Error](err); !ok || e.Code != lrp.CodeUnproven || len(events) > 0 {
			return events, err
		}
		a, failed := accountOf(dir, peer)
		if failed == nil && a == nil {
			failed = home.ErrNoAccount
		}
		if failed == nil {
			failed = show(ctx, link, lrp.Addr(src), lrp.Addr(peer), *a, now())
		}
		if failed != nil {
			return nil, errors.Join(failed, err)
		}
		return c.Fetch(ctx, opened)
	}
}

// reachable is the address of a listener as this machine's browser writes it.
func reachable(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok || !t.IP.IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(t.Port))
}

func writeURL(dir, url string) error {
	tmp := filepath.Join(dir, urlFile+".new")
	if err := os.WriteFile(tmp, []byte(url+"\n"), 0o600); err != nil {
		return fmt.Errorf("note the address: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, urlFile)); err != nil {
		return fmt.Errorf("note the address: %w", err)
	}
	return nil
}

// ownerFile has what a running home server takes from programs of its owner in place of
// a person (docs/spec/people.md, section 4).
const ownerFile = "owner"

// writeOwner draws it, and writes it for whoever can read the folder.
func writeOwner(dir string) (string, error) {
	var secret [32]byte
	rand.Read(secret[:]) // never returns an error
	text := hex.EncodeToString(secret[:])
	return text, writeDurably(filepath.Join(dir, ownerFile), []byte(text+"\n"))
}

func readURL(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, urlFile))
	if err != nil {
		return "", fmt.Errorf("the home server of %s does not run: lares home serve --dir %s", dir, dir)
	}
	return strings.TrimSpace(string(data)), nil
}
