//go:build unix

package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell is a program that runs a script. The tests do not write programs and run them: a fork in
// another test may hold the new file open for writing, and the system refuses to run it then.
func shell(script string) *Exec { return &Exec{Argv: []string{"/bin/sh", "-c", script}} }

func TestExecGivesWhatTheProgramPrints(t *testing.T) {
	t.Setenv("DBVALET_TEST_INHERITED", "from dbvalet")
	tomorrow := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	for _, tt := range []struct {
		name, script, user, password string
		expires                      time.Time
	}{
		{name: "password", script: `echo "a b"`, password: "a b"},
		{name: "newlines", script: `printf 'pw\n\n'`, password: "pw\n"},
		{name: "user asked for", script: `printf %s "for $DBVALET_USER"`, password: "for app"},
		{name: "environment", script: `printf %s "$DBVALET_TEST_INHERITED"`, password: "from dbvalet"},
		{name: "stderr does not count", script: `echo noise >&2; echo pw`, password: "pw"},
		{name: "stdin is empty", script: `cat; echo pw`, password: "pw"},
		{name: "object", script: `printf %s ' {"username":"u","password":"pw\n","expires":"` + tomorrow.Format(time.RFC3339) + `","more":1}'`,
			user: "u", password: "pw\n", expires: tomorrow},
		{name: "object with password only", script: `echo '{"password":"pw"}'`, password: "pw"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cred, err := shell(tt.script).Credential(t.Context(), "app")
			if err != nil {
				t.Fatal(err)
			}
			wantPassword(t, cred, tt.password)
			if cred.User != tt.user || !cred.Expires.Equal(tt.expires) || cred.ID != "/bin/sh" || !cred.Issued.IsZero() {
				t.Errorf("got %+v, want user %q, expires %v, and the program's name as id", cred, tt.user, tt.expires)
			}
		})
	}
}

func TestExecSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plain"), "")
	for _, tt := range []struct {
		name  string
		exec  *Exec
		final bool
		text  string
	}{
		{"no program", &Exec{}, true, "no program is named"},
		{"missing program", &Exec{Argv: []string{dir + "/missing"}}, true, "missing: can't be run: no such file or directory"},
		{"not executable", &Exec{Argv: []string{dir + "/plain"}}, true, "can't be run: permission denied"},
		{"not in PATH", &Exec{Argv: []string{"dbvalet-no-such-program"}}, true, "can't be run: executable file not found in $PATH"},
		{"exit status", shell(`echo hunter2-Zq; echo "session ended" >&2; exit 7`), false, "exec:/bin/sh: exit status 7: session ended"},
		{"signal", shell(`kill -9 $$`), false, "signal: killed"},
		{"nothing", shell(`exit 0`), true, "the password is empty"},
		{"NUL", shell(`printf 'hunter2-Zq\0'`), true, "NUL byte"},
		{"broken object", shell(`echo '{"password":"hunter2-Zq"'`), true, "not a JSON object"},
		{"expired", shell(`echo '{"password":"hunter2-Zq","expires":"2001-02-03T04:05:06Z"}'`), false, "expired at 2001-02-03T04:05:06Z"},
		{"too much", shell(`yes hunter2-Zq`), true, "more than 64 KiB"},
		{"too much at the end", shell(`head -c 65537 /dev/zero | tr '\0' x`), true, "more than 64 KiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cred, err := tt.exec.Credential(t.Context(), "app")
			wantRefusal(t, cred, err, tt.final, tt.text)
		})
	}
}

func TestExecTakesAsMuchAsIsAllowed(t *testing.T) {
	cred, err := shell(`head -c 65536 /dev/zero | tr '\0' x`).Credential(t.Context(), "app")
	if got := len(cred.Password.Reveal()); err != nil || got != 65536 {
		t.Errorf("got %d bytes, %v, want 65536", got, err)
	}
}

func TestExecShowsTheEndOfStderrInOneCleanLine(t *testing.T) {
	_, err := shell(`printf 'beginning %0600d\nreason: \033[31mno\007\tsession\300\n' 0 >&2; exit 1`).Credential(t.Context(), "app")
	text := err.Error()
	if strings.Contains(text, "beginning") || !strings.HasSuffix(text, " reason: [31mno session") || len(text) > 550 {
		t.Errorf("got %q, want at most 500 bytes of the end, without control characters", text)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	for _, writes := range [][]string{{"0123456789"}, {"012345", "6789"}, {"0123", "4", "56789"}, {"\xc3", "\xa456789"}} {
		end := &tail{limit: 6}
		for _, p := range writes {
			_, _ = end.Write([]byte(p))
		}
		if got := end.String(); !strings.HasSuffix("0123456789", got) || len(got) < 5 || len(got) > 6 {
			t.Errorf("%q: kept %q, want the last 6 bytes, and no part of a character", writes, got)
		}
	}
}

// A pipe whose other end a process holds tells when the process is gone: reading it ends then.
func lifeline(t *testing.T) (path string, there, gone <-chan struct{}) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "lifeline")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	opened, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		close(opened)
		_, _ = io.Copy(io.Discard, f)
	}()
	return path, opened, done
}

// sleepTime is how long the programs sleep that are not waited for.
const sleepTime = 1000 * time.Second

func wantGone(t *testing.T, gone <-chan struct{}) {
	t.Helper()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("a process that the program started is still there")
	}
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("there is a child left: %d, %v", pid, err)
	}
}

