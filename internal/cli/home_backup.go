package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/security/recovery"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// keeper is the house that is backed up: the running home server, or its module
// when it does not run.
type keeper interface {
	hasCode(ctx context.Context) (bool, error)
	words(ctx context.Context) (string, error)
	backup(ctx context.Context, words string) (httpd.BackupView, error)
}

// backupSaid is what `home backup --json` prints. Words is set once.
type backupSaid struct {
	File string `json:"file"`
	trem.Backup
	Words string `json:"words,omitempty"`
}

func newHomeBackupCmd(env *Env, dir *string) *cobra.Command {
	var out string
	var fresh bool
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Write a backup of the house; the first one shows 24 words, once",
		Long: `Write everything that brings the house back on another machine into one file:
its devices, its library, its titles, and the keys of those that may be restored
with the words. Only the 24 words open it. They are shown at the first backup
and never again: write them down, and keep them away from this machine. Whoever
holds the words and a backup holds the house.

What is counted, runs out or may move is not brought back by a backup, because
it may have been used since. Make a backup after you remove a device.`,
		Example: `  lares home backup --out ~/house.backup
  lares home backup --out ./house.backup --new-code    # the words are lost: new ones
  lares home backup --out ./house.backup --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, stop, err := openKeeper(cmd.Context(), env, *dir)
			if err != nil {
				return err
			}
			said, err := writeBackup(cmd.Context(), env, k, out, fresh)
			if err := errors.Join(err, stop()); err != nil {
				return err
			}
			return env.print(cmd, said, func(w io.Writer) error { return describeBackup(w, &said) })
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write; an older backup there is replaced (required)")
	cmd.Flags().BoolVar(&fresh, "new-code", false, "show 24 new words; older backups keep the old ones")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

// writeBackup shows the words before they count, then makes the backup.
func writeBackup(ctx context.Context, env *Env, k keeper, out string, fresh bool) (backupSaid, error) {
	said := backupSaid{File: out}
	has, err := k.hasCode(ctx)
	if err != nil {
		return said, err
	}
	if !has || fresh {
		if said.Words, err = k.words(ctx); err != nil {
			return said, err
		}
		showWords(env.Stderr, said.Words)
	}
	got, err := k.backup(ctx, said.Words)
	if err != nil {
		return said, err
	}
	said.Backup = got.Backup
	return said, saveFile(out, got.File)
}

func showWords(w io.Writer, text string) {
	fmt.Fprint(w, "Write these 24 words down, in this order. They are shown this once; without them no backup opens.\n\n")
	for i, word := range strings.Fields(text) {
		fmt.Fprintf(w, "  %2d %-10s", i+1, word)
		if i%4 == 3 {
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintln(w)
}

func describeBackup(w io.Writer, said *backupSaid) error {
	p := printer{w: w}
	p.line("Backup of %s: %s", moment(said.Made), said.File)
	describeTitles(&p, said.Titles)
	if said.Words != "" {
		p.line("Each device of the house learns of the words when it next gets a title. Until then it would have to be paired again.")
	}
	return p.err
}

// describeTitles says in words what comes back and what does not.
func describeTitles(p *printer, titles []trem.Title) {
	words := map[trem.RestoredBy]string{
		trem.NeedsNothing: "come back by themselves",
		trem.NeedsIssuer:  "are given again by the shop they came from",
		trem.NeedsState:   "are counted, run out or may have moved: only who knows what was used of them can give them again",
		trem.NeedsGrant:   "cannot be restored",
	}
	for _, need := range []trem.RestoredBy{trem.NeedsNothing, trem.NeedsIssuer, trem.NeedsState, trem.NeedsGrant} {
		var ids []string
		for _, t := range titles {
			if t.Needs == need {
				ids = append(ids, t.Content.String())
			}
		}
		if len(ids) > 0 {
			p.line("  %d %s: %s", len(ids), words[need], strings.Join(ids, ", "))
		}
	}
}

// openKeeper finds the house of a folder, whether it runs or not.
func openKeeper(ctx context.Context, env *Env, dir string) (keeper, func() error, error) {
	if homeRuns(ctx, dir) {
		return &runningHouse{dir}, func() error { return nil }, nil
	}
	if _, err := os.Stat(filepath.Join(dir, "trem")); err != nil {
		return nil, nil, fmt.Errorf("there is no house in %s", dir)
	}
	module, stop, err := startTREM(filepath.Join(dir, "trem"))
	if err != nil {
		return nil, nil, err
	}
	h, err := buildHome(ctx, env, homeFlags{dir: dir}, module, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return &quietHouse{h}, stop, nil
}

// homeRuns reports whether a home server serves the folder: the address that it
// left there answers.
func homeRuns(ctx context.Context, dir string) bool {
	base, err := readURL(dir)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil
}

// probeTimeout bounds the question whether a home server runs. Source: local.
const probeTimeout = 3 * time.Second

// runningHouse asks the home server that serves a folder.
type runningHouse struct{ dir string }

func (h *runningHouse) hasCode(ctx context.Context) (bool, error) {
	var got struct{ Code bool }
	err := askHome(ctx, h.dir, http.MethodGet, "/api/v1/backup", nil, &got)
	return got.Code, err
}

func (h *runningHouse) words(ctx context.Context) (string, error) {
	var got struct{ Words string }
	err := askHome(ctx, h.dir, http.MethodPost, "/api/v1/backup/code", struct{}{}, &got)
	return got.Words, err
}

func (h *runningHouse) backup(ctx context.Context, words string) (out httpd.BackupView, err error) {
	err = askHome(ctx, h.dir, http.MethodPost, "/api/v1/backup", httpd.BackupOrder{Words: words}, &out)
	return out, err
}

// quietHouse is a house that does not run.
type quietHouse struct{ *home.Home }

func (h *quietHouse) hasCode(ctx context.Context) (bool, error) { return h.HasCode(ctx) }

func (h *quietHouse) words(ctx context.Context) (string, error) {
	raw, err := h.RecoveryCode(ctx)
	if err != nil {
		return "", err
	}
	defer clear(raw)
	code, err := recovery.CodeOf(raw)
	if err != nil {
		return "", err
	}
	defer code.Clear()
	return code.Text()
}

func (h *quietHouse) backup(ctx context.Context, words string) (out httpd.BackupView, err error) {
	var raw []byte
	if words != "" {
		if raw, err = codeBytes(words); err != nil {
			return out, err
		}
		defer clear(raw)
	}
	out.Backup, out.File, err = h.Backup(ctx, raw)
	return out, err
}

func codeBytes(words string) ([]byte, error) {
	code, err := recovery.ParseCode(words)
	if err != nil {
		return nil, err
	}
	defer code.Clear()
	raw, err := code.Reveal()
	return raw[:], err
}

// saveFile replaces a file: after it returns, a crash shows the new one, before
// that the old one or none, never a mixture.
func saveFile(name string, data []byte) error {
	dir := filepath.Dir(name)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone after the rename
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	d, err := os.Open(dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}
