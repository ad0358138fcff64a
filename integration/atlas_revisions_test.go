package integration

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/sqlclient"
)

// revisionsTable is the name that Atlas gives to its table of revisions.
const revisionsTable = "atlas_schema_revisions"

// revisions keeps Atlas's books in a table of its own; the one of the program is not in its packages.
type revisions struct {
	c     *sqlclient.Client
	table string
}

var _ migrate.RevisionReadWriter = (*revisions)(nil)

// A revision adds to Atlas's what it leaves out of its JSON, and the type, which it can't read again.
type revision struct {
	migrate.Revision
	Type          uint
	Hash          string
	PartialHashes []string
}

func newRevisions(t *testing.T, c *sqlclient.Client, e atlasEnv) *revisions {
	t.Helper()
	r := &revisions{c, revisionsTable}
	if in := e.Migration.RevisionsSchema; in != "" {
		r.table = in + "." + r.table
		mustExec(t, c, "CREATE SCHEMA IF NOT EXISTS "+in)
	}
	mustExec(t, c, "CREATE TABLE IF NOT EXISTS "+r.table+" (version varchar(255) PRIMARY KEY, content text NOT NULL)")
	return r
}

func (r *revisions) Ident() *migrate.TableIdent { return &migrate.TableIdent{Name: revisionsTable} }

// bind writes parameters as the driver wants them.
func (r *revisions) bind(query string) string {
	if r.c.Name == "postgres" {
		query = strings.Replace(strings.Replace(query, "?", "$1", 1), "?", "$2", 1)
	}
	return strings.Replace(query, "TABLE", r.table, 1)
}

func (r *revisions) ReadRevisions(ctx context.Context) (all []*migrate.Revision, err error) {
	rows, err := r.c.QueryContext(ctx, r.bind("SELECT content FROM TABLE ORDER BY version"))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var content []byte
		var one revision
		if err := errors.Join(rows.Scan(&content), json.Unmarshal(content, &one)); err != nil {
			return nil, err
		}
		one.Revision.Type, one.Revision.Hash, one.Revision.PartialHashes = migrate.RevisionType(one.Type), one.Hash, one.PartialHashes
		all = append(all, &one.Revision)
	}
	return all, rows.Err()
}

func (r *revisions) ReadRevision(ctx context.Context, version string) (*migrate.Revision, error) {
	all, err := r.ReadRevisions(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Version == version {
			return one, nil
		}
	}
	return nil, migrate.ErrRevisionNotExist
}

func (r *revisions) WriteRevision(ctx context.Context, one *migrate.Revision) error {
	content, err := json.Marshal(revision{*one, uint(one.Type), one.Hash, one.PartialHashes})
	if err != nil {
		return err
	}
	if err := r.DeleteRevision(ctx, one.Version); err != nil {
		return err
	}
	_, err = r.c.ExecContext(ctx, r.bind("INSERT INTO TABLE (version, content) VALUES (?, ?)"), one.Version, string(content))
	return err
}

func (r *revisions) DeleteRevision(ctx context.Context, version string) error {
	_, err := r.c.ExecContext(ctx, r.bind("DELETE FROM TABLE WHERE version = ?"), version)
	return err
}

// migrations is what runs the files of an env's folder.
func (p *atlasProject) migrations(t *testing.T, c *sqlclient.Client, e atlasEnv) (*migrate.Executor, *migrate.LocalDir, *revisions) {
	t.Helper()
	dir, err := migrate.NewLocalDir(filepath.Join(p.dir, strings.TrimPrefix(e.Migration.Dir, "file://")))
	if err != nil {
		t.Fatal(err)
	}
	books := newRevisions(t, c, e)
	executor, err := migrate.NewExecutor(c.Driver, dir, books, migrate.WithAllowDirty(true))
	if err != nil {
		t.Fatal(err)
	}
	hash(t, dir)
	return executor, dir, books
}

// hash writes the file of checksums, as "atlas migrate hash" does.
func hash(t *testing.T, dir *migrate.LocalDir) {
	t.Helper()
	sum, err := dir.Checksum()
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate.WriteSumFile(dir, sum); err != nil {
		t.Fatal(err)
	}
}
