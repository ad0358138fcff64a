package servers

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// mysqlClients are the programs that MySQLClient runs, by version.
var mysqlClients = map[string][]string{
	mySQL9:    {"mysql", "mysqladmin", "mysqlbinlog", "mysqldump"},
	mariaDB11: {"mariadb", "mariadb-admin", "mariadb-binlog", "mariadb-dump"},
	mariaDB10: {"mariadb", "mariadb-admin", "mariadb-binlog", "mariadb-dump"},
}

// MySQLClient returns a command that runs one of the client programs of a version of MySQLOptions,
// such as mysql of "mysql9", in the way that Client does. The program finds the authentication plugins
// that come with it.
func MySQLClient(ctx context.Context, version, name string, args ...string) (*exec.Cmd, error) {
	names, ok := mysqlClients[version]
	if !ok {
		return nil, fmt.Errorf("no MySQL clients %q\nhint: there are %s", version,
			strings.Join(slices.Sorted(maps.Keys(mysqlClients)), ", "))
	}
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("no client program %q of %s\nhint: there are %s", name, version, strings.Join(names, ", "))
	}
	r, err := openRoot(ctx, version)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	plugins, err := r.mysqlPlugins()
	if err != nil {
		return nil, err
	}
	// It must be the first that no settings of the machine are read.
	first := []string{"--no-defaults", "--plugin-dir=" + plugins}
	return r.clientCommand(ctx, filepath.Join(r.dir, "usr/bin", name), append(first, args...))
}

// mysqlPlugins is the folder with the authentication plugins of a root's client programs.
func (r *root) mysqlPlugins() (string, error) {
	if r.name == mySQL9 {
		return filepath.Join(r.dir, "usr/lib/mysql/plugin"), nil
	}
	triple, err := triple()
	return filepath.Join(r.dir, "usr/lib", triple, "libmariadb3/plugin"), err
}
