package servers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// templateDir is the data directory in a root from which each server gets a copy. Copying it takes a
// tenth of the time that initdb takes.
const templateDir = "/var/template"

// The roles of every PostgreSQL server, named for how they log in, but for the first.
const (
	roleApp   = "app"   // an IAM token, through PAM, as on RDS
	roleSCRAM = "scram" // a password, scram-sha-256
	roleMD5   = "md5"   // a password, md5
	roleClear = "clear" // a password that is sent as it is
	superuser = "postgres"

	database = "orders"
)

// templateSQL makes the roles and the database. Passwords are set when a server starts. All roles
// may replicate, since that is one more thing that should work through a proxy.
var templateSQL = []string{
	`CREATE ROLE app LOGIN REPLICATION`,
	`CREATE ROLE scram LOGIN REPLICATION`,
	`CREATE ROLE md5 LOGIN REPLICATION`,
	`CREATE ROLE clear LOGIN REPLICATION`,
	`CREATE DATABASE orders OWNER app`,
}

// postgresRecipe is the recipe for PostgreSQL. The packages that it assumes are scripts for running
// several versions side by side and what those need, Perl and systemd among it; and the compiler for
// queries, as large as all the rest, which is switched off here.
func postgresRecipe(name, suite, version string) recipe {
	return recipe{
		name:  name,
		suite: suite,
		user:  superuser,
		packages: []string{
			"postgresql-" + version, "postgresql-client-" + version, "libc-bin", "libpam-modules",
			"tzdata", "dash", "bash", "coreutils", "sed", "grep",
		},
		alone: []string{"libpam0g-dev", "libpq-dev"},
		assumed: []string{
			"postgresql-common", "postgresql-client-common", "ssl-cert", "locales", "debconf", "libllvm14",
		},
		prepare: func(ctx context.Context, r *root) error {
			return preparePostgres(ctx, r, version)
		},
	}
}

func preparePostgres(ctx context.Context, r *root, version string) error {
	if err := buildPAMModule(ctx, r); err != nil {
		return err
	}
	if err := makeTemplateDir(r); err != nil {
		return err
	}
	// Small WAL segments make a data directory that is quickly copied.
	initdb := r.command(ctx, postgresProgram(version, "initdb"), "-D", templateDir, "-U", superuser,
		"-E", "UTF8", "--locale=C.UTF-8", "--wal-segsize=1", "--auth=reject", "--no-sync")
	if _, err := r.run(initdb); err != nil {
		return err
	}
	if err := singleUser(ctx, r, version, templateDir, "postgres", templateSQL); err != nil {
		return err
	}
	// Everybody who can log in may make tables, for a test's convenience.
	return singleUser(ctx, r, version, templateDir, database, []string{`GRANT ALL ON SCHEMA public TO PUBLIC`})
}

func makeTemplateDir(r *root) error {
	template := filepath.Join(r.dir, templateDir)
	if err := os.Mkdir(template, 0o700); err != nil {
		return err
	}
	return own(template)
}

// singleUser runs statements in a data directory for which no server is running. Nobody has to log
// in for it. A statement must be one line; the first that fails ends it.
func singleUser(ctx context.Context, r *root, version, dataDir, db string, statements []string) error {
	cmd := r.command(ctx, postgresProgram(version, "postgres"), "--single", "-D", dataDir,
		"-c", "exit_on_error=on", "-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap",
		"-c", "log_statement=none", "-c", "log_min_error_statement=panic", db)
	cmd.Stdin = strings.NewReader(strings.Join(statements, "\n") + "\n")
	if _, err := r.run(cmd); err != nil {
		return fmt.Errorf("set up %s in single-user mode: %w", db, err)
	}
	return nil
}

// postgresProgram is the path in a root of one of PostgreSQL's programs.
func postgresProgram(version, name string) string {
	return "/usr/lib/postgresql/" + version + "/bin/" + name
}
