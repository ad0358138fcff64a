package main

import (
	"bufio"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dbvalet/proxy"
)

// newHome gives a home without any file, and returns where the user's own configuration would be.
func newHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	t.Setenv("DBVALET_CONFIG", "")
	return userFilePath()
}

// inits runs dbvalet init with answers, and returns what it says.
func inits(t *testing.T, answers string, args ...string) (said string, err error) {
	t.Helper()
	cmd := newInitCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var stdout, stderr strings.Builder
	cmd.SetIn(strings.NewReader(answers))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(append([]string{}, args...))
	err = cmd.ExecuteContext(t.Context())
	if stdout.String() != "" {
		t.Errorf("%q is on stdout, where nobody reads it", stdout.String())
	}
	return stderr.String(), err
}

// wantContent checks a file.
func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s: got %v\n%s\nwant\n%s", path, err, got, want)
	}
}

// wantNothing checks that there is no file in the home, nor a directory of ours.
func wantNothing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", filepath.Dir(path), err)
	}
}

const firstFile = `# Routes of dbvalet. "dbvalet config schema" and docs/configuration.md say what there is.
routes:
  - name: orders
    upstream: postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders
    listen: 127.0.0.1:15432
`

func TestInitWritesTheFirstFileFromAnswers(t *testing.T) {
	path := newHome(t)
	said, err := inits(t, "orders.abc123.us-east-1.rds.amazonaws.com\n\n\n\norders\n15432\n\ny\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	wantContent(t, path, firstFile)
	for _, want := range []string{
		"PostgreSQL or MySQL [postgres]: ", "Credential [aws-iam]: ", "Database user [app]: ", "Database name [as the client says]: ", "Name of the route [orders]: ",
		path + " is going to be made, with this route:\n\n  - name: orders\n",
		"wrote " + path + "; next:\n  dbvalet check orders\n  dbvalet psql orders\n  dbvalet orders\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("got\n%s\nwant in it\n%s", said, want)
		}
	}
	for name, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: got %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("got %v beside the file", entries)
	}
	var out, errOut strings.Builder
	if status := run([]string{"config", "check", "orders"}, &out, &errOut, process{}); status != exitOK {
		t.Errorf("config check: %s", errOut.String())
	}
}

func TestInitWithFlagsAsksNothing(t *testing.T) {
	path := newHome(t)
	args := []string{"--yes", "--upstream=mysql://db.example.com:3307?tls=require&name=shop", "--auth=env:PW", "--user=", "--port=localhost:13307"}
	if said, err := inits(t, "", args...); err != nil || strings.Contains(said, ": \n") || strings.Contains(said, "?") {
		t.Errorf("got %v\n%s", err, said)
	}
	wantContent(t, path, `# Routes of dbvalet. "dbvalet config schema" and docs/configuration.md say what there is.
routes:
  - name: shop
    upstream: mysql://db.example.com:3307
    listen: localhost:13307
    tls: require
    auth: env:PW
`)
	for flag, want := range map[string]string{
		"":                           "answer it with --upstream",
		"--upstream=db.example.com":  "answer it with --auth",
		"--upstream=aws::":           "no place of a database",
		"--upstream=db.example.com/": "no place of a database",
		"--engine=oracle":            "write postgres or mysql",
		"--port=70000":               "ports are 1 to 65535",
		"--name=a b":                 "no quotes",
		"--auth=" + secret:           "unknown source",
	} {
		args := []string{"--yes"}
		if flag != "" {
			args = append(args, flag)
		}
		if !strings.HasPrefix(flag, "--upstream") && flag != "" {
			args = append(args, "--upstream=db.example.com")
		}
		if flag != "" && !strings.HasPrefix(flag, "--auth") && !strings.HasPrefix(flag, "--upstream") {
			args = append(args, "--auth=env:PW")
		}
		said, err := inits(t, "", args...)
		_, usage := errors.AsType[usageError](err)
		text := said
		if err != nil {
			text += err.Error() + "\n" + proxy.Hint(err)
		}
		if !usage || !strings.Contains(text, want) || strings.Contains(text, secret) {
			t.Errorf("%v: got %v\n%s\nwant %s", args, err, text, want)
		}
	}
}

const commented = `# ours
log_level: warn # quiet

routes:
# the first
- name: orders
  upstream: postgres://app@db.example.com/orders   # the old one

  listen:
    - 127.0.0.1:5432
  auth: env:PW
  # connect_timeout: 10s

# what follows is for everything
drain_timeout: 5s
`

