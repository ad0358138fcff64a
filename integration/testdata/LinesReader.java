import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.mariadb.jdbc.Configuration;
import org.postgresql.Driver;

/** Prints the user, the password and the database of each URL that is an argument, a zero byte after each. */
public class LinesReader {
    private static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    public static void main(String[] args) throws Exception {
        for (String url : args) {
            if (url.startsWith("jdbc:mariadb:")) {
                Configuration c = Configuration.parse(url);
                print(c.user(), c.password(), c.database());
            } else {
                Properties p = Driver.parseURL(url, null);
                print(p.getProperty("user"), p.getProperty("password"), p.getProperty("PGDBNAME"));
            }
        }
    }

    private static void print(String... texts) {
        for (String text : texts) {
            out.print((text == null ? "" : text) + "\0");
        }
    }
}
