import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** What a Java program does, through dbvalet: the arguments are host, port, user and a file with 1,000 rows. */
public class MySQLClient {
    public static void main(String[] args) throws Exception {
        String url = "jdbc:mariadb://" + args[0] + ":" + args[1] + "/orders?allowMultiQueries=true&useServerPrepStmts=true"
                + "&allowLocalInfile=true&useBulkStmts=true&useResetConnection=true";
        for (String password : new String[] {"", "dummy"}) {
            try (Connection db = DriverManager.getConnection(url, args[2], password); Statement s = db.createStatement()) {
                String cipher = row(s.executeQuery("SHOW STATUS LIKE 'Ssl_cipher'")).get(1);
                System.out.println(row(s.executeQuery("SELECT CURRENT_USER()")).get(0) + (cipher.isEmpty() ? " in clear" : " encrypted"));
                session(db, s, args[3]);
                cancel(db, DriverManager.getConnection(url, args[2], password));
            }
        }
    }

    static void session(Connection db, Statement s, String file) throws Exception {
        try (var prepared = db.prepareStatement("SELECT ? + 1, ?")) {
            prepared.setInt(1, 41);
            prepared.setString(2, "e");
            System.out.println("prepared " + String.join(" ", row(prepared.executeQuery())));
        }
        List<String> results = new ArrayList<>();
        s.execute("SELECT 1; SELECT 2; SELECT 3");
        do {
            results.addAll(row(s.getResultSet()));
        } while (s.getMoreResults());
        System.out.println("results " + String.join(" ", results));

        s.execute("CREATE TEMPORARY TABLE loaded (id INT PRIMARY KEY)");
        System.out.println("loaded " + s.executeUpdate("LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE loaded"));
        try (var batch = db.prepareStatement("INSERT INTO loaded VALUES (?)")) {
            for (int i = 0; i < 500; i++) {
                batch.setInt(1, 5000 + i);
                batch.addBatch();
            }
            batch.executeBatch();
        }
        System.out.println("batch " + row(s.executeQuery("SELECT COUNT(*) FROM loaded WHERE id >= 5000")).get(0));
        s.execute("INSERT IGNORE INTO loaded VALUES (1)");
        System.out.println("warnings " + s.getWarnings().getErrorCode());
        System.out.println("errors " + error(s, "SELECT * FROM no_such_table") + " " + error(s, "INSERT INTO loaded VALUES (1)"));

        s.execute("SET @left = 1");
        db.unwrap(org.mariadb.jdbc.Connection.class).reset();
        System.out.println("reset " + String.join(" ", row(s.executeQuery("SELECT CURRENT_USER(), IFNULL(@left, 'NULL')"))));
    }

    /** Cancels a statement, which the driver does with KILL QUERY on another connection. */
    static void cancel(Connection db, Connection other) throws Exception {
        try (other; Statement watch = other.createStatement(); Statement slow = db.createStatement()) {
            String id = row(slow.executeQuery("SELECT CONNECTION_ID()")).get(0);
            String[] ended = new String[1];
            Thread runs = new Thread(() -> {
                try {
                    ended[0] = row(slow.executeQuery("SELECT /* slow */ SLEEP(600)")).get(0);
                } catch (SQLException e) {
                    ended[0] = String.valueOf(e.getErrorCode());
                }
            });
            runs.start();
            String query = "SELECT COUNT(*) FROM information_schema.processlist WHERE id = " + id + " AND info LIKE 'SELECT /* slow */%'";
            while (row(watch.executeQuery(query)).get(0).equals("0")) {
                Thread.onSpinWait();
            }
            slow.cancel();
            runs.join();
            // SLEEP returns 1 if it was interrupted, or is an error.
            System.out.println(ended[0].equals("1") || ended[0].equals("1317") ? "canceled" : "ended with " + ended[0]);
        }
    }

    static List<String> row(ResultSet rows) throws SQLException {
        try (rows) {
            rows.next();
            List<String> values = new ArrayList<>();
            for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
                values.add(rows.getString(i));
            }
            return values;
        }
    }

    static String error(Statement s, String sql) {
        try {
            s.execute(sql);
            return "no error";
        } catch (SQLException e) {
            return e.getErrorCode() + " " + e.getSQLState();
        }
    }
}