func TestInitLeavesTheRestOfTheFileAsItIs(t *testing.T) {
	for name, row := range map[string]struct{ before, after string }{
		"comments and no indentation": {commented, strings.Replace(commented, "\n\n# what follows", `
- name: db
  upstream: postgres://app@db.example.com
  listen: 127.0.0.1:15433
  auth: env:PW

# what follows`, 1)},
		"no end of line": {"routes:\n    - upstream: mysql://m.example.com\n      name: m\n      auth: exec:echo x",
			"routes:\n    - upstream: mysql://m.example.com\n      name: m\n      auth: exec:echo x\n" +
				"    - name: db\n      upstream: postgres://app@db.example.com\n      listen: 127.0.0.1:15433\n      auth: env:PW\n"},
		"text of several lines": {"routes:\n  - name: m\n    upstream: >-\n      mysql://m.example.com\n\n    auth: >-\n      exec:echo\n      x\n\n\nadmin: /run/x\n",
			"routes:\n  - name: m\n    upstream: >-\n      mysql://m.example.com\n\n    auth: >-\n      exec:echo\n      x\n" +
				"  - name: db\n    upstream: postgres://app@db.example.com\n    listen: 127.0.0.1:15433\n    auth: env:PW\n\n\nadmin: /run/x\n"},
		"no routes": {"log_level: warn\n# the end", "log_level: warn\n# the end\nroutes:\n  - name: db\n    upstream: postgres://app@db.example.com\n    listen: 127.0.0.1:15433\n    auth: env:PW\n"},
		"empty":     {"\n", newFile + "  - name: db\n    upstream: postgres://app@db.example.com\n    listen: 127.0.0.1:15433\n    auth: env:PW\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "my.yaml")
			if err := errors.Join(os.WriteFile(path, []byte(row.before), 0o600), os.Chmod(path, 0o640)); err != nil {
				t.Fatal(err)
			}
			said, err := inits(t, "", "--config", path, "--yes", "--upstream=db.example.com", "--auth=env:PW", "--port=15433")
			if err != nil || !strings.Contains(said, "dbvalet check --config "+path+" db\n") || !strings.Contains(said, path+" gets this route") {
				t.Fatalf("%v\n%s", err, said)
			}
			wantContent(t, path, row.after)
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
				t.Errorf("got %v, %v, want the mode that it had", info.Mode(), err)
			}
			if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
				t.Errorf("got %v beside the file", entries)
			}
		})
	}
}

func TestInitRefusesWhatItWouldHaveToWriteAnew(t *testing.T) {
	for name, row := range map[string]struct{ before, want string }{
		"list in brackets": {`routes: [{upstream: "mysql://m.example.com", auth: "env:X"}]` + "\n", "not a list of lines"},
		"braces":           {`{routes: [{upstream: "mysql://m.example.com", auth: "env:X"}]}` + "\n", "not written in lines"},
		"a mistake":        {"routes:\n  - upstream: mysql://m.example.com\n    nonsense: 1\n", "unknown key"},
		"the same name":    {"routes:\n  - {upstream: mysql://db.example.com, auth: env:X, name: taken}\n", "there is a route of this name"},
		"the same address": {"routes:\n  - {upstream: mysql://db.example.com, auth: env:X, listen: 127.0.0.1:15433}\n", "listens there"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "my.yaml")
			if err := os.WriteFile(path, []byte(row.before), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := inits(t, "", "--config", path, "--yes", "--upstream=new.example.com", "--auth=env:PW", "--name=taken", "--port=15433")
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %s", err, row.want)
			}
			if strings.Contains(row.want, "lines") && !strings.Contains(proxy.Hint(err), "  - name: taken\n    upstream: postgres://app@new.example.com\n") {
				t.Errorf("got hint %q, want the text to add", proxy.Hint(err))
			}
			wantContent(t, path, row.before)
			if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
				t.Errorf("got %v beside the file", entries)
			}
		})
	}
}

func TestInitThatIsNotFinishedLeavesNothing(t *testing.T) {
	path := newHome(t)
	const all = "db.example.com\npg\nenv:PW\napp\norders\n15432\nx\n"
	if said, err := inits(t, all+"n\n"); err != nil || !strings.Contains(said, "nothing was written") {
		t.Errorf("got %v\n%s", err, said)
	}
	wantNothing(t, path)
	for n := range strings.Count(all, "\n") + 1 {
		answers := strings.Join(strings.SplitAfter(all, "\n")[:n], "")
		if _, err := inits(t, answers); err == nil || !strings.Contains(err.Error(), "stdin ended without an answer") {
			t.Errorf("%q: got %v, want that stdin ended", answers, err)
		}
		wantNothing(t, path)
	}
}

