package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/internal/care"
)

func newSupportBundleCmd(env *Env) *cobra.Command {
	var dirs []string
	var out, log string
	doc := &doctor{env: env, wait: findWait, find: dnssd.Find}
	cmd := &cobra.Command{
		Use:   "support-bundle",
		Short: "Write what helps to find a fault, without titles, names or secrets, into one file",
		Long: `Write a small archive for who helps you: the program's version, what lares doctor
marks, and its numbers. There is no title in it, no name, address, identifier,
path or secret. Of a log, only the program's own constant messages, counts, and
the places in its code are kept. It is plain text: read it before you send it.`,
		Example: `  lares support-bundle --out ./bundle.tar.gz
  journalctl -u lares-home -o cat | lares support-bundle --log - --out ./bundle.tar.gz
  lares support-bundle --dir /var/lib/lares/home --out ./bundle.tar.gz --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := care.Bundle{Made: env.Now(), Program: buildVersion()}
			all, err := doc.examine(cmd.Context(), dirs)
			if err != nil {
				return err
			}
			for _, f := range all {
				b.Folders = append(b.Folders, care.ReportOf(f))
			}
			if log != "" {
				if b.Log, err = readLog(env, log); err != nil {
					return err
				}
			}
			var data bytes.Buffer
			if err := b.Write(&data); err != nil {
				return err
			}
			if err := writeDurably(out, data.Bytes()); err != nil {
				return err
			}
			return env.print(cmd, map[string]any{"file": out, "bytes": data.Len()}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Written: %s. It is plain text (tar -xzOf %s): read it before you send it.\n", out, out)
				return err
			})
		},
	}
	cmd.Flags().StringSliceVar(&dirs, "dir", nil, "folder of a house, device, shop, authority or secure player; default: those of this user")
	cmd.Flags().StringVar(&out, "out", "", "file to write (required)")
	cmd.Flags().StringVar(&log, "log", "", "file with a server's log, - for standard input; default: none")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

func readLog(env *Env, name string) ([]byte, error) {
	if name == "-" {
		return care.RedactLog(env.Stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	data, err := care.RedactLog(f)
	return data, errors.Join(err, f.Close())
}
