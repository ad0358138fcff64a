package main

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dbvalet/config"
	"dbvalet/harden"
	"dbvalet/proxy"
)

// A process is what may be done to the process that the program runs in. The zero value leaves it as it
// is, which is for tests.
type process struct {
	inherited *proxy.Inherited // the sockets that it was passed
	confine   bool             // by Landlock, unless the user says no
	undone    error            // what harden.Process, or harden.Hide, could not do
	needs     harden.Needs     // beside what the services need: Dirs and Signals alone count
}

// harden is called before cmd runs, if the process is to be confined. A command that starts a program of
// the user's does it by itself, when it has: the program would inherit it.
func (p *process) harden(cmd *cobra.Command) {
	if p.confine && cmd.Annotations[startsProgram] == "" {
		p.undone = harden.Process()
	}
}

// startsProgram is an annotation of such commands.
const startsProgram = "starts a program of the user's"

// limit is called when everything is open that the services need to begin with. From then on the
// kernel refuses the process what neither the routes nor the environment let expect. What it can't
// refuse is said in the log, and is no error: it is a second line of defence. It reports whether the
// kernel refuses anything.
func (p process) limit(c *config.Config, services []*service, listeners []net.Listener, log *slog.Logger) (confined bool) {
	if p.undone != nil {
		log.Warn("the process could not be hardened", "err", p.undone)
	}
	if !p.confine {
		return false
	}
	s := surroundingsOfNow()
	if why := s.programs(services); why != "" {
		log.Info("landlock", "status", harden.Off, "why", why)
		return false
	}
	n := s.needs(services)
	n.sockets(listeners)
	n.settings(c, services)
	n.Dirs, n.Signals = p.needs.Dirs, p.needs.Signals
	status, err := harden.Landlock(n.Needs)
	if err != nil {
		log.Warn("landlock", "status", status, "err", err, "hint", "--landlock=off does without it")
		return true // of some of the threads, for all that is known
	}
	log.Info("landlock", append(n.attrs(status), "hint",
		`if something that should work fails with "permission denied", try --landlock=off`)...)
	return status != harden.NotSupported
}

// attrs are the status and what it means for this process.
func (n *needs) attrs(status string) []any {
	attrs := []any{"status", status}
	if status == harden.NotSupported {
		return attrs
	}
	if n.AnyPort {
		attrs = append(attrs, "connects", "to any port: "+n.anyPort)
	} else {
		attrs = append(attrs, "connects", strings.Trim(fmt.Sprint(n.Connect), "[]"))
	}
	if len(n.wide) > 0 {
		attrs = append(attrs, "reads_all_of", strings.Join(n.wide, " "))
	}
	return attrs
}

// landlockModes are the values of --landlock.
var landlockModes = []string{"auto", "off"}

// withLandlock is p as --landlock says.
func (p process) withLandlock(mode string) (process, error) {
	if !slices.Contains(landlockModes, mode) {
		return p, fmt.Errorf("--landlock=%s: there are %s", mode, strings.Join(landlockModes, " and "))
	}
	p.confine = p.confine && mode == "auto"
	return p, nil
}
