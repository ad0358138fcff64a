import java.sql.DriverManager;

public class WhoAmI {
    public static void main(String[] args) throws Exception {
        String url = "jdbc:mariadb://" + args[0] + ":" + args[1] + "/orders?sslMode=verify-full&serverSslCert=" + args[4];
        try (var connection = DriverManager.getConnection(url, args[2], args[3]);
                var rows = connection.createStatement().executeQuery("SELECT CURRENT_USER()")) {
            rows.next();
            System.out.println(rows.getString(1));
        }
    }
}
