package servers

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// tokenSources are the modules for PAM and for MySQL that hand a whole token to a program.
//
//go:embed token
var tokenSources embed.FS

// Where a root has the modules.
const (
	pamModule   = "/usr/local/lib/pam_token.so"
	mysqlModule = "/usr/lib/mysql/plugin/mysql_token.so"
)

// buildPAMModule compiles the module for PAM. It names libpam as what it needs, because in MariaDB only
// a plugin has libpam loaded, and modules do not see what a plugin has.
func buildPAMModule(ctx context.Context, r *root) error {
	triple, err := triple()
	if err != nil {
		return err
	}
	return buildModule(ctx, r, "pam_token.c", pamModule, filepath.Join(r.dir, "usr/lib", triple, "libpam.so.0"))
}

// buildMySQLModule compiles the plugin for MySQL.
func buildMySQLModule(ctx context.Context, r *root) error {
	return buildModule(ctx, r, "mysql_token.c", mysqlModule)
}

// buildModule compiles a module from its source, with the machine's compiler and with the headers in
// the root. Of the C library it uses only what has been in it for ever: so it fits into a root whose C
// library is older or newer than the machine's.
func buildModule(ctx context.Context, r *root, source, module string, libraries ...string) error {
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		if compiler, err = exec.LookPath("cc"); err != nil {
			return errors.New("no C compiler for the module that checks tokens\nhint: apt-get install gcc libc6-dev")
		}
	}
	dir := filepath.Join(r.dir, "usr/local/src")
	if err := os.CopyFS(dir, tokenSources); err != nil {
		return err
	}
	module = filepath.Join(r.dir, module)
	args := []string{"-shared", "-fPIC", "-O2", "-Wall", "-I", filepath.Join(r.dir, "usr/include"),
		"-o", module, filepath.Join(dir, "token", source)}
	cmd := exec.CommandContext(ctx, compiler, append(args, libraries...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile %s: %w\n%s", source, err, out)
	}
	return os.Chmod(module, 0o755)
}

// tokenSourceTexts returns the sources' texts, for the stamps of roots.
func tokenSourceTexts() string {
	var all []byte
	entries, _ := tokenSources.ReadDir("token") // It is in the program.
	for _, entry := range entries {
		text, _ := tokenSources.ReadFile("token/" + entry.Name())
		all = append(all, text...)
	}
	return string(all)
}
