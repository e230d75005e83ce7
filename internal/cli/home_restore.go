package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/recovery"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// maxWords bounds a typed code that is read, in bytes. Source: local.
const maxWords = 4096

// restoreSaid is what `home restore --json` prints.
type restoreSaid struct {
	trem.Restored
	Asked   []home.Wanted `json:"asked"`   // what the house will ask of which shop
	Watched []home.Found  `json:"watched"` // folders that it watches again
}

type restoreFlags struct {
	code, codeFile string
	above          uint64
	stolen         bool
}

func newHomeRestoreCmd(env *Env, dir *string) *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a new home server the one of a backup, with the 24 words",
		Long: `Bring a lost house back. The folder is that of a new home server, just after
'lares home init' and not running. The devices of the house find it at their
next visit, at the address that they know, and go on with it. They know its HTTPS
by the house's CA, which is in the backup, too. Where the lost machine is in other
hands, --stolen has the house make another one.

The words are read from standard input, or from a file, so that they stay out of
the shell's history. The command may be repeated after a crash.`,
		Args: cobra.ExactArgs(1),
		Example: `  lares home restore ~/house.backup --dir ./new-house            # asks for the words
  lares home restore ~/house.backup --dir ./new-house --code-file words.txt
  lares home restore ~/house.backup --dir ./new-house --above 3   # a device says that it knows number 3 already`,
		RunE: func(cmd *cobra.Command, args []string) error {
			said, err := restoreHome(cmd.Context(), env, *dir, args[0], f)
			if err != nil {
				return err
			}
			return env.print(cmd, said, func(w io.Writer) error { return describeRestore(w, *dir, &said) })
		},
	}
	cmd.Flags().StringVar(&f.code, "code", "", "the 24 words; everybody who can list processes sees them")
	cmd.Flags().StringVar(&f.codeFile, "code-file", "", "file with the 24 words, - for standard input")
	cmd.Flags().BoolVar(&f.stolen, "stolen", false, "whoever has the lost machine could read along by its CA for HTTPS: do not bring that back")
	cmd.Flags().Uint64Var(&f.above, "above", 0, "number that a device named, when the backup is older than a removal")
	cmd.MarkFlagsMutuallyExclusive("code", "code-file")
	return cmd
}

func restoreHome(ctx context.Context, env *Env, dir, name string, f restoreFlags) (restoreSaid, error) {
	if homeRuns(ctx, dir) {
		return restoreSaid{}, fmt.Errorf("the home server of %s runs; stop it first", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "trem")); err != nil {
		return restoreSaid{}, fmt.Errorf("there is no home server in %s yet: lares home init --dir %s", dir, dir)
	}
	data, err := readBackup(name)
	if err != nil {
		return restoreSaid{}, err
	}
	code, err := askWords(env, f)
	if err != nil {
		return restoreSaid{}, err
	}
	defer clear(code)
	module, stop, err := startTREM(filepath.Join(dir, "trem"))
	if err != nil {
		return restoreSaid{}, err
	}
	out, wanted, err := home.Restore(ctx, home.Restoring{Dir: dir, Module: module, File: data, Code: code, Above: f.above, NewCA: f.stolen, Now: env.Now})
	if err = errors.Join(restoreWords(err), stop()); err != nil {
		return restoreSaid{}, err
	}
	return restoreSaid{out, append([]home.Wanted{}, wanted...), watchedAgain(env, dir)}, nil
}

// watchedAgain are the folders that a restored house watches. The restore is done: where
// they cannot be read, that is a warning, for an error would have somebody do it again.
func watchedAgain(env *Env, dir string) []home.Found {
	watched, err := home.Watched(dir)
	if err != nil {
		fmt.Fprintf(env.Stderr, "lares: the house is restored, but which folders it watches cannot be read: %v; look at lares home folders\n", err)
		return []home.Found{}
	}
	return watched
}

// restoreWords says what to do about a backup that is refused.
func restoreWords(err error) error {
	e, ok := errors.AsType[*trem.Error](err)
	if !ok || e.Code != trem.CodeRejected {
		return err
	}
	return refused("the backup was not restored, and nothing has changed: %s", e.Text)
}

func readBackup(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(f, recovery.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	if _, err := recovery.Parse(data); err != nil { // before anybody types 24 words
		return nil, refused("%s cannot be restored: %w", name, err)
	}
	return data, nil
}

// askWords reads the words from the place that the flags name.
func askWords(env *Env, f restoreFlags) ([]byte, error) {
	in := env.Stdin
	switch {
	case f.code != "":
		return typedWords(f.code)
	case f.codeFile != "" && f.codeFile != "-":
		file, err := os.Open(f.codeFile)
		if err != nil {
			return nil, fmt.Errorf("read the words: %w", err)
		}
		defer file.Close() //nolint:errcheck // read only
		in = file
	case f.codeFile == "":
		fmt.Fprintln(env.Stderr, "The 24 words, then an empty line:")
	}
	var text string
	lines := bufio.NewScanner(io.LimitReader(in, maxWords))
	for lines.Scan() {
		if lines.Text() == "" && text != "" {
			break
		}
		text += " " + lines.Text()
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the words: %w", err)
	}
	return typedWords(text)
}

func typedWords(text string) ([]byte, error) {
	code, err := codeBytes(text)
	if errors.Is(err, recovery.ErrChecksum) {
		return nil, refused("these words do not belong together: one is misread, or two are exchanged")
	}
	if err != nil {
		return nil, refused("%w", err)
	}
	return code, nil
}

func describeRestore(w io.Writer, dir string, said *restoreSaid) error {
	p := printer{w: w}
	p.line("The house of %s is restored, with %d devices.", moment(said.Made), len(said.Members))
	describeTitles(&p, said.Titles)
	for _, a := range said.Asked {
		p.line("  %v is asked for again at %s once the home server runs", a.Content, a.URL)
	}
	for _, f := range said.Watched {
		if f.Away {
			p.line("  %s is not here now: its films come back with its disk, or end it with lares home folders --remove", f.Folder)
		} else {
			p.line("  %s is watched again", f.Folder)
		}
	}
	p.line("Next: lares home serve --dir %s, at the address that the devices know.", dir)
	p.line("Removed devices that the backup still names are members again: look at the list, and make a new backup.")
	return p.err
}
