package peer

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Finder finds the program at the other end of a connection, for the audit record. It is of no use
// for decisions: a process can end and its number be given to another, or call itself what it likes.
// The zero value is ready. Calls may be concurrent.
type Finder struct {
	// UnixOnly leaves out clients on TCP, for a process that may not look at others: under Landlock the
	// kernel shows it no files of theirs. It is set before the first use.
	UnixOnly bool
	// Patience is how long a scan of all processes may take; 0: 200 ms. It is set before the first use.
	Patience time.Duration

	mu     sync.Mutex
	recent []string // directories in /proc of the processes found last, the last one first

	scanning sync.Mutex
	scans    *rate.Limiter // nil: as below
}

const (
	maxRecent    = 8                      // processes
	scanInterval = 250 * time.Millisecond // between scans, in the long run
	scanBurst    = 4
	maxScan      = 200 * time.Millisecond // of time for a scan
)

// Find returns the process of p and the name of its program, as far as they can be found: of other
// users only root sees them. On TCP a process is looked for by its socket, which takes milliseconds,
// or longer where there are many files, so that there is a limit on it; a process that connects again
// is found sooner. Where there is nothing to be found, the results are zero.
func (f *Finder) Find(p Peer) (pid int, program string) {
	switch {
	case !p.Known:
		return 0, ""
	case p.PID != 0:
		return p.PID, programOf(procDir(p.PID))
	case p.Inode == 0, f.UnixOnly:
		return 0, ""
	}
	dir := f.owner("socket:[" + strconv.FormatUint(uint64(p.Inode), 10) + "]")
	if dir == "" {
		return 0, ""
	}
	pid, _ = strconv.Atoi(filepath.Base(dir))
	return pid, programOf(dir)
}

// owner returns the directory of a process that has socket, or "".
func (f *Finder) owner(socket string) string {
	tried := f.lately()
	for _, dir := range tried {
		if holds(dir, socket) {
			f.remember(dir)
			return dir
		}
	}
	f.scanning.Lock()
	defer f.scanning.Unlock()
	for _, dir := range f.lately() { // what was found while this one waited
		if !slices.Contains(tried, dir) && holds(dir, socket) {
			return dir
		}
	}
	if f.scans == nil {
		f.scans = rate.NewLimiter(rate.Every(scanInterval), scanBurst)
	}
	if !f.scans.Allow() {
		return ""
	}
	dir := scan(socket, cmp.Or(f.Patience, maxScan))
	if dir != "" {
		f.remember(dir) // before the next one may scan
	}
	return dir
}

func (f *Finder) lately() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.recent)
}

// remember puts dir in front.
func (f *Finder) remember(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recent = slices.DeleteFunc(f.recent, func(d string) bool { return d == dir })
	f.recent = slices.Insert(f.recent, 0, dir)
	f.recent = f.recent[:min(len(f.recent), maxRecent)]
}

// scan goes through all processes, from the greatest number down: who connects now has often begun
// a moment ago.
func scan(socket string, patience time.Duration) string {
	end := time.Now().Add(patience)
	for _, pid := range slices.Backward(processes()) {
		if time.Now().After(end) {
			return ""
		}
		if dir := procDir(pid); holds(dir, socket) {
			return dir
		}
	}
	return ""
}

// processes returns the numbers of all processes, sorted.
func processes() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

func procDir(pid int) string { return "/proc/" + strconv.Itoa(pid) }

// holds reports whether the process of dir has socket among its files.
func holds(dir, socket string) bool {
	files, err := os.Open(dir + "/fd")
	if err != nil {
		return false
	}
	defer files.Close()
	names, _ := files.Readdirnames(-1)
	return slices.ContainsFunc(names, func(name string) bool {
		target, err := os.Readlink(dir + "/fd/" + name)
		return err == nil && target == socket
	})
}

// programOf returns the name of the program that runs in the process of dir, or "".
func programOf(dir string) string {
	if exe, err := os.Readlink(dir + "/exe"); err == nil {
		return printable(strings.TrimSuffix(filepath.Base(exe), " (deleted)"))
	}
	return commOf(dir)
}

// commOf returns a name of at most 15 bytes, which everybody may read.
func commOf(dir string) string {
	comm, _ := os.ReadFile(dir + "/comm")
	return printable(strings.TrimSuffix(string(comm), "\n"))
}
