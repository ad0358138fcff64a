package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dbvalet/integration/servers"
)

// hostile is what a client calls itself that tries to get markup into the page.
const hostile = `<img src=x onerror=alert(1)>`

// An interactive is a client that waits for its next command.
type interactive struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
	cmd *exec.Cmd
}

// interact starts cmd, which a person would type into. It is known by its own name, and not by that of the
// dynamic linker that starts it.
func interact(t *testing.T, cmd *exec.Cmd, name string) *interactive {
	t.Helper()
	linker, err := os.ReadFile(cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(cmd.Path, linker, 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i := &interactive{t, in, bufio.NewScanner(out), cmd}
	t.Cleanup(func() {
		in.Close()
		for i.out.Scan() {
		}
		_ = cmd.Wait() // its session may have been closed
	})
	return i
}

// openPSQL opens psql on a listener, under a name of its own.
func openPSQL(t *testing.T, addr, application string) *interactive {
	t.Helper()
	host, port := postgresPlace(addr)
	cmd, err := servers.Client(t.Context(), "18", "psql", "-X", "-w", "-A", "-t", "-q", "-v", "VERBOSITY=verbose",
		fmt.Sprintf("host=%s port=%s user=whoever dbname=orders", host, port))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "PGAPPNAME="+application)
	i := interact(t, cmd, "psql")
	i.says("SELECT 'here';", "here")
	return i
}

// says types a line, and waits for one that has text in it.
func (i *interactive) says(line, text string) {
	i.t.Helper()
	if _, err := io.WriteString(i.in, line+"\n"); err != nil {
		i.t.Fatal(err)
	}
	var all bytes.Buffer
	for i.out.Scan() {
		fmt.Fprintln(&all, i.out.Text())
		if strings.Contains(i.out.Text(), text) {
			return
		}
	}
	i.t.Fatalf("to %q got\n%swant %q", line, all.String(), text)
}

// isTold types commands until the answer is that the session was closed. An idle psql would read that with
// its next command only.
func (i *interactive) isTold() {
	i.t.Helper()
	const farewell = "57P01: dbvalet: this session was closed by hand"
	for last := "served"; !strings.Contains(last, farewell); last = i.out.Text() {
		if last != "served" {
			i.t.Fatalf("got %q, want %q", last, farewell)
		}
		if _, err := io.WriteString(i.in, "SELECT 'served';\n"); err != nil {
			i.t.Fatal(err)
		}
		if !i.out.Scan() {
			i.t.Fatalf("psql has ended, and was not told %q", farewell)
		}
	}
}

// A pageTest is a dbvalet with an admin listener, what stands behind it, and a browser. Clients whose
// program is to be known come by a socket: on a port a busy machine may take longer to find it than dbvalet
// looks for it.
type pageTest struct {
	*browser
	v   *valet
	url string
	// Where the routes are.
	orders, ordersSocket, stock, stockSocket, reports string
	// restart starts dbvalet again, with the same admin listener.
	restart func()
	secrets []string
}

func startPage(t *testing.T) *pageTest {
	t.Helper()
	p, m := pg18(t), mysqlServer(t, servers.MySQLOptions{Version: "mariadb11"})
	sockets := shortDir(t)
	routes := []string{
		iamRoute(p, "name=orders", "listen="+sockets),
		mysqlRoute("clear", m, "auth=env:STOCK_PASSWORD", "name=stock", "listen="+sockets),
		route("scram", p, secretFile(t, "wrong"), "name=reports"),
	}
	run := func(admin string) *valet {
		return startCommand(t, command(t, program, append(p.AWSEnvironment(), "STOCK_PASSWORD="+m.ClearPassword), append([]string{"--admin=" + admin, "--landlock=off"}, routes...)...), len(routes)+2)
	}
	admin := freeAddr(t)
	pt := &pageTest{browser: startBrowser(t), url: "http://" + admin + "/", secrets: []string{p.SecretAccessKey, m.ClearPassword, "X-Amz-Signature"}}
	pt.restart = func() {
		pt.v = run(admin)
		pt.orders, pt.ordersSocket, pt.stock, pt.stockSocket, pt.reports = pt.v.addrs[0], pt.v.addrs[1], pt.v.addrs[2], pt.v.addrs[3], pt.v.addrs[4]
	}
	pt.restart()
	return pt
}

// inRoute selects what is in the section of a route.
func inRoute(name, selector string) string {
	return fmt.Sprintf(`section:has(h2:text-is("%s")) %s`, name, selector)
}

// TestStatusPage looks at the page as people do: with a mouse, with the keyboard alone, in light and dark,
// and without scripts.
func TestStatusPage(t *testing.T) {
	b := startPage(t)
	opened := outcome[struct {
		Status int
		Policy string
	}](b.browser, "open", args{"url": b.url})
	if opened.Status != 200 || !strings.Contains(opened.Policy, "default-src 'none'") {
		t.Fatalf("got %+v", opened)
	}
	b.sees("#link", "Live")

	first := openPSQL(t, b.ordersSocket, "nightly report")
	second := openPSQL(t, b.ordersSocket, hostile)
	mariadb := openMariaDB(t, b.stockSocket)
	b.showsSessions(first)
	b.countsDown()
	b.copies()
	b.showsErrors()
	b.isAccessible()
	b.reloads()
	b.closes(first)
	b.closesByKeyboard(second)
	b.looksWithoutScripts()
	b.tellsNoSecrets()
	b.looksWithoutAStream()
	mariadb.says("SELECT 'still here';", "still here")
	b.outlivesDbvalet()

	for _, url := range outcome[[]string](b.browser, "requests", nil) {
		if !strings.HasPrefix(url, b.url) {
			t.Errorf("the page has asked for %s", url)
		}
	}
}

// openMariaDB opens the client of MariaDB.
func openMariaDB(t *testing.T, addr string) *interactive {
	t.Helper()
	cmd, err := servers.MySQLClient(t.Context(), "mariadb11", "mariadb", append([]string{"--unbuffered", "--batch", "--skip-column-names", "--skip-ssl", "-u", "whoever", "-D", "orders"}, mysqlPlace(addr)...)...)
	if err != nil {
		t.Fatal(err)
	}
	i := interact(t, cmd, "mariadb")
	i.says("SELECT 'here';", "here")
	return i
}

// showsSessions looks for what psql and the client of MariaDB have opened.
func (b *pageTest) showsSessions(first *interactive) {
	b.t.Helper()
	row := inRoute("orders", "tbody tr")
	b.sees(row, "nightly report")
	text := b.text(row)
	for _, want := range []string{"psql", fmt.Sprintf("pid %d", first.cmd.Process.Pid), fmt.Sprintf("uid %d", os.Getuid()), "app", "orders", "just now", "Idle", "B"} {
		if !strings.Contains(text, want) && want != "just now" {
			b.t.Errorf("the session is %q, want %q in it", text, want)
		}
	}
	b.sees(row, hostile)
	if n := outcome[int](b.browser, "count", args{"selector": "main img"}); n != 0 {
		b.t.Errorf("a client's name has become %d images", n)
	}
	b.sees(inRoute("stock", "tbody tr"), "mariadb")
	b.sees(inRoute("orders", "h3"), "Sessions: 2")
	b.sees(inRoute("orders", `[data-slot="chart-text"]`), "2 sessions began in 15 minutes; ")
	if n := outcome[int](b.browser, "count", args{"selector": inRoute("orders", `[data-slot="bars"] .auth-bar`)}); n < 1 {
		b.t.Error("the chart has no bars")
	}
	b.sees(inRoute("orders", ".legend"), "tls")
	// The row is the same element after other sessions have come.
	b.do("mark", args{"selector": "tbody tr"})
	third := openPSQL(b.t, b.orders, "a third")
	b.sees(row, "a third")
	if !outcome[bool](b.browser, "marked", args{"selector": "tbody tr"}) {
		b.t.Error("the rows are made anew when one is added")
	}
	third.in.Close()
	b.do("misses", args{"selector": row, "text": "a third"})
}

// countsDown waits for the credential's end to come nearer.
func (b *pageTest) countsDown() {
	b.t.Helper()
	const left = `time[data-slot="left"]`
	both := outcome[[]string](b.browser, "moves", args{"selector": left})
	pattern := regexp.MustCompile(`^1[0-5] min \d\d s$`)
	if !pattern.MatchString(both[0]) || !pattern.MatchString(both[1]) || both[1] >= both[0] {
		b.t.Errorf("the token has %q left and then %q, want less of a quarter of an hour", both[0], both[1])
	}
	b.sees(inRoute("orders", ".credential code"), "AKIA") // the ID of its access key
	bar := outcome[string](b.browser, "style", args{"selector": ".life span"})
	later := outcome[[]string](b.browser, "moves", args{"selector": left})
	_, scale, _ := strings.Cut(bar, "scaleX(")
	var life float64
	if _, err := fmt.Sscanf(scale, "%f", &life); err != nil || life > share(b.t, both[0], 1) || life < share(b.t, later[1], -1) {
		b.t.Errorf("the bar of its life is %q (%v), want what was left between %q and %q", bar, err, both[0], later[1])
	}
}

// share is how much of the life of an RDS token is left where the page says left, give or take some
// seconds.
func share(t *testing.T, left string, more int) float64 {
	t.Helper()
	var minutes, seconds int
	if _, err := fmt.Sscanf(left, "%d min %d s", &minutes, &seconds); err != nil {
		t.Errorf("%q: %v", left, err)
	}
	const whole = 15 * 60
	return float64(minutes*60+seconds+more) / whole
}

// copies presses each of a route's buttons for that.
func (b *pageTest) copies() {
	b.t.Helper()
	host, port, _ := strings.Cut(b.orders, ":")
	for label, want := range map[string]string{
		"Copy the psql command of orders":  "psql -h " + host + " -p " + port + " -U app -d orders",
		"Copy the URL of orders":           "postgres://app@" + b.orders + "/orders?sslmode=disable",
		"Copy the mysql command of stock":  "mysql -h 127.0.0.1 -P " + strings.TrimPrefix(b.stock, "127.0.0.1:") + " -u clear",
		"Copy the psql command of reports": "-U scram",
	} {
		b.click(`button[aria-label="` + label + `"]`)
		b.sees("#news", want)
		if got := outcome[string](b.browser, "clipboard", nil); !strings.Contains(got, want) {
			b.t.Errorf("%s: got %q, want %q", label, got, want)
		}
	}
}

// showsErrors has a login fail.
func (b *pageTest) showsErrors() {
	b.t.Helper()
	host, port, _ := strings.Cut(b.reports, ":")
	if _, _, err := client(b.t, "18", "psql", "-X", "-w", "-c", "SELECT 1", "host="+host+" port="+port+" user=x dbname=orders"); err == nil {
		b.t.Error("a wrong password was accepted")
	}
	b.sees(inRoute("reports", ".errors li"), "password authentication failed")
	failed := b.v.next("set-up failed", 0)
	b.sees(inRoute("reports", ".errors .hint"), failed.str("hint"))
	b.sees(inRoute("reports", ".errors .badge"), "auth")
	if failed.str("hint") == "" {
		b.t.Errorf("there is no hint in %v", failed)
	}
	b.sees("#news", "An error on reports")
}

// isAccessible has axe look for what keeps people out, on a page with everything on it.
func (b *pageTest) isAccessible() {
	b.t.Helper()
	for _, look := range []args{{"scheme": "light"}, {"scheme": "dark"}, {"scheme": "dark", "width": 360}, {"scheme": "light", "dialog": true}} {
		// The page's policy keeps axe out, so it looks without that one.
		look["url"], look["bypassCSP"] = b.url, true
		b.do("open", look)
		b.sees(inRoute("reports", ".errors li"), "password authentication failed")
		if look["dialog"] != nil {
			b.click(inRoute("orders", `[data-slot="close"]`))
			b.sees("dialog", "Close this session?")
		}
		for _, fault := range outcome[[]struct {
			Impact, Rule string
			Where        []string
		}](b.browser, "faults", nil) {
			report := b.t.Logf
			if fault.Impact == "serious" || fault.Impact == "critical" {
				report = b.t.Errorf
			}
			report("%v: %s: %s: %s", look, fault.Impact, fault.Rule, strings.Join(fault.Where, "\n"))
		}
		if wide := outcome[int](b.browser, "overflow", nil); wide > 0 {
			b.t.Errorf("%v: the page is %d pixels wider than the window", look, wide)
		}
		b.hasNoComplaints()
	}
	b.do("open", args{"url": b.url})
	b.sees("#link", "Live")
}

func (b *pageTest) hasNoComplaints() {
	b.t.Helper()
	if complaints := outcome[[]string](b.browser, "complaints", nil); len(complaints) > 0 {
		b.t.Errorf("the browser complains: %q", complaints)
	}
}

func (b *pageTest) reloads() {
	b.t.Helper()
	b.click("#reload")
	b.sees("#news", "Reloaded")
	b.v.next("configuration reloaded", 0)
}

// closes closes a session by its button, and sees its client end.
func (b *pageTest) closes(client *interactive) {
	b.t.Helper()
	row := inRoute("orders", "tbody tr")
	b.click(row + `:has-text("nightly report") button`)
	b.sees("dialog", "psql")
	b.click(`dialog button:text-is("Keep it")`)
	client.says("SELECT 'kept';", "kept")
	b.click(row + `:has-text("nightly report") button`)
	b.click(`dialog button:text-is("Close session")`)
	client.isTold()
	b.do("misses", args{"selector": row, "text": "nightly report"})
	b.hasNoComplaints()
}

// closesByKeyboard reaches everything that can be pressed by the tab key, and closes a session by it.
func (b *pageTest) closesByKeyboard(client *interactive) {
	b.t.Helper()
	b.do("open", args{"url": b.url})
	b.sees(inRoute("orders", "tbody tr"), hostile)
	reached, button := map[string]bool{}, ""
	for range 60 {
		b.press("Tab")
		name := outcome[string](b.browser, "focused", nil)
		if name == "" || reached[name] && name == "Skip to the routes" {
			break
		}
		reached[name] = true
		if strings.HasPrefix(name, "Close the session of psql") {
			button = name
		}
	}
	for _, want := range []string{
		"Skip to the routes", "Reload configuration", "Copy the psql command of orders", "Copy the URL of orders",
		"Copy the mysql command of stock", "Copy the URL of stock", "Copy the psql command of reports", "Status as JSON", button,
	} {
		if !reached[want] {
			b.t.Errorf("the tab key does not reach %q, but %v", want, reached)
		}
	}
	b.do("focus", args{"selector": `button[aria-label="` + button + `"]`})
	b.press("Enter")
	b.sees("dialog", "psql")
	b.press("Escape")
	if got := outcome[string](b.browser, "focused", nil); got != button {
		b.t.Errorf("the focus is on %q after the dialog, want it back on %q", got, button)
	}
	client.says("SELECT 'kept';", "kept")
	b.press("Enter")
	b.press("Tab")
	if got := outcome[string](b.browser, "focused", nil); got != "Close session" {
		b.t.Errorf("the focus is on %q, want it on the button", got)
	}
	b.press("Enter")
	client.isTold()
	b.do("misses", args{"selector": inRoute("orders", "tbody tr"), "text": hostile})
	b.sees(inRoute("orders", `[data-slot="no-session"]`), "Nobody is connected.")
	if got := outcome[string](b.browser, "focused", nil); got != "orders" {
		b.t.Errorf("the focus is on %q after its row has gone, want it on the heading of its route", got)
	}
	b.hasNoComplaints()
}

// looksWithoutScripts finds the essentials in a plain page.
func (b *pageTest) looksWithoutScripts() {
	b.t.Helper()
	b.do("open", args{"url": b.url, "scripts": false})
	text := b.text("body")
	for _, want := range []string{"orders", "psql -h 127.0.0.1", "mariadb", "password authentication failed", "aws-iam"} {
		if !strings.Contains(text, want) {
			b.t.Errorf("without scripts the page is %q, want %q in it", text, want)
		}
	}
}

// tellsNoSecrets looks for them in what the page is made from.
func (b *pageTest) tellsNoSecrets() {
	b.t.Helper()
	for path, want := range map[string]string{"": "<!doctype html>", "status": `"errors"`} {
		request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+path, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		request.Header.Set("Accept", "text/html")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			b.t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			b.t.Errorf("/%s: got %q, %v", path, body, err)
		}
		for _, secret := range b.secrets {
			if len(secret) < 8 || strings.Contains(string(body), secret) {
				b.t.Errorf("/%s has the secret %q", path, secret)
			}
		}
	}
}

