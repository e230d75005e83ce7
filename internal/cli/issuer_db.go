package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/store"
)

func newIssuerDBCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "db", Short: "The issuer's database: check it, back it up, put it back, bring it to another version"}
	cmd.AddCommand(newDBCheckCmd(env, dir), newDBBackupCmd(env, dir), newDBInitCmd(env), newDBMigrateCmd(env, dir), newDBSetBackCmd(env, dir))
	return cmd
}

func newDBCheckCmd(env *Env, dir *string) *cobra.Command {
	var postgres string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for damage and for what no issuer leaves behind; status 5 when there is any",
		Long: `Look at every page of the database file, and at the rules that hold between its
tables: a license has its grant, a redeemed code its grant, loans are not more
than copies, and so on. Where nobody serves, the issuer's module is asked, too,
whether this is the database that it served last, and whose houses' lists are older
than what it remembers. It may run while the issuer serves, and changes nothing in
the database. It opens it as an issuer does, with files beside it, so it has to run as
the user whose folder it is.`,
		Example: `  lares issuer db check
  lares issuer db check --dir ./shop --json
  lares issuer db check --postgres ./dsn`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var got checkedDatabase
			err := ownFolder(*dir, os.Geteuid())
			if err != nil {
				return err
			}
			if got.Checked, err = checkDatabase(cmd, *dir, postgres); err != nil {
				return err
			}
			if len(got.Findings) == 0 {
				got.askedModule = lookBack(cmd, env, issuerFlags{dir: *dir, postgres: postgres})
			}
			if err := env.print(cmd, got, got.text); err != nil {
				return err
			}
			if len(got.Findings) > 0 {
				return check("the database is damaged: stop the issuer, keep the file, and read section 7 of docs/spec/issuer-store.md before a backup takes its place")
			}
			return got.end()
		},
	}
	cmd.Flags().StringVar(&postgres, "postgres", "", "file (0600) with the connection string of a PostgreSQL database; default: SQLite in the folder")
	return cmd
}

// checkedDatabase is what a check says.
type checkedDatabase struct {
	store.Checked
	askedModule
}

func (c *checkedDatabase) text(w io.Writer) error {
	p := printer{w: w}
	for _, f := range c.Findings {
		p.line("Not so: %s (%d rows) %s", f.Rule, f.Rows, f.Text)
	}
	if len(c.Findings) > 0 {
		return p.err
	}
	p.line("The database is whole: schema %d, %d rules hold.", c.Schema, c.Rules)
	c.say(&p)
	return p.err
}

func checkDatabase(cmd *cobra.Command, dir, postgres string) (store.Checked, error) {
	if postgres == "" {
		got, err := store.CheckSQLite(cmd.Context(), filepath.Join(dir, issuerDatabase))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s has no database yet: lares issuer serve --dir %s makes it", dir, dir)
		}
		return got, err
	}
	dsn, err := secretFile(postgres)
	if err != nil {
		return store.Checked{}, fmt.Errorf("read the connection string: %w", err)
	}
	return store.CheckPostgres(cmd.Context(), dsn)
}

func newDBInitCmd(env *Env) *cobra.Command {
	var postgres, distribute string
	var show bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the tables of a PostgreSQL database, spread over the nodes of a Citus",
		Long: `Make the issuer's tables in a PostgreSQL database. With --distribute=citus the
server is the coordinator of a Citus cluster: the tables of a household stand on one
node, small ones on all. It may be repeated: what is there is passed over. --print
shows the statements and runs nothing.`,
		Example: `  lares issuer db init --postgres ./dsn
  lares issuer db init --postgres ./dsn --distribute=citus
  lares issuer db init --distribute=citus --print`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if distribute != "" && distribute != "citus" {
				return usage("--distribute: there is citus, and nothing else yet")
			}
			if show {
				return printCitus(cmd, env, distribute)
			}
			if postgres == "" {
				return usage("say --postgres: SQLite needs no init, lares issuer serve makes its file")
			}
			dsn, err := secretFile(postgres)
			if err != nil {
				return fmt.Errorf("read the connection string: %w", err)
			}
			n := 0
			if distribute != "" {
				n, err = store.Distribute(cmd.Context(), dsn)
			} else {
				var s *store.Store
				if s, err = store.OpenPostgres(cmd.Context(), dsn); err == nil {
					err = s.Close()
				}
			}
			if err != nil {
				return err
			}
			return env.print(cmd, map[string]any{"distributed": n}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "The tables are there; %d were spread now.\n", n)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&postgres, "postgres", "", "file (0600) with the connection string of the database")
	cmd.Flags().StringVar(&distribute, "distribute", "", "citus: spread the tables over a Citus cluster")
	cmd.Flags().BoolVar(&show, "print", false, "print the statements, and run nothing")
	return cmd
}

func printCitus(cmd *cobra.Command, env *Env, distribute string) error {
	if distribute == "" {
		return usage("--print belongs to --distribute=citus")
	}
	all, err := store.CitusSQL()
	if err != nil {
		return err
	}
	return env.print(cmd, map[string]any{"statements": all}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, strings.Join(all, ";\n")+";")
		return err
	})
}

func newDBBackupCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the database into a new file, also while the issuer serves",
		Long: `Copy the SQLite database into a new file: one consistent state, with everything
that was acknowledged before, on disk when the command ends. A PostgreSQL database
is backed up with pg_dump. A copy takes the place of a database that is lost, the
newest only: what was issued since would be issued twice (docs/spec/issuer-store.md,
section 7), which is why an issuer does not serve from one before
lares issuer db accept-setback. Without claim.key, which is not in it, no claim code
is good.`,
		Example: `  lares issuer db backup /backups/issuer-2026-11-28.db
  lares issuer db backup ./copy.db --dir ./shop --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := store.BackupSQLite(cmd.Context(), filepath.Join(*dir, issuerDatabase), args[0])
			switch {
			case errors.Is(err, fs.ErrExist):
				return fmt.Errorf("%s is there already; say another name", args[0])
			case errors.Is(err, fs.ErrNotExist):
				return fmt.Errorf("%s has no database yet, or %s cannot be made", *dir, args[0])
			case err != nil:
				return err
			}
			got, err := store.CheckSQLite(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if len(got.Findings) > 0 {
				return check("the copy is made, and it is not whole: lares issuer db check says of the database why")
			}
			return env.print(cmd, map[string]any{"file": args[0], "schema": got.Schema}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Backed up to %s, and checked.\n", args[0])
				return err
			})
		},
	}
}
