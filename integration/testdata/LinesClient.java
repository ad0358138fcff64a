import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;

/** What MariaDB's Connector/J makes of a URL, which is the argument. */
public class LinesClient {
    public static void main(String[] args) throws Exception {
        try (Connection db = DriverManager.getConnection(args[0]);
                ResultSet rows = db.createStatement().executeQuery("SELECT CURRENT_USER(), DATABASE()")) {
            rows.next();
            System.out.println(rows.getString(1) + " " + rows.getString(2));
        }
    }
}
