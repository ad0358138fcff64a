import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;

/** What JDBC makes of a URL: the arguments are the URL, and a query for one text. */
public class LinesClient {
    public static void main(String[] args) throws Exception {
        try (Connection db = DriverManager.getConnection(args[0]);
                ResultSet rows = db.createStatement().executeQuery(args[1])) {
            rows.next();
            System.out.println(rows.getString(1));
        }
    }
}
