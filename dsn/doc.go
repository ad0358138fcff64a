// Package dsn writes down what a person copies, or a program is given, to connect to a listener of
// dbvalet: the command of the database's own client, URLs as libraries of several languages read them,
// and variables of the environment. It opens no connection.
//
// There is no common format, though most look alike. What differs is how a unix socket is named, how an
// address of IPv6 is, which parts are percent-encoded, and how one says that there is to be no TLS, which
// some insist on unless they are told otherwise. So each tool has its own form here, and tests that ask
// the tool's own parser, or the tool:
//
//		                 TCP                            unix socket
//		libpq, pgx, pq   postgres://U@H:P/D             postgres://U@localhost/D?host=DIR&port=P
//		node-postgres    the same, IPv6 in ?host=       the same
//		pgjdbc           jdbc:postgresql://H:P/D?user=  none
//		go-sql-driver    U@tcp(H:P)/D                   U@unix(PATH)/D
//		mysql2           mysql://U@H:P/D                mysql://U@localhost/D?socketPath=PATH
//		Connector/J      jdbc:mysql://H:P/D?user=       none
//		  of MariaDB     jdbc:mariadb://H:P/D?user=     none
//		PyMySQL          pymysql.connect(host=...)      pymysql.connect(unix_socket=...)
//		Atlas            mysql://U@H:P/D                mysql+unix://U@PATH?database=D
//
//	  - https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
//	  - https://jdbc.postgresql.org/documentation/use/
//	  - https://github.com/go-sql-driver/mysql#dsn-data-source-name
//	  - https://docs.sqlalchemy.org/en/20/core/engines.html#database-urls
//	  - https://atlasgo.io/concepts/url
package dsn