func TestInitsNamesAreNoFlagsOrCommands(t *testing.T) {
	path := newHome(t)
	args := []string{"init", "--yes", "--auth=env:PW", "--port=15432"}
	for name, want := range map[string]string{"-x": "no dash comes first", "--help": "no dash comes first", "status": "dbvalet status is a command", "help": "dbvalet help is a command"} {
		if status, _, stderr := runs(t, append(args, "--upstream=db.example.com", "--name="+name)...); status != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: got status %d\n%s\nwant %s", name, status, stderr, want)
		}
	}
	wantNothing(t, path)
	if status, _, stderr := runs(t, append(args, "--upstream=status.example.com")...); status != exitOK || !strings.Contains(stderr, "dbvalet psql status-2\n") {
		t.Errorf("proposal: got status %d\n%s\nwant another name", status, stderr)
	}
}

func TestInitsFirstFileMayHaveOthersBesideIt(t *testing.T) {
	const beside = "routes:\n  - {name: db, upstream: 'mysql://m.example.com', auth: 'env:X', listen: '127.0.0.1:15432'}\n"
	for name, make := range map[string]func(path string) error{
		"new":   func(string) error { return nil },
		"empty": func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := newHome(t)
			dir := filepath.Join(filepath.Dir(path), "config.d")
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(beside), 0o600), make(path)); err != nil {
				t.Fatal(err)
			}
			args := []string{"--yes", "--upstream=db.example.com", "--auth=env:PW"}
			if _, err := inits(t, "", append(args, "--port=15432")...); err == nil || !strings.Contains(err.Error(), "the route db listens there") {
				t.Errorf("got %v, want that the port is that of another route", err)
			}
			if said, err := inits(t, "", append(args, "--port=15433")...); err != nil || !strings.Contains(said, "dbvalet db-2\n") {
				t.Errorf("got %v\n%s\nwant a name that is free", err, said)
			}
			if status, stdout, stderr := runs(t, "config", "check"); stdout != "ok: 2 routes\n" {
				t.Errorf("config check: got %d\n%s%s", status, stdout, stderr)
			}
		})
	}
}

func TestInitAsksNothingForALinkToNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "my.yaml")
	if err := os.Symlink("nothing.yaml", path); err != nil {
		t.Fatal(err)
	}
	said, err := inits(t, "db.example.com\n", "--config", path)
	if err == nil || !strings.Contains(err.Error(), path+" is a link to a file that is not there") || said != "" {
		t.Errorf("got %v\n%s\nwant it refused at once", err, said)
	}
}

func TestInitMakesNothingInTheHomeOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can write there")
	}
	for name, change := range map[string]func(home string) error{
		"nothing there": func(string) error { return nil },
		"a link":        func(home string) error { return os.Symlink(t.TempDir(), filepath.Join(home, ".config")) },
	} {
		t.Run(name, func(t *testing.T) {
			path := newHome(t)
			home := os.Getenv("HOME")
			if err := errors.Join(os.Chown(home, 65534, 65534), change(home)); err != nil {
				t.Fatal(err)
			}
			_, err := inits(t, "", "--yes", "--upstream=db.example.com", "--auth=env:PW")
			if err == nil || !strings.Contains(err.Error(), home+": it belongs to another user") || !strings.Contains(proxy.Hint(err), "--config") {
				t.Errorf("got %v, hint %q, want it refused", err, proxy.Hint(err))
			}
			wantNothing(t, path)
		})
	}
}

func TestInitAsksAgainWhereSomebodyIsThere(t *testing.T) {
	var out strings.Builder
	answers := "\nnot a host/\ndb.example.com\n"
	p := &prompter{in: bufio.NewReader(strings.NewReader(answers)), out: &out, patient: true}
	got, err := p.ask(question{text: "Database", flag: "upstream", accept: func(answer string) (string, error) {
		_, err := parsePlace(answer)
		return answer, err
	}})
	if err != nil || got != "db.example.com" || strings.Count(out.String(), "Database: ") != 3 || !strings.Contains(out.String(), "hint: write HOST") {
		t.Errorf("got %q, %v\n%s", got, err, out.String())
	}
}

