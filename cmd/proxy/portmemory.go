package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A portOwner is a route, as listen=auto knows it again.
type portOwner struct {
	Route    string `json:"route"`
	Endpoint string `json:"endpoint"`
}

// A keptPort is the port of a route with listen=auto.
type keptPort struct {
	portOwner
	Port int `json:"port"`
}

const (
	// maxKeptPorts is how many are remembered: those used last.
	maxKeptPorts = 200
	// maxPortsFile is the size of a file that is read, in bytes.
	maxPortsFile = 1 << 20
	// portsLockTime is how long another dbvalet may hold the lock, which it does while it opens a port.
	portsLockTime = 5 * time.Second
)

// A portMemory is the file with the ports of listen=auto, which dbvalets of a user share. Where it can't
// be read or written, ports are chosen anew at each start, and nothing else is wrong.
type portMemory struct {
	path  string     // empty: there is no file
	lock  *os.File   // nil: it could not be had
	ports []keptPort // the one used last is the last
	log   *slog.Logger
}

// openPortMemory reads what is remembered, and keeps others out until close. before is what was remembered
// when the file could be read.
func openPortMemory(before []keptPort, log *slog.Logger) *portMemory {
	m := &portMemory{log: log, ports: before}
	path, err := portsFile()
	if err != nil {
		log.Debug("the ports of listen=auto are not remembered", "err", err)
		return m
	}
	m.path = path
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
		if m.lock, err = lockFile(path+".lock", portsLockTime); err != nil {
			log.Debug("the ports of listen=auto are read without a lock", "err", err)
		}
	}
	ports, err := readPorts(path)
	switch {
	case err == nil:
		m.ports = ports
	case before == nil:
		log.Warn("the ports of listen=auto are chosen anew", "err", err)
	}
	return m
}

// port returns the port of owner, or 0.
func (m *portMemory) port(owner portOwner) int {
	for _, p := range m.ports {
		if p.portOwner == owner {
			return p.Port
		}
	}
	return 0
}

// has reports whether port is somebody's.
func (m *portMemory) has(port int) bool {
	return slices.ContainsFunc(m.ports, func(p keptPort) bool { return p.Port == port })
}

// keep remembers that owner uses port.
func (m *portMemory) keep(owner portOwner, port int) {
	known := m.port(owner) == port
	if known && m.ports[len(m.ports)-1].portOwner == owner {
		return
	}
	m.ports = slices.DeleteFunc(slices.Clone(m.ports), func(p keptPort) bool { return p.portOwner == owner })
	m.ports = append(m.ports, keptPort{owner, port})
	m.ports = m.ports[max(0, len(m.ports)-maxKeptPorts):]
	if m.path == "" {
		return
	}
	if err := writePorts(m.path, m.ports); err != nil && !known {
		m.log.Warn("the port of listen=auto is not remembered, and may be another one next time", "port", port, "err", err)
	}
}

// advice says how to make room.
func (m *portMemory) advice() string {
	if len(m.ports) == 0 {
		return ""
	}
	return "take ports that are no longer needed out of " + m.path + ", or write an address into listen="
}

// close lets others in.
func (m *portMemory) close() {
	if m.lock != nil {
		m.lock.Close()
	}
}

// portsFile is where the ports are remembered.
func portsFile() (string, error) {
	dir, err := stateDir()
	return filepath.Join(dir, "ports.json"), err
}

// stateDir is where files are kept for good: systemd's StateDirectory=, or the user's own. The home of
// another user, as it may be with sudo, is left alone: files there would not be that user's.
func stateDir() (string, error) {
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); filepath.IsAbs(dir) {
		return dir, nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "dbvalet"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	if home == "/" { // that of users who have none
		return "", errors.New("the user has no home")
	}
	info, err := os.Stat(home)
	if err == nil {
		err = ownersFile(info)
	}
	if err != nil {
		return "", fmt.Errorf("the home %s: %w", home, err)
	}
	return filepath.Join(home, ".local", "state", "dbvalet"), nil
}

// readPorts reads a file. One that is not there is empty.
func readPorts(path string) ([]keptPort, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPortsFile+1))
	if err != nil {
		return nil, err
	}
	ports, err := parsePorts(text)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return ports, nil
}

// parsePorts reads what writePorts has written.
func parsePorts(text []byte) ([]keptPort, error) {
	if len(text) > maxPortsFile {
		return nil, fmt.Errorf("more than %d bytes", maxPortsFile)
	}
	var file struct {
		Ports []keptPort `json:"ports"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("there is more behind its end")
	}
	owners := map[portOwner]bool{}
	for _, p := range file.Ports {
		if p.Port < 1 || p.Port > 65535 || owners[p.portOwner] {
			return nil, fmt.Errorf("route %q has port %d, or several", p.Route, p.Port)
		}
		owners[p.portOwner] = true
	}
	return file.Ports, nil
}

// writePorts replaces a file, so that nobody ever reads half of one.
func writePorts(path string, ports []keptPort) error {
	text, err := json.MarshalIndent(map[string]any{"ports": ports}, "", "  ")
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(path), ".ports-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // which is nothing, once it has its name
	_, err = next.Write(append(text, '\n'))
	if err = errors.Join(err, next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), path)
}
