package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// A fileLock is held until it is closed or until the process ends, in whatever way. Child processes
// do not inherit it.
type fileLock struct {
	f *os.File
}

// errLocked says that somebody else holds a lock.
var errLocked = errors.New("locked by another process")

// tryLock takes the lock that the file path stands for, exclusively, or returns errLocked.
func tryLock(path string) (*fileLock, error) {
	return flock(path, syscall.LOCK_EX)
}

// lockExclusively waits until nobody else holds the lock, and takes it.
func lockExclusively(ctx context.Context, path string) (*fileLock, error) {
	return waitForLock(ctx, path, syscall.LOCK_EX)
}

// lockShared waits until nobody holds the lock exclusively, and takes a share of it.
func lockShared(ctx context.Context, path string) (*fileLock, error) {
	return waitForLock(ctx, path, syscall.LOCK_SH)
}

func (l *fileLock) Close() error {
	return l.f.Close()
}

// waitForLock asks again and again, because a flock call that waits can't be told to give up when
// the context ends.
func waitForLock(ctx context.Context, path string, how int) (*fileLock, error) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		l, err := flock(path, how)
		if !errors.Is(err, errLocked) {
			return l, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the lock %s: %w", path, ctx.Err())
		}
	}
}

func flock(path string, how int) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if err == nil {
		return &fileLock{f}, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}
