package cli

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/service/issuer"
)

// setBack says of a database and a module that do not belong together what can be done;
// any other error stays as it is. Which of the two is the older one nobody can tell.
func setBack(err error) error {
	if !errors.Is(err, issuer.ErrSetBack) {
		return err
	}
	return check("the database and the module do not belong together: one of the two is older, or new, and would give out again what was given out since. " +
		"If the database was put back, put the newest one in its place; if the module's folder (trem) was put back, put that back as it was last. " +
		"If neither is left, lares issuer db accept-setback says what is lost, and takes them as they are")
}

func newDBSetBackCmd(env *Env, dir *string) *cobra.Command {
	var f issuerFlags
	var lose bool
	cmd := &cobra.Command{
		Use:   "accept-setback",
		Short: "Serve from an older database from now on; say first what is lost by it",
		Long: `An issuer does not serve from a database that is older than what its module
remembers, such as a backup that was put back, or from a new one under a module that
has served: what was given out since would be given out again. When the newest
database is lost for good, this command accepts the older one. It says what is lost,
and changes nothing until --lose says that it may go.

Lost is what was written since the copy: grants, orders, revocations, which claim
codes were redeemed, who has which copy of a library. Grants and codes can be used
once more than they were sold; void what you know was used (lares issuer claim void).
The list of a house that has no server is brought to date where the module remembers
who was put out since; else the house keeps what was granted to it, and is made anew
without devices: each joins again by a new code (lares issuer domain code). What is
on devices plays on.

Stop the issuer first. A command that was interrupted is said again.`,
		Example: `  lares issuer db accept-setback
  lares issuer db accept-setback --lose --dir ./shop
  lares issuer db accept-setback --postgres ./dsn --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.dir = *dir
			return acceptSetBack(cmd, env, f, lose)
		},
	}
	cmd.Flags().BoolVar(&lose, "lose", false, "give up what was written since the database was copied")
	cmd.Flags().StringVar(&f.postgres, "postgres", "", "file (0600) with the connection string of a PostgreSQL database; default: SQLite in the folder")
	return cmd
}

func acceptSetBack(cmd *cobra.Command, env *Env, f issuerFlags, lose bool) error {
	var got struct {
		issuer.SetBack

		Accepted bool `json:"accepted"`
	}
	err := withStoppedIssuer(cmd, env, f, func(i *issuer.Issuer) (err error) {
		if !lose {
			got.SetBack, err = i.LookBack(cmd.Context())
			return err
		}
		entry := audit.Entry{At: env.Now().UnixMilli(), Actor: "owner", Action: "db.accept-setback"} // as the folder's token
		got.SetBack, err = i.AcceptSetBack(issuer.WithAct(cmd.Context(), &issuer.Act{Entry: entry}))
		got.Accepted = err == nil && !got.Whole()
		return err
	})
	if err != nil {
		return err
	}
	err = env.print(cmd, got, func(w io.Writer) error {
		p := printer{w: w}
		saySetBack(&p, got.SetBack)
		if got.Accepted {
			p.line("Accepted: the issuer serves from this database now.")
		}
		return p.err
	})
	if err == nil && !lose && !got.Whole() {
		err = refused("what was written since this copy is lost with it: nothing was changed; say --lose if there is no newer one")
	}
	return err
}

// saySetBack tells how a database stands to what its module remembers.
func saySetBack(p *printer, s issuer.SetBack) {
	if s.Whole() {
		p.line("It is the one that the issuer's module served last.")
	} else if s.Older {
		p.line("It is not the one that the issuer's module served last: an older copy, or a new one; or the module's folder is an older one.")
	}
	if s.Behind > 0 {
		p.line("Of %d houses without a server %d have a list that is a few steps behind: the module brings it to date.", s.Domains, s.Behind)
	}
	if s.Forgot {
		p.line("More was put out since than the module remembers.")
	}
	if s.Lost > 0 {
		p.line("Of %d houses without a server %d lose their list of devices, which join again by a new code:", s.Domains, s.Lost)
		for _, d := range s.Named {
			p.line("  %v", d)
		}
		if more := s.Lost - len(s.Named); more > 0 {
			p.line("  and %d more", more)
		}
	}
}

// moduleLook says whether a check has asked the module.
type moduleLook string

const (
	moduleAsked  moduleLook = "asked"
	moduleBusy   moduleLook = "serves" // an issuer serves by it, which asks it itself
	moduleNone   moduleLook = "none"   // the folder has none that is an issuer's
	moduleFailed moduleLook = "failed" // it could not be asked
)

// askedModule is how a check's question to the module went.
type askedModule struct {
	Module  moduleLook      `json:"module"`
	Reason  string          `json:"module_reason,omitempty"` // of one that could not be asked
	SetBack *issuer.SetBack `json:"set_back,omitempty"`      // as the module says
}

func (m *askedModule) say(p *printer) {
	switch m.Module {
	case moduleAsked:
		saySetBack(p, *m.SetBack)
	case moduleBusy:
		p.line("The module was not asked whether it is the newest one: an issuer serves by it, and asks at its start and every minute.")
	case moduleNone:
		p.line("The module was not asked whether it is the newest one: there is none in this folder.")
	case moduleFailed:
		p.line("The module could not be asked whether it is the newest one: %s", m.Reason)
	}
}

// end is the check's error where the module has not said that all is well.
func (m *askedModule) end() error {
	switch {
	case m.Module == moduleFailed:
		return &exitError{code: statusError} // it was said why
	case m.SetBack != nil && !m.SetBack.Whole():
		return setBack(issuer.ErrSetBack)
	}
	return nil
}

// lookBack asks the module of a folder about a database, if there is one and nobody
// serves by it. It makes none.
func lookBack(cmd *cobra.Command, env *Env, f issuerFlags) askedModule {
	for _, name := range []string{issuerFile, issuerTREM} {
		if _, err := os.Stat(filepath.Join(f.dir, name)); errors.Is(err, fs.ErrNotExist) {
			return askedModule{Module: moduleNone}
		}
	}
	var got issuer.SetBack
	err := withStoppedIssuer(cmd, env, f, func(i *issuer.Issuer) (err error) {
		got, err = i.LookBack(cmd.Context())
		return err
	})
	switch {
	case errors.Is(err, errServes):
		return askedModule{Module: moduleBusy}
	case err != nil:
		return askedModule{Module: moduleFailed, Reason: err.Error()}
	}
	return askedModule{Module: moduleAsked, SetBack: &got}
}

// ownFolder refuses to open what is in another user's folder: what is written beside a
// database and a module while they are open would be this user's, and the issuer could
// not open them any more.
func ownFolder(dir string, user int) error {
	info, err := os.Stat(dir)
	if err != nil {
		return nil //nolint:nilerr // what is looked for in it is not found, in its own words
	}
	if of, ok := info.Sys().(*syscall.Stat_t); ok && int(of.Uid) != user {
		return refused("%s is of the user with number %d: run this command as that user, else files are left there that the issuer cannot open", dir, of.Uid)
	}
	return nil
}

// errServes: who wants an issuer that is stopped finds that it serves.
var errServes = errors.New("an issuer serves from this folder: stop it first")

// withStoppedIssuer does something with the issuer of a folder that does not serve.
func withStoppedIssuer(cmd *cobra.Command, env *Env, f issuerFlags, do func(*issuer.Issuer) error) (err error) {
	ctx := cmd.Context()
	if _, err := readIssuer(f.dir); err != nil {
		return err
	}
	if inUse(filepath.Join(f.dir, issuerTREM)) {
		return later("%w", errServes)
	}
	db, err := openIssuerStore(ctx, f)
	if errors.Is(err, store.ErrLocked) {
		return later("%w", errServes)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	module, stop, err := startTREM(filepath.Join(f.dir, issuerTREM))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	i, err := issuer.New(ctx, issuer.Config{TREM: module, Store: issuer.Audited(db), Now: env.Now, Log: slog.New(slog.NewTextHandler(env.Stderr, nil))})
	if err != nil {
		return err
	}
	return do(i)
}