func TestInitPicksFromWhatIsDiscovered(t *testing.T) {
	fakeRDS(t)
	path := newHome(t)
	said, err := inits(t, "aws\nshop (reader)\neve\nshop\n13306\n\n\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	wantContent(t, path, newFile+`  - name: shop-ro
    upstream: mysql://eve@shop.cluster-ro-abc123.eu-west-1.rds.amazonaws.com:3306/shop
    listen: 127.0.0.1:13306
`)
	if !strings.Contains(stripGaps(said), " 2 orders PostgreSQL 17.4 orders.abc123.eu-west-1.rds.amazonaws.com:5432 IAM login on\n") {
		t.Errorf("got\n%s\nwant the choice in it", said)
	}
	said, err = inits(t, "aws\n1\n\nlegacy\n13307\n\n\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	wantContent(t, path, newFile+`  - name: shop-ro
    upstream: mysql://eve@shop.cluster-ro-abc123.eu-west-1.rds.amazonaws.com:3306/shop
    listen: 127.0.0.1:13306
  - name: legacy
    upstream: mysql://legacy.abc123.eu-west-1.rds.amazonaws.com:3306/legacy
    listen: 127.0.0.1:13307
    auth: awssecretsmanager://arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1a2b-AbCdEf
`)
	if _, err := inits(t, "aws\n9\n"); err == nil || !strings.Contains(err.Error(), "a number from 1 to 4") {
		t.Errorf("got %v, want that there is no ninth", err)
	}
}

func TestInitProposesThePortThatIsFree(t *testing.T) {
	newHome(t)
	taken, err := net.Listen("tcp", "127.0.0.1:5432")
	if err == nil {
		defer taken.Close()
	} // otherwise somebody else has it, which is as good
	said, _ := inits(t, "postgres://app@db.example.com/orders?auth=env:PW\n")
	if !strings.Contains(said, "Port for clients [54") || strings.Contains(said, "Port for clients [5432]") {
		t.Errorf("got\n%s\nwant another port than 5432", said)
	}
}

func TestWrittenFileIsNotReplacedUnseen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "my.yaml")
	fresh, err := openRouteFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const others = "routes:\n  - {upstream: mysql://m.example.com, auth: env:X}\n"
	if err := os.WriteFile(path, []byte(others), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fresh.write([]byte("mine")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want that it is there", err)
	}
	wantContent(t, path, others)
	link := filepath.Join(dir, "link.yaml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	read, err := openRouteFile(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := read.write([]byte(others + "# more\n")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, others+"# more\n")
	if target, err := os.Readlink(link); err != nil || target != path {
		t.Errorf("got %q, %v, want that the link is one", target, err)
	}
	if err := read.write([]byte("mine")); err == nil || !strings.Contains(err.Error(), "changed it meanwhile") {
		t.Errorf("got %v, want that it has changed", err)
	}
	wantContent(t, path, others+"# more\n")
}

func FuzzInsertRoute(f *testing.F) {
	f.Add([]byte(commented))
	f.Add([]byte("routes:\n- a: b"))
	f.Add([]byte("routes: [a]\n"))
	f.Add([]byte("---\n- a\n"))
	d := draft{Name: "x", Scheme: "mysql", Host: "m.example.com"}
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := insertRoute(content, d)
		if err == nil && !strings.Contains(string(got), "name: x\n") {
			t.Errorf("got %q without the route", got)
		}
	})
}

func TestFileThatWouldSayAnythingElseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "my.yaml")
	if err := os.WriteFile(path, []byte(commented), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := openRouteFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := draft{Name: "new", Scheme: "mysql", Host: "m.example.com", Listen: "127.0.0.1:13306", Options: []option{{"auth", "env:PW"}}}
	good, err := file.with(d)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"another user":      strings.Replace(string(good), "app@db", "eve@db", 1),
		"a route is gone":   newFile + string(good[strings.Index(string(good), "- name: new"):strings.Index(string(good), "\n# what follows")]),
		"another's options": strings.Replace(string(good), "auth: env:PW", "auth: env:OTHER", 1),
	} {
		if err := file.check([]byte(content), d); err == nil || !strings.Contains(err.Error(), "not say the same") {
			t.Errorf("%s: got %v, want that it is not the same\n%s", name, err, content)
		}
	}
}
