package servers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// settings returns the content of postgresql.conf.
func (p *Postgres) settings() []byte {
	s := map[string]string{
		"listen_addresses":        p.Host,
		"port":                    fmt.Sprint(p.Port),
		"unix_socket_directories": "",
		"hba_file":                p.folder.inside("pg_hba.conf"),

		// A data directory that is thrown away need not survive a failure of the machine. It must
		// survive Kill, so synchronous_commit stays on.
		"fsync":            "off",
		"full_page_writes": "off",

		"max_connections":            "100",
		"shared_buffers":             "16MB",
		"dynamic_shared_memory_type": "mmap", // A root has no /dev/shm.
		"autovacuum":                 "off",
		"jit":                        "off",

		// Logical is replica and more: pg_receivewal and pg_recvlogical both work.
		"wal_level":             "logical",
		"max_wal_senders":       "10",
		"max_replication_slots": "10",

		"log_connections":    "on",
		"log_disconnections": "on",
		"log_line_prefix":    "%m [%p] %q%u@%d ",
		"log_timezone":       "UTC",
		"timezone":           "UTC",
	}
	if p.options.NoTLS {
		s["ssl"] = "off"
	} else {
		s["ssl"] = "on"
		s["ssl_cert_file"] = p.folder.inside("server.crt")
		s["ssl_key_file"] = p.folder.inside("server.key")
	}
	if p.options.Version != "15" {
		s["io_method"] = "sync" // No processes that only read ahead.
	}
	maps.Copy(s, p.options.Settings)

	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(s[name], "'", "''"))
	}
	return []byte(b.String())
}

// hba returns the content of pg_hba.conf. There is no line for connections without TLS, so that the
// server refuses them, as RDS does with rds.force_ssl.
func (p *Postgres) hba() []byte {
	kind := "hostssl"
	if p.options.NoTLS {
		kind = "host"
	}
	lines := slices.Clone(p.options.HBA)
	for _, role := range [][2]string{
		{roleApp, "pam pamservice=" + p.folder.name},
		{"+rds_iam", "pam pamservice=" + p.folder.name}, // if somebody makes the role
		{roleSCRAM, "scram-sha-256"},
		{roleMD5, "md5"},
		{roleClear, "password"},
		{superuser, "scram-sha-256"},
	} {
		for _, databases := range []string{"all", "replication"} {
			lines = append(lines, fmt.Sprintf("%s %s %s 127.0.0.1/32 %s", kind, databases, role[0], role[1]))
		}
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}
