package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// clients are the programs that Client runs.
var clients = []string{"psql", "pg_receivewal", "pg_recvlogical", "pgbench", "pg_isready", "pg_dump"}

// Client returns a command that runs one of PostgreSQL's client programs of a version, such as psql
// of "18". It may be run by any user.
//
// The program is not confined to its root: it sees the machine's files and network as the caller
// does. It runs with the root's libraries, because it is started by the root's own dynamic linker;
// it is one process, to which signals can be sent. It reads no configuration of the machine or of
// the user, and inherits no PG* variables; the caller may append to the command's Env.
func Client(ctx context.Context, version, name string, args ...string) (*exec.Cmd, error) {
	if !slices.Contains(clients, name) {
		return nil, fmt.Errorf("no client program %q\nhint: there are %s", name, strings.Join(clients, ", "))
	}
	r, err := openRoot(ctx, "pg"+version)
	if err != nil {
		return nil, err
	}
	// The root may be replaced from now on, which a running program does not notice.
	defer r.Close()

	return r.clientCommand(ctx, filepath.Join(r.dir, postgresProgram(version, name)), args)
}

// CompileClient compiles a C program that uses libpq of a version, from the file source to the file
// program, with the machine's compiler. Run runs it.
func CompileClient(ctx context.Context, version, source, program string) error {
	r, err := openRoot(ctx, "pg"+version)
	if err != nil {
		return err
	}
	defer r.Close()
	triple, err := triple()
	if err != nil {
		return err
	}
	// What libpq itself needs is found when the program runs, with the root's libraries.
	cmd := exec.CommandContext(ctx, "gcc", "-O1", "-Wall", "-I", filepath.Join(r.dir, "usr/include/postgresql"),
		"-o", program, source, filepath.Join(r.dir, "usr/lib", triple, "libpq.so.5"), "-Wl,--allow-shlib-undefined")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile %s: %w\n%s", source, err, out)
	}
	return nil
}

// Run returns a command that runs a program made by CompileClient, as Client does with its programs.
func Run(ctx context.Context, version, program string, args ...string) (*exec.Cmd, error) {
	r, err := openRoot(ctx, "pg"+version)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.clientCommand(ctx, program, args)
}

// clientCommand is a command that runs program outside of the root, but with its libraries.
func (r *root) clientCommand(ctx context.Context, program string, args []string) (*exec.Cmd, error) {
	linker, err := r.linker(program)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, linker[0], append(linker[1:], args...)...)
	empty := filepath.Join(r.dir, "var/empty")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + empty,
		"TMPDIR=" + os.TempDir(),
		"TZ=UTC",
		"LC_ALL=C.UTF-8",
		// A program must not read locales that were made for another C library.
		"LOCPATH=" + filepath.Join(r.dir, "usr/lib/locale"),
		"OPENSSL_CONF=/dev/null",
		"PAGER=cat",
		"PGSYSCONFDIR=" + empty,
		"PSQLRC=/dev/null",
		"PSQL_HISTORY=/dev/null",
		"MYSQL_HISTFILE=/dev/null",
		"MARIADB_HISTFILE=/dev/null",
		"MYSQL_TEST_LOGIN_FILE=/dev/null",
	}
	return cmd, nil
}

// linker returns the command line that runs a program of the root without going into the root.
func (r *root) linker(program string) ([]string, error) {
	triple, err := triple()
	if err != nil {
		return nil, err
	}
	matches, err := filepath.Glob(filepath.Join(r.dir, "usr/lib", triple, "ld-linux-*.so.*"))
	if err != nil {
		return nil, err
	}
	if len(matches) != 1 {
		return nil, fmt.Errorf("%d dynamic linkers in %s, expected one", len(matches), r.dir)
	}
	libraries := filepath.Join(r.dir, "usr/lib", triple)
	return []string{matches[0], "--library-path", libraries, "--argv0", program, program}, nil
}
