package servers

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// pamSource is the PAM module that hands a whole token to a program.
//
//go:embed pam/pam_token.c
var pamSource []byte

// pamModule is where a root has the module.
const pamModule = "/usr/local/lib/pam_token.so"

// buildPAMModule compiles the module with the machine's compiler and with the headers in the root.
// It is linked with nothing but the C library, of which it uses only what has been in it for ever:
// so it fits into a root whose C library is older or newer than the machine's. PAM's own functions
// are in the process that loads the module.
func buildPAMModule(ctx context.Context, r *root) error {
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		if compiler, err = exec.LookPath("cc"); err != nil {
			return errors.New("no C compiler for the PAM module that checks tokens\nhint: apt-get install gcc libc6-dev")
		}
	}
	source := filepath.Join(r.dir, "usr/local/lib/pam_token.c")
	if err := os.WriteFile(source, pamSource, 0o644); err != nil {
		return err
	}
	module := filepath.Join(r.dir, pamModule)
	cmd := exec.CommandContext(ctx, compiler, "-shared", "-fPIC", "-O2", "-Wall",
		"-I", filepath.Join(r.dir, "usr/include"), "-o", module, source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the PAM module: %w\n%s", err, out)
	}
	return os.Chmod(module, 0o755)
}

// writePAMService tells PAM, in the root, to let a verifier decide on logins to a service. PAM's
// account step, which comes after the password, has nothing to add.
func writePAMService(r *root, service, verifier, config string) error {
	content := fmt.Sprintf("auth required %s %s %s\naccount required pam_permit.so\n", pamModule, verifier, config)
	return writeForAll(pamServiceFile(r, service), []byte(content))
}

func pamServiceFile(r *root, service string) string {
	return filepath.Join(r.dir, "etc/pam.d", service)
}