func TestExecKillsAProgramThatTakesTooLong(t *testing.T) {
	path, _, gone := lifeline(t)
	s := shell(`sleep 1000 5>` + path + ` & echo hunter2-Zq; echo "waiting for a browser" >&2; wait`)
	s.Timeout = 5 * time.Second // in which the shell has begun and said so
	begin := time.Now()
	cred, err := s.Credential(t.Context(), "app")
	wantRefusal(t, cred, err, false, "exec:/bin/sh: no answer within 5s: waiting for a browser")
	if took := time.Since(begin); took > sleepTime/10 {
		t.Errorf("took %v", took)
	}
	wantGone(t, gone)
}

func TestExecEndsWithItsContext(t *testing.T) {
	path, there, gone := lifeline(t)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-there
		cancel()
	}()
	_, err := shell(`exec sleep 1000 5>`+path).Credential(ctx, "app")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
	<-stopped
	wantGone(t, gone)
}

func TestExecLeavesNoProcessBehind(t *testing.T) {
	for name, redirect := range map[string]string{"quiet": ">/dev/null 2>&1", "holds the output": ""} {
		t.Run(name, func(t *testing.T) {
			path, _, gone := lifeline(t)
			begin := time.Now()
			// Opened before the program goes on, so that the reader of the pipe has not come in vain.
			cred, err := shell(`exec 5>`+path+`; sleep 1000 `+redirect+` & exec 5>&-; echo pw`).Credential(t.Context(), "app")
			if err != nil {
				t.Fatal(err)
			}
			wantPassword(t, cred, "pw")
			if took := time.Since(begin); took > sleepTime/10 {
				t.Errorf("took %v", took)
			}
			wantGone(t, gone)
		})
	}
}

func TestSplitCommand(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string // nil: an error
	}{
		{`prog`, []string{"prog"}},
		{"  prog\t-a \n b ", []string{"prog", "-a", "b"}},
		{`/opt/my\ dir/prog 'a b' "c d"`, []string{"/opt/my dir/prog", "a b", "c d"}},
		{`p a'b'"c"d`, []string{"p", "abcd"}},
		{`p '' ""`, []string{"p", "", ""}},
		{`p '\"$x'`, []string{"p", `\"$x`}},
		{`p "\"\\\$\` + "`" + `\n"`, []string{"p", "\"\\$`\\n"}},
		{`p \'\"\\`, []string{"p", `'"\`}},
		{`p $HOME *.go a|b;c&d>e ~ #x`, []string{"p", "$HOME", "*.go", "a|b;c&d>e", "~", "#x"}},
		{`p ü`, []string{"p", "ü"}},
		{``, nil}, {`  `, nil}, {`'' x`, nil}, {`p 'a`, nil}, {`p "a`, nil}, {`p "a\`, nil}, {`p a\`, nil}, {"p a\x00", nil},
	} {
		got, err := SplitCommand(tt.line)
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
			t.Errorf("%s: got %q, %v, want %q", tt.line, got, err, tt.want)
		}
	}
}

func TestOutputErrorsDoNotQuoteTheOutput(t *testing.T) {
	quotedSecret, _ := json.Marshal(secretText)
	for _, out := range []string{
		`{"password":` + string(quotedSecret),
		`{"password":` + string(quotedSecret) + `}{}`,
		`{"password":{"` + secretText + `":1}}`,
		`{"` + secretText + `":1}`,
		`{` + secretText + `}`,
		`{"password":"pw","expires":` + string(quotedSecret) + `}`,
		`{"password":"pw","expires":7}`,
		`{"password":"pw","username":"a\u0000` + secretText + `"}`,
		`{"password":"` + secretText + `\u0000"}`,
		`{"password":""}`, `{}`, `{`, "\n", "\x00" + secretText,
	} {
		_, err := parseOutput([]byte(out))
		if err == nil || leaks(err.Error()) {
			t.Errorf("%q: got %v, want an error without the secret", out, err)
		}
	}
}

func FuzzSplitCommand(f *testing.F) {
	for _, seed := range []string{`p a "b c" 'd e' \f`, `''`, `it\'s $HOME ~`, `"\`, "p\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		argv, err := SplitCommand(line)
		if err != nil {
			if argv != nil {
				t.Fatalf("%q: %q comes with the error %v", line, argv, err)
			}
			return
		}
		// What was split, and quoted again, is the same.
		quoted := make([]string, len(argv))
		for i, arg := range argv {
			quoted[i] = Quote(arg)
		}
		again, err := SplitCommand(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, argv) {
			t.Fatalf("%q: got %q, and %q, %v after quoting", line, argv, again, err)
		}
	})
}

func FuzzParseOutput(f *testing.F) {
	for _, seed := range []string{"pw\n", `{"username":"u","password":"p","expires":"2030-01-02T03:04:05Z"}`, `{"password":1}`, "{", "\x00"} {
		f.Add([]byte(seed))
	}
	harmless := map[string]bool{}
	for _, out := range []string{"", "\x00", "{", `{"password":"p","username":"\u0000"}`, `{"password":"p","expires":"x"}`} {
		_, err := parseOutput([]byte(out))
		harmless[err.Error()] = true
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		cred, err := parseOutput(out)
		if err != nil {
			if !harmless[err.Error()] {
				t.Fatalf("%q: the error %q is not one of the fixed texts", out, err)
			}
			return
		}
		if password := cred.Password.Reveal(); password == "" || strings.Contains(password+cred.User, "\x00") {
			t.Fatalf("%q: got the password %q of %q", out, password, cred.User)
		}
	})
}
