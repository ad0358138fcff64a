//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockFile opens a file that one process at a time has, until it closes it or ends. It waits for at most
// limit, as a process may be stopped.
func lockFile(path string, limit time.Duration) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR || time.Now().After(end) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}
