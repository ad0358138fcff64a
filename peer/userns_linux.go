package peer

import (
	"os"
	"slices"
	"strings"
	"sync"
)

// unmappedUID reports whether uid stands for every user that this process's user namespace has no
// number for.
func unmappedUID(uid uint32) bool {
	overflow, exists := overflowUID()
	return exists && uid == overflow
}

// overflowUID returns the number that stands for the users without one, if there can be such users.
// A process with threads can't change its user namespace, so it is read once.
var overflowUID = sync.OnceValues(func() (uid uint32, exists bool) {
	uidMap, _ := os.ReadFile("/proc/self/uid_map")
	number, _ := os.ReadFile("/proc/sys/kernel/overflowuid")
	return readOverflow(string(uidMap), string(number))
})

// readOverflow reads the two files; what can't be read is taken for what lets in fewer. The number is
// a user like the others if all have their own: nobody, as a rule.
func readOverflow(uidMap, number string) (uid uint32, exists bool) {
	if slices.Equal(strings.Fields(uidMap), []string{"0", "0", "4294967295"}) {
		return 0, false
	}
	uid, isID := parseID(strings.TrimSpace(number))
	if !isID {
		uid = 65534 // the kernel's default
	}
	return uid, true
}
