package servers

import (
	"context"
	"strings"
)

// writeUsers writes the statements that a new server runs before it accepts connections.
func (m *MySQL) writeUsers(context.Context) error {
	statements := []string{
		"SET SESSION sql_log_bin = OFF",
		"CREATE DATABASE " + m.Database,
		"RENAME USER root@localhost TO root@'%'",
	}
	for user, how := range m.users() {
		if user == "root" {
			statements = append(statements, "ALTER USER root "+how)
			continue
		}
		statements = append(statements,
			"CREATE USER "+user+" "+how,
			"GRANT ALL ON "+m.Database+".* TO "+user,
			"GRANT PROCESS, RELOAD, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO "+user)
	}
	return m.folder.write(initFile, []byte(strings.Join(statements, ";\n")+";\n"))
}

// users chooses the passwords, and returns how each user is identified.
func (m *MySQL) users() map[string]string {
	m.ClearPassword = newSecret()
	m.passwords = map[string]string{"clear": m.ClearPassword}
	onlyTLS := " REQUIRE SSL"
	if m.options.NoTLS {
		onlyTLS = ""
	}
	if m.is(mySQL9) {
		m.SHA2Password, m.SHA256Password, m.MFAPassword = newSecret(), newSecret(), newSecret()
		m.passwords["mfa"] = m.ClearPassword
		return map[string]string{
			"root":   "IDENTIFIED WITH caching_sha2_password BY '" + m.SuperuserPassword + "'",
			"app":    m.ByToken() + onlyTLS,
			"clear":  m.ByToken(),
			"sha2":   "IDENTIFIED WITH caching_sha2_password BY '" + m.SHA2Password + "'",
			"sha256": "IDENTIFIED WITH sha256_password BY '" + m.SHA256Password + "'",
			"mfa": "IDENTIFIED WITH caching_sha2_password BY '" + m.MFAPassword + "'" +
				" AND " + m.ByToken(),
		}
	}
	m.NativePassword, m.Ed25519Password = newSecret(), newSecret()
	users := map[string]string{
		"root":    "IDENTIFIED VIA mysql_native_password USING PASSWORD('" + m.SuperuserPassword + "')",
		"app":     m.ByToken() + onlyTLS,
		"clear":   m.ByToken(),
		"native":  "IDENTIFIED VIA mysql_native_password USING PASSWORD('" + m.NativePassword + "')",
		"ed25519": "IDENTIFIED VIA ed25519 USING PASSWORD('" + m.Ed25519Password + "')",
	}
	if m.is(mariaDB11) {
		m.SHA2Password, m.ParsecPassword = newSecret(), newSecret()
		users["sha2"] = "IDENTIFIED VIA caching_sha2_password USING PASSWORD('" + m.SHA2Password + "')"
		users["parsec"] = "IDENTIFIED VIA parsec USING PASSWORD('" + m.ParsecPassword + "')"
	}
	return users
}

// ByToken is what CREATE USER says for a user who logs in with a token.
func (m *MySQL) ByToken() string {
	if m.is(mySQL9) {
		return "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"
	}
	return "IDENTIFIED VIA pam USING '" + m.folder.name + "'"
}
