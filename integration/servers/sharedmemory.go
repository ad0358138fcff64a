package servers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// removeSharedMemory removes the System V shared memory segment of a PostgreSQL server that was
// killed. PostgreSQL uses a small one to notice a second server in the same data directory, and
// would remove it at its next start, which a folder that is deleted does not see.
//
// The file postmaster.pid, which a server removes at its regular end, has in its seventh line
//
//	<key> <segment id>
//
// https://www.postgresql.org/docs/current/storage-file-layout.html
func removeSharedMemory(dataDir string) error {
	b, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	lines := strings.Split(string(b), "\n")
	var key, id uint32
	if len(lines) < 7 {
		return nil // It was killed before it had the segment.
	}
	if _, err := fmt.Sscan(lines[6], &key, &id); err != nil {
		return nil
	}

	// After a restart of the machine the id may be somebody else's. What shmctl fills in begins with
	//
	//	32 bits  key
	//	32 bits  user id of the owner
	//
	// and is 112 bytes long on 64-bit machines.
	const ipcRemove, ipcStat = 0, 2
	var stat [256]byte
	if _, _, errno := syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), ipcStat, uintptr(unsafe.Pointer(&stat))); errno != 0 {
		return nil // There is no such segment, or it is somebody else's.
	}
	owner := uint32(os.Geteuid())
	if owner == 0 {
		owner = serverID
	}
	if binary.NativeEndian.Uint32(stat[0:]) != key || binary.NativeEndian.Uint32(stat[4:]) != owner {
		return nil
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), ipcRemove, 0); errno != 0 {
		return fmt.Errorf("remove shared memory segment %d: %w", id, errno)
	}
	return nil
}
