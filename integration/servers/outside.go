package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
)

// chooseHost sets the address on which the server listens, if that is not 127.0.0.1.
//
// Servers count errors only of clients whose address has a name that has this address, so the root
// gets names for the machine's addresses. They are the same for all servers.
func (m *MySQL) chooseHost(context.Context) error {
	if !m.options.Outside {
		return nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	content := hosts
	for _, addr := range addrs {
		network, ok := addr.(*net.IPNet)
		if !ok || network.IP.To4() == nil || !network.IP.IsGlobalUnicast() {
			continue
		}
		content += fmt.Sprintf("%s here%x.test\n", network.IP, []byte(network.IP.To4()))
		m.Host = network.IP.String()
	}
	if content == hosts {
		return errors.New("this machine has no address but 127.0.0.1")
	}
	return replaceForAll(filepath.Join(m.root.dir, "etc/hosts"), []byte(content))
}
