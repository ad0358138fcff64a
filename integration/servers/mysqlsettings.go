package servers

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Names of files in a server's folder.
const (
	runDir     = "run" // where the server may make files
	socketFile = runDir + "/mysql.sock"
	initFile   = "init.sql"
)

// arguments returns the server's command line.
func (m *MySQL) arguments() []string {
	s := m.settings()
	// Written first, this keeps it from reading files of settings.
	args := []string{"--no-defaults"}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		args = append(args, fmt.Sprintf("--%s=%s", strings.ReplaceAll(name, "_", "-"), s[name]))
	}
	if _, err := os.Stat(m.folder.path(initFile)); err == nil {
		args = append(args, "--init-file="+m.folder.inside(initFile))
	}
	return args
}

func (m *MySQL) settings() map[string]string {
	s := map[string]string{
		"bind_address": m.Host,
		"port":         fmt.Sprint(m.Port),
		"socket":       m.folder.inside(socketFile),
		"pid_file":     m.folder.inside(runDir + "/mysql.pid"),
		"datadir":      m.folder.inside("data"),
		"tmpdir":       m.folder.inside(runDir),

		// Statements are written to files at their end, but nobody waits for the disk: so data
		// survives Kill, and need not survive a failure of the machine.
		"innodb_flush_log_at_trx_commit": "2",
		"innodb_doublewrite":             "OFF",
		"sync_binlog":                    "0",

		"innodb_buffer_pool_size": "32M",
		"innodb_use_native_aio":   "OFF",
		"max_connections":         "300",

		"log_bin":            "binlog",
		"server_id":          "1",
		"local_infile":       "ON",
		"secure_file_priv":   "",
		"max_allowed_packet": "1G",
		"performance_schema": "ON", // It has the table host_cache.
		"max_connect_errors": "100",
	}
	maps.Copy(s, m.engineSettings())
	maps.Copy(s, m.tlsSettings())
	maps.Copy(s, m.options.Settings)
	return s
}

// engineSettings are those that only one of MySQL and MariaDB has.
func (m *MySQL) engineSettings() map[string]string {
	if m.is(mySQL9) {
		return map[string]string{
			"plugin_load_add":          "mysql_token.so",
			"mysqlx":                   "OFF",
			"innodb_redo_log_capacity": "100M",
			"log_error_verbosity":      "3",
		}
	}
	// This form of PAM's plugin runs PAM in the server, and needs no program that root has to own.
	plugins := "auth_pam_v1;auth_ed25519"
	if m.is(mariaDB11) {
		plugins += ";auth_mysql_sha2;auth_parsec"
	}
	cleartext := "ON"
	if m.options.Dialog {
		cleartext = "OFF"
	}
	return map[string]string{
		"plugin_load_add":          plugins,
		"plugin_maturity":          "beta",
		"pam_use_cleartext_plugin": cleartext,
		"innodb_log_file_size":     "100M",
		"log_warnings":             "2",
	}
}

func (m *MySQL) tlsSettings() map[string]string {
	switch {
	case m.options.NoTLS && m.is(mySQL9):
		return map[string]string{"tls_version": ""}
	case m.options.NoTLS:
		return map[string]string{"ssl": "OFF"}
	case m.options.SelfSigned && m.is(mySQL9):
		return nil
	case m.options.SelfSigned:
		return map[string]string{"ssl": "ON"}
	}
	return map[string]string{
		"ssl_ca":   m.folder.inside("ca.pem"),
		"ssl_cert": m.folder.inside("server.crt"),
		"ssl_key":  m.folder.inside("server.key"),
	}
}
