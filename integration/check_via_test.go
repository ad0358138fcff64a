package integration

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// check runs "dbvalet check --json" in the yard, for one route.
func (y *yard) check(route string) (r checkReport, status int) {
	y.t.Helper()
	cmd := command(y.t, program, append(y.env, "HOME="+y.home))
	cmd.Args = []string{program, "check", "--json", route}
	inside := as(owner, y.network, cmd)
	out, err := inside.Output()
	var reports []checkReport
	if e := json.Unmarshal(out, &reports); e != nil || len(reports) != 1 {
		stderr := ""
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			stderr = string(exit.Stderr)
		}
		y.t.Fatalf("check: %v: %s%s", err, out, stderr)
	}
	return reports[0], inside.ProcessState.ExitCode()
}

// There is no way to the database but by the bastion: DNS and TCP are its own.
func TestCheckGoesByWayOfTheBastion(t *testing.T) {
	y := newYard(t)
	p := pg18(t)
	via := hop(y.bastion)
	r, status := y.check(y.postgres(p, "via="+via))
	if dns := r.step("dns"); status != 0 || dns.Status != "skipped" || dns.Text != "looked up at the other end of "+via {
		t.Errorf("status %d: %+v", status, r)
	}
	if r, status = y.check(y.postgres(p)); status != 13 || !strings.Contains(r.step("tcp").Text, "refused") {
		t.Errorf("without via= status %d, and the test shows nothing: %+v", status, r)
	}
	y.write(".ssh/known_hosts", "")
	r, status = y.check(y.postgres(p, "via="+via))
	if tcp := r.step("tcp"); status != 13 || !strings.Contains(tcp.Text, "its host key is not known") || !strings.Contains(tcp.advice(), "ssh-keyscan -p") {
		t.Errorf("status %d: %+v", status, tcp)
	}
}
