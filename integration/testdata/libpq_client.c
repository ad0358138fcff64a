/* A client that uses libpq as programs do. It prints a line for each thing that worked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <libpq-fe.h>

static PGconn *conn;

static void fail(const char *what)
{
	printf("%s: %s", what, PQerrorMessage(conn));
	exit(1);
}

static PGresult *expect(PGresult *result, ExecStatusType status, const char *what)
{
	if (PQresultStatus(result) != status)
		fail(what);
	return result;
}

static void prepared(void)
{
	const char *value = "41";
	PQclear(expect(PQprepare(conn, "plus", "SELECT $1::int + 1", 1, NULL), PGRES_COMMAND_OK, "prepare"));
	PGresult *result = expect(PQexecPrepared(conn, "plus", 1, &value, NULL, NULL, 0), PGRES_TUPLES_OK, "execute");
	printf("prepared %s\n", PQgetvalue(result, 0, 0));
	PQclear(result);
}

static void copied(void)
{
	char row[64];
	PQclear(expect(PQexec(conn, "CREATE TEMP TABLE rows (id int, what text)"), PGRES_COMMAND_OK, "create"));
	PQclear(expect(PQexec(conn, "COPY rows FROM STDIN"), PGRES_COPY_IN, "copy"));
	for (int i = 0; i < 1000; i++) {
		int n = snprintf(row, sizeof row, "%d\trow %d\n", i, i);
		if (PQputCopyData(conn, row, n) != 1)
			fail("put");
	}
	if (PQputCopyEnd(conn, NULL) != 1)
		fail("end of copy");
	PGresult *result = expect(PQgetResult(conn), PGRES_COMMAND_OK, "copied");
	printf("copied %s rows\n", PQcmdTuples(result));
	PQclear(result);
	while ((result = PQgetResult(conn)) != NULL)
		PQclear(result);
}

static void pipelined(void)
{
	char sql[32];
	if (!PQenterPipelineMode(conn))
		fail("pipeline");
	for (int i = 1; i <= 3; i++) {
		snprintf(sql, sizeof sql, "SELECT %d", i);
		if (!PQsendQueryParams(conn, sql, 0, NULL, NULL, NULL, NULL, 0))
			fail("send");
	}
	if (!PQpipelineSync(conn))
		fail("sync");
	printf("pipelined");
	for (int i = 1; i <= 3; i++) {
		PGresult *result = expect(PQgetResult(conn), PGRES_TUPLES_OK, "result");
		printf(" %s", PQgetvalue(result, 0, 0));
		PQclear(result);
		if (PQgetResult(conn) != NULL)
			fail("end of result");
	}
	printf("\n");
	PQclear(expect(PQgetResult(conn), PGRES_PIPELINE_SYNC, "synced"));
	if (!PQexitPipelineMode(conn))
		fail("exit pipeline");
}

static void notified(void)
{
	PGnotify *notify = NULL;
	PQclear(expect(PQexec(conn, "LISTEN parcels"), PGRES_COMMAND_OK, "listen"));
	PQclear(expect(PQexec(conn, "NOTIFY parcels"), PGRES_COMMAND_OK, "notify"));
	while ((notify = PQnotifies(conn)) == NULL) {
		fd_set readable;
		FD_ZERO(&readable);
		FD_SET(PQsocket(conn), &readable);
		if (select(PQsocket(conn) + 1, &readable, NULL, NULL, NULL) < 0 || !PQconsumeInput(conn))
			fail("wait");
	}
	printf("notified %s\n", notify->relname);
	PQfreemem(notify);
}

static void canceled(void)
{
	char error[256];
	if (!PQsendQuery(conn, "SELECT pg_sleep(600)"))
		fail("send");
	PGcancel *cancel = PQgetCancel(conn);
	/* A request that arrives before the query is lost, so it is made until the query has ended. */
	while (!PQconsumeInput(conn) || PQisBusy(conn)) {
		struct timeval pause = {0, 10000};
		if (!PQcancel(cancel, error, sizeof error)) {
			printf("cancel: %s\n", error);
			exit(1);
		}
		select(0, NULL, NULL, NULL, &pause);
	}
	PGresult *result = PQgetResult(conn);
	printf("canceled %s\n", PQresultErrorField(result, PG_DIAG_SQLSTATE));
	PQclear(result);
	PQfreeCancel(cancel);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	conn = PQconnectdb(argv[1]);
	if (PQstatus(conn) != CONNECTION_OK)
		fail("connect");
	PGresult *result = expect(PQexec(conn, "SELECT current_user"), PGRES_TUPLES_OK, "user");
	printf("connected as %s\n", PQgetvalue(result, 0, 0));
	PQclear(result);
	prepared();
	copied();
	pipelined();
	notified();
	canceled();
	PQfinish(conn);
	return 0;
}
