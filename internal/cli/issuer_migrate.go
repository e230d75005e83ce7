package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/store"
)

type migrateFlags struct {
	postgres   string
	to         int64
	down, lose bool
}

func newDBMigrateCmd(env *Env, dir *string) *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to the schema of another version of this program",
		Long: `Bring the tables to the newest schema that this program knows, or to an older one
for the program of the version before: take back a step with --down, or say which
with --to. An issuer does the way up by itself when it starts.

What the older schema has no place for is named, and nothing is changed, until
--lose says that it may go; all else is kept, and stands there when you come up
again. Stop the issuer first, and make a backup (lares issuer db backup).`,
		Example: `  lares issuer db migrate --down
  lares issuer db migrate --down --lose --dir ./shop
  lares issuer db migrate --to 6 --postgres ./dsn --json
  lares issuer db migrate`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, env, *dir) },
	}
	cmd.Flags().Int64Var(&f.to, "to", 0, "number of the schema; default: the newest")
	cmd.Flags().BoolVar(&f.down, "down", false, "to the schema before the database's")
	cmd.Flags().BoolVar(&f.lose, "lose", false, "give up what the older schema has no place for")
	cmd.Flags().StringVar(&f.postgres, "postgres", "", "file (0600) with the connection string of a PostgreSQL database; default: SQLite in the folder")
	cmd.MarkFlagsMutuallyExclusive("to", "down")
	return cmd
}

func (f *migrateFlags) run(cmd *cobra.Command, env *Env, dir string) error {
	to := f.to
	switch {
	case f.down:
		to = -1
	case to < 1 && cmd.Flags().Changed("to"):
		return usage("--to: schemas are numbered from 1")
	}
	m, err := f.migrate(cmd, dir, to)
	switch {
	case errors.Is(err, store.ErrServed):
		return later("%w", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s has no database yet: lares issuer serve --dir %s makes it", dir, dir)
	case err != nil:
		return err
	}
	err = env.print(cmd, m, func(w io.Writer) error {
		p := printer{w: w}
		for _, g := range m.Gone {
			p.line("%s: %s (%d)", map[bool]string{true: "Given up", false: "Would be gone"}[m.Done], g.What, g.Rows)
		}
		switch {
		case m.Done && m.From == m.To:
			p.line("The database has schema %d.", m.To)
		case m.Done:
			p.line("The database has schema %d; it had %d.", m.To, m.From)
		}
		return p.err
	})
	if err == nil && !m.Done {
		var what []string
		for _, g := range m.Gone {
			what = append(what, g.What)
		}
		err = refused("schema %d has no place for %s: nothing was changed; make a backup, then say --lose", m.To, strings.Join(what, ", "))
	}
	return err
}

func (f *migrateFlags) migrate(cmd *cobra.Command, dir string, to int64) (store.Migration, error) {
	if f.postgres == "" {
		return store.MigrateSQLite(cmd.Context(), filepath.Join(dir, issuerDatabase), to, f.lose)
	}
	dsn, err := secretFile(f.postgres)
	if err != nil {
		return store.Migration{}, fmt.Errorf("read the connection string: %w", err)
	}
	return store.MigratePostgres(cmd.Context(), dsn, to, f.lose)
}
