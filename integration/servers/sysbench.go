package servers

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

// Sysbench returns a command that runs sysbench with one of the Lua scripts that come with it, such as
// "oltp_point_select", in the way that Client does. It speaks to MySQL and MariaDB with MariaDB's
// library.
//
// With --mysql-ssl=on it wants files in its working directory; see WriteSysbenchFiles.
func Sysbench(ctx context.Context, script string, args ...string) (*exec.Cmd, error) {
	r, err := openRoot(ctx, mariaDB10)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	plugins, err := r.mysqlPlugins()
	if err != nil {
		return nil, err
	}
	scripts := filepath.Join(r.dir, "usr/share/sysbench")
	cmd, err := r.clientCommand(ctx, filepath.Join(r.dir, "usr/bin/sysbench"),
		append([]string{filepath.Join(scripts, script+".lua")}, args...))
	if err != nil {
		return nil, err
	}
	cmd.Env = append(cmd.Env, "LUA_PATH="+filepath.Join(scripts, "?.lua"), "MARIADB_PLUGIN_DIR="+plugins)
	return cmd, nil
}

// WriteSysbenchFiles writes to dir what sysbench wants to find in its working directory if it shall
// connect to m directly over TLS: the CA's certificate, and a certificate of its own, for which the
// server does not ask.
func (m *MySQL) WriteSysbenchFiles(dir string) error {
	if m.authority == nil {
		return errors.New("sysbench can do TLS only with a server that has a certificate of a CA")
	}
	der, key, err := m.authority.issue(Certificate{client: true}, "sysbench")
	if err != nil {
		return err
	}
	return errors.Join(
		writeForAll(filepath.Join(dir, "cacert.pem"), m.authority.pem()),
		writeForAll(filepath.Join(dir, "client-cert.pem"), certificatePEM(der)),
		os.WriteFile(filepath.Join(dir, "client-key.pem"), key, 0o600),
	)
}