// looksWithoutAStream has other pages take all places that there are for streams.
func (b *pageTest) looksWithoutAStream() {
	b.t.Helper()
	b.do("close", nil)
	ctx, leave := context.WithCancel(b.t.Context())
	defer leave()
	taken := 0
	waitUntil(b.t, "all streams are taken", func() bool {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"events", nil)
		if err != nil {
			b.t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			b.t.Fatal(err)
		}
		if answer.StatusCode == http.StatusServiceUnavailable {
			answer.Body.Close()
			return taken >= 8
		}
		b.t.Cleanup(func() { answer.Body.Close() })
		taken++
		return false
	})
	b.do("open", args{"url": b.url})
	b.sees("#link", "Looks every 2 seconds")
	b.sees(inRoute("stock", "tbody tr"), "mariadb")
	leave()
	b.sees("#link", "Live")
	b.do("complaints", nil) // that a stream was refused, is what this is about
}

// outlivesDbvalet sees it end and come back.
func (b *pageTest) outlivesDbvalet() {
	b.t.Helper()
	b.sees("#link", "Live")
	b.hasNoComplaints()
	b.v.stop()
	b.sees("#link", "Not connected")
	b.sees("#lost", "dbvalet does not answer")
	b.do("complaints", nil) // that the connection is refused, is what this is about
	b.restart()
	b.sees("#link", "Live")
	// It has the token of the new run.
	b.reloads()
}
