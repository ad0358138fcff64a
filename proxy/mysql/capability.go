package mysql

import "github.com/go-mysql-org/go-mysql/mysql"

// A rule says what becomes of a capability flag. After the login the relay copies bytes, so whatever
// shapes them has to be the same on both legs.
type rule int

const (
	// same: the client sees what the server offers, and the server what the client chose.
	same rule = iota
	// never: the client is not offered it, and the server not told.
	never
	// each: every leg has it, whatever the other said.
	each
	// upstream: it is only used upstream.
	upstream
)

// clientMySQL is CLIENT_LONG_PASSWORD's bit in MariaDB. MariaDB doesn't offer it, and reads the
// extended flags of a client that leaves it out.
const clientMySQL = mysql.CLIENT_LONG_PASSWORD

// Flags that MySQL has since 8.0.28, and go-mysql not yet.
const clientMultiFactor uint32 = 1 << 28

// capabilities are all 32 flags. The four bytes of MariaDB's extended flags pass as they are, both
// ways: progress reports (bit 32), bulk operations (34), extended metadata (35), cached metadata (36)
// and results per unit (37) shape what is sent after the login, so they are the client's choice.
//
//   - https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html
//   - https://mariadb.com/docs/server/reference/clientserver-protocol/1-connecting/connection
var capabilities = [32]struct {
	flag   uint32
	rule   rule
	reason string
}{
	{clientMySQL, same, "tells MariaDB whether extended flags follow"},
	{mysql.CLIENT_FOUND_ROWS, same, "counts rows in another way"},
	{mysql.CLIENT_LONG_FLAG, same, "more flags in a column's definition"},
	{mysql.CLIENT_CONNECT_WITH_DB, same, "says that the reply has a database; a route's own adds it"},
	{mysql.CLIENT_NO_SCHEMA, same, "changes what SQL is accepted"},
	{mysql.CLIENT_COMPRESS, never, "one leg would be compressed and the other not"},
	{mysql.CLIENT_ODBC, same, "changes what the server does"},
	{mysql.CLIENT_LOCAL_FILES, same, "it is the client that decides about its files"},
	{mysql.CLIENT_IGNORE_SPACE, same, "changes what SQL is accepted"},
	{mysql.CLIENT_PROTOCOL_41, each, "there is nothing else since 2004"},
	{mysql.CLIENT_INTERACTIVE, same, "changes the time limits"},
	{mysql.CLIENT_SSL, upstream, "there is nothing else; of this side the route's door says it"},
	{mysql.CLIENT_IGNORE_SIGPIPE, same, "means nothing to servers"},
	{mysql.CLIENT_TRANSACTIONS, same, "adds status flags"},
	{mysql.CLIENT_RESERVED, same, "means nothing any more"},
	{mysql.CLIENT_SECURE_CONNECTION, each, "shapes the login only, where each leg has its own"},
	{mysql.CLIENT_MULTI_STATEMENTS, same, "changes what SQL is accepted"},
	{mysql.CLIENT_MULTI_RESULTS, same, "shapes the results"},
	{mysql.CLIENT_PS_MULTI_RESULTS, same, "shapes the results"},
	{mysql.CLIENT_PLUGIN_AUTH, each, "shapes the login and COM_CHANGE_USER, which are ours"},
	{mysql.CLIENT_CONNECT_ATTRS, same, "the attributes pass as they are"},
	{mysql.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA, each, "a token has more than 255 bytes"},
	{mysql.CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS, same, "decides whether the server lets in to change it"},
	{mysql.CLIENT_SESSION_TRACK, same, "shapes OK packets"},
	{mysql.CLIENT_DEPRECATE_EOF, same, "shapes the results; unequal, clients lose the connection"},
	{mysql.CLIENT_OPTIONAL_RESULTSET_METADATA, same, "shapes the results"},
	{mysql.CLIENT_ZSTD_COMPRESSION_ALGORITHM, never, "as compression of the other kind"},
	{mysql.CLIENT_QUERY_ATTRIBUTES, same, "shapes COM_QUERY; unequal, every query is a syntax error"},
	{clientMultiFactor, upstream, "the second factor is ours too; mysql sets it without being offered it"},
	{mysql.CLIENT_CAPABILITY_EXTENSION, never, "announces flags that nobody has defined yet"},
	{mysql.CLIENT_SSL_VERIFY_SERVER_CERT, never, "is internal to client libraries"},
	{mysql.CLIENT_REMEMBER_OPTIONS, never, "is internal to client libraries"},
}

// flagsWith gathers the flags that have one of the rules.
func flagsWith(rules ...rule) (flags uint32) {
	for _, c := range capabilities {
		for _, r := range rules {
			if c.rule == r {
				flags |= c.flag
			}
		}
	}
	return flags
}

var (
	shown = flagsWith(same, each)     // to the client, as far as the server has them
	asked = flagsWith(same)           // of the server, as the client chose
	added = flagsWith(each, upstream) // to what is asked of the server, as far as it has them
)

// needed is what a server must have.
const needed = mysql.CLIENT_PROTOCOL_41 | mysql.CLIENT_SECURE_CONNECTION | mysql.CLIENT_PLUGIN_AUTH

// offer is what the client is told of a server's capabilities.
func offer(server uint32) uint32 { return server & shown }

// choose is what the server is told of a client's. Flags that the server did not offer are the
// client's to answer for, as on a direct connection.
func choose(client, server uint32) uint32 { return client&asked | server&added }
