package peer

import "testing"

func TestOverflowUserIsGenuineOnlyWhereAllUsersHaveNumbers(t *testing.T) {
	for name, row := range map[string]struct {
		uidMap, number string
		uid            uint32
		exists         bool
	}{
		"the whole":          {"         0          0 4294967295\n", "65534\n", 0, false},
		"a container's":      {"         0     100000      65536\n", "65534\n", 65534, true},
		"fake root":          {"         0       1000          1\n", "65534\n", 65534, true},
		"all but moved":      {"         0          1 4294967294\n", "65534\n", 65534, true},
		"two parts":          {"0 0 1000\n1000 1000 4294966295\n", "65534\n", 65534, true},
		"another number":     {"0 1000 1\n", "99\n", 99, true},
		"no map yet":         {"", "65534\n", 65534, true},
		"no /proc":           {"", "", 65534, true},
		"a number of no use": {"0 1000 1\n", "x\n", 65534, true},
	} {
		if uid, exists := readOverflow(row.uidMap, row.number); uid != row.uid || exists != row.exists {
			t.Errorf("%s: got %d, %t; want %d, %t", name, uid, exists, row.uid, row.exists)
		}
	}
}
