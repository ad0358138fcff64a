package servers

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
)

// The versions of MySQLOptions, which are also the names of their roots.
const (
	mariaDB10 = "mariadb10" // MariaDB 10.11
	mariaDB11 = "mariadb11" // MariaDB 11.8
	mySQL9    = "mysql9"    // MySQL 9
)

// mysqlRecipe is the recipe for MySQL 9. It assumes Perl, as large as all the rest, which only scripts
// need.
func mysqlRecipe() recipe {
	return recipe{
		name:     mySQL9,
		suite:    "sid",
		user:     "mysql",
		packages: []string{"mysql-server-core", "mysql-client-core", "libc-bin"},
		assumed:  []string{"perl", "debconf"},
		prepare:  prepareMySQL,
	}
}

// mariadbRecipe is the recipe for MariaDB. The package mariadb-server has the plugins, and depends on
// much that makes a service of the server.
func mariadbRecipe(name, suite string, more ...string) recipe {
	return recipe{
		name:  name,
		suite: suite,
		user:  "mysql",
		packages: append([]string{
			"mariadb-server-core", "mariadb-client-core", "libc-bin", "libpam-modules",
		}, more...),
		alone:   []string{"mariadb-server", "mariadb-client", "libpam0g-dev"},
		assumed: []string{"debconf", "mariadb-common", "mysql-common"},
		prepare: prepareMariaDB,
	}
}

// smallFiles makes a data directory that is quickly copied.
var smallFiles = []string{"--innodb-buffer-pool-size=32M", "--innodb-use-native-aio=OFF", "--innodb-doublewrite=OFF"}

func prepareMySQL(ctx context.Context, r *root) error {
	if err := buildMySQLModule(ctx, r); err != nil {
		return err
	}
	if err := makeTemplateDir(r); err != nil {
		return err
	}
	args := append([]string{"--no-defaults", "--initialize-insecure", "--datadir=" + templateDir,
		"--innodb-redo-log-capacity=8M"}, smallFiles...)
	if _, err := r.run(r.command(ctx, "/usr/sbin/mysqld", args...)); err != nil {
		return err
	}
	// It has the server's UUID, of which replication wants one for each server.
	return os.Remove(filepath.Join(r.dir, templateDir, "auto.cnf"))
}

// prepareMariaDB does what mariadb-install-db does, which is a shell script.
func prepareMariaDB(ctx context.Context, r *root) error {
	if err := buildPAMModule(ctx, r); err != nil {
		return err
	}
	if err := makeTemplateDir(r); err != nil {
		return err
	}
	input := bytes.NewBufferString("CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n")
	prefix := "mariadb"
	if r.name == mariaDB10 {
		prefix = "mysql"
	}
	for _, name := range []string{"system_tables", "performance_tables", "system_tables_data", "sys_schema"} {
		script, err := os.ReadFile(filepath.Join(r.dir, "usr/share", prefix, prefix+"_"+name+".sql"))
		if err != nil {
			return err
		}
		input.Write(script)
	}
	// The scripts make a superuser for each name of this machine.
	input.WriteString("DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';\n")
	args := append([]string{"--no-defaults", "--bootstrap", "--datadir=" + templateDir,
		"--innodb-log-file-size=8M",
		"--max-allowed-packet=8M", "--net-buffer-length=16K"}, smallFiles...)
	cmd := r.command(ctx, "/usr/sbin/mariadbd", args...)
	cmd.Stdin = input
	_, err := r.run(cmd)
	return err
}
