package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

// migrations are numbered SQL files, the same for every engine. A file that was
// released is never edited: a change is a new file.
//
//go:embed migrations/*.sql
var migrations embed.FS

const sqlVersionTable = `CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL, PRIMARY KEY (version))`

// newestSchema is the version that this program's statements are for.
func newestSchema() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	return int64(len(names)), err
}

// migrate brings the schema to the newest version. It runs in one transaction,
// so a killed migration leaves the old schema.
func migrate(ctx context.Context, c conn) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	if _, err := c.exec(ctx, sqlVersionTable); err != nil {
		return err
	}
	var have int64
	err = c.query(ctx, func(scan func(...any) error) error { return scan(&have) }, `SELECT COALESCE(MAX(version), 0) FROM schema_version`)
	if err != nil {
		return err
	}
	if have > int64(len(names)) {
		return fmt.Errorf("store: the database has schema %d, this program knows %d: use the newer program", have, len(names))
	}
	for i, name := range names[have:] {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		for stmt := range strings.SplitSeq(string(text), ";\n") {
			if strings.TrimSpace(stmt) == "" {
				continue
			}
			if _, err := c.exec(ctx, stmt); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if _, err := c.exec(ctx, `INSERT INTO schema_version (version) VALUES ($1)`, have+int64(i)+1); err != nil {
			return err
		}
	}
	return nil
}
