package servers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// processes returns the ids of all processes.
func processes() ([]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// descendants returns the ids of the processes that a process has started, and that those have
// started, and so on.
func descendants(ancestor int) ([]int, error) {
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, pid := range pids {
		if parent, ok := parentOf(pid); ok {
			children[parent] = append(children[parent], pid)
		}
	}
	found := slices.Clone(children[ancestor])
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return found, nil
}

// parentOf reads "pid (name) state parent ...", where the name may contain anything. It reports
// false if the process has ended.
func parentOf(pid int) (int, bool) {
	stat, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

func procFile(pid int, name string) string {
	return fmt.Sprintf("/proc/%d/%s", pid, name)
}

// kill ends a process at once. That it has ended already is no error.
func kill(pid int) {
	_ = syscall.Kill(pid, syscall.SIGKILL)
}
