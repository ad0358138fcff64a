package integration

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/servers"
)

var (
	picture     = flag.String("picture", "", "a folder for pictures of the status page; they take the time of -picture-time")
	pictureTime = flag.Duration("picture-time", 7*time.Minute, "how long clients come and go before the pictures are taken")
)

// refused is a psql that is not let in.
func refused(t *testing.T, addr string) {
	t.Helper()
	cmd, err := servers.Client(t.Context(), "18", "psql", "-X", "-w", "postgres://whoever@"+addr+"/orders")
	if err != nil {
		t.Fatal(err)
	}
	i := interact(t, cmd, "psql")
	for i.out.Scan() {
	}
}

// TestPictureOfStatusPage takes the pictures for the documentation, of real sessions with both databases.
func TestPictureOfStatusPage(t *testing.T) {
	if *picture == "" {
		t.Skip("-picture names no folder")
	}
	const pgAddr, myAddr, wrongAddr = "127.0.0.1:5433", "127.0.0.1:3307", "127.0.0.1:5434"
	p, m := pg18(t), mysqlServer(t, servers.MySQLOptions{Version: "mariadb11"})
	routes := []string{
		strings.Replace(iamRoute(p, "name=orders"), "listen=127.0.0.1:0", "listen="+pgAddr, 1),
		strings.Replace(mysqlRoute("clear", m, "auth=env:STOCK_PASSWORD", "name=stock"), "listen=127.0.0.1:0", "listen="+myAddr, 1),
		strings.Replace(route("scram", p, "auth=env:REPORTS_PASSWORD", "name=reports"), "listen=127.0.0.1:0", "listen="+wrongAddr, 1),
	}
	v := startCommand(t, command(t, plainProgram, append(p.AWSEnvironment(), "STOCK_PASSWORD="+m.ClearPassword, "REPORTS_PASSWORD=of last month"), append([]string{"--admin=127.0.0.1:0", "--landlock=off"}, routes...)...), len(routes))
	url := "http://" + v.next("admin ready", 0).str("listener") + "/"

	report := openPSQL(t, pgAddr, "nightly report")
	report.says("SELECT repeat('x', 1000) FROM generate_series(1, 2000);", "xx")
	report.says("SELECT 'done';", "done")
	openMariaDB(t, myAddr)
	for i, limit := 0, time.After(*pictureTime); ; i++ {
		select {
		case <-limit:
			refused(t, wrongAddr)
			openPSQL(t, pgAddr, "")
			b := startBrowser(t)
			for _, scheme := range []string{"light", "dark"} {
				b.do("open", args{"url": url, "scheme": scheme})
				b.sees("#link", "Live")
				b.sees(".errors li", "password authentication failed")
				b.do("screenshot", args{"path": filepath.Join(*picture, "status-page-"+scheme+".png")})
			}
			return
		case <-time.After(time.Duration(3+7*i%20) * time.Second):
			mustPSQL(t, v, "SELECT 1")
			if i%3 == 0 {
				db := mysqlDB(t, myAddr, "whoever", "")
				ask(t, db, "SELECT 1")
				db.Close()
			}
		}
	}
}
