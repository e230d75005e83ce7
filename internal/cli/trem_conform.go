package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/trem/conform"
)

// judged is what `trem conform --json` prints of a check.
type judged struct {
	Name   string `json:"name"`
	Holds  bool   `json:"holds"`
	Note   string `json:"note,omitempty"`
	Failed string `json:"failed,omitempty"`
}

func newTREMConformCmd(env *Env) *cobra.Command {
	var socket, dir string
	cmd := &cobra.Command{
		Use:   "conform",
		Short: "Judge a trusted module, ours or another maker's, by its answers",
		Long: `Give the commands of docs/spec/trem.md to a new trusted module, right ones and
wrong ones, and compare its answers with the page: one line a check. The judge is
a house of its own that takes the module in as a device, gives it a purchase and
a rental, and plays them. The module must be new, and is of no use afterwards: it
trusts the judge. Exit status 5 when a check does not hold.`,
		Example: `  lares trem conform --dir ./new             # our own module, in a new folder
  lares trem conform --socket /run/trem.sock # another one, behind a Unix socket
  lares trem conform --dir ./new --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dial := dialUnix(socket)
			if dir != "" {
				if err := newFolder(dir); err != nil {
					return err
				}
				dial = dialProcess(dir)
			}
			return env.conform(cmd, dial)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "the Unix socket of the module; each connection is a new stream to it")
	cmd.Flags().StringVar(&dir, "dir", "", "start lares-trem with this folder, which must be empty or not be there yet")
	cmd.MarkFlagsOneRequired("socket", "dir")
	cmd.MarkFlagsMutuallyExclusive("socket", "dir")
	return cmd
}

func (e *Env) conform(cmd *cobra.Command, dial func(context.Context) (io.ReadWriteCloser, error)) error {
	tmp, err := os.MkdirTemp("", "lares-conform-*")
	if err != nil {
		return fmt.Errorf("folder of the judge: %w", err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a temporary folder
	var all []judged
	failed := 0
	err = conform.Run(cmd.Context(), conform.Config{Dial: dial, Dir: tmp, Now: e.Now}, func(r conform.Result) {
		j := judged{Name: r.Name, Holds: r.Err == nil, Note: r.Note}
		verdict, why := "holds         ", ""
		if !j.Holds {
			j.Failed = r.Err.Error()
			verdict, why = "DOES NOT HOLD ", "\n               "+j.Failed
			failed++
		}
		if j.Note != "" {
			why = " (" + j.Note + ")"
		}
		all = append(all, j)
		if !wantJSON(cmd) {
			fmt.Fprintf(e.Stdout, "%s %s%s\n", verdict, j.Name, why)
		}
	})
	if err != nil {
		return err
	}
	if err := e.print(cmd, map[string]any{"checks": all}, func(io.Writer) error { return nil }); err != nil {
		return err
	}
	if failed > 0 {
		return check("%d of %d checks do not hold", failed, len(all))
	}
	return nil
}

// newFolder refuses a folder with something in it: a module there may be in use.
func newFolder(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look into the folder: %w", err)
	}
	if len(list) > 0 {
		return usage("%s is not empty: a module is judged when it is new, and of no use afterwards; name a new folder", dir)
	}
	return nil
}

func dialUnix(path string) func(context.Context) (io.ReadWriteCloser, error) {
	return func(ctx context.Context) (io.ReadWriteCloser, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// process is a stream to a module that ends with it.
type process struct {
	*tremSocket
	cmd *exec.Cmd
}

// Close ends the stream, and waits for the module's end: what it says then is of
// the stream that a check broke.
func (p process) Close() error {
	err := p.tremSocket.Close()
	_ = p.cmd.Wait()
	return err
}

func dialProcess(dir string) func(context.Context) (io.ReadWriteCloser, error) {
	return func(context.Context) (io.ReadWriteCloser, error) {
		conn, cmd, err := connectTREM(dir)
		if err != nil {
			return nil, err
		}
		return process{conn, cmd}, nil
	}
}
