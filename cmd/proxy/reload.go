package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"dbvalet/admin"
	"dbvalet/config"
	"dbvalet/proxy"
)

// A reload is a request to read the configuration again.
type reload struct {
	why  string
	done chan<- error // has room for the outcome
}

// askToReload has the configuration read again, for the admin endpoint.
func (v *valet) askToReload(ctx context.Context) admin.Outcome {
	done := make(chan error, 1)
	select {
	case v.reloads <- reload{"the admin endpoint was asked to", done}:
	case <-ctx.Done():
		return admin.Outcome{Err: errors.New("dbvalet is stopping, or busy with another reload")}
	}
	if err := <-done; err != nil {
		_, invalid := errors.AsType[usageError](err)
		return admin.Outcome{Err: err, Hint: proxy.Hint(err), Invalid: invalid}
	}
	return admin.Outcome{Changed: []string{v.last.get().Result}}
}

// lastReload is what became of the last one, for the status.
type lastReload struct {
	mu     sync.Mutex
	status *reloadStatus
}

type reloadStatus struct {
	At     time.Time `json:"at"`
	Why    string    `json:"why"`
	Result string    `json:"result"` // what has changed, or the error
	OK     bool      `json:"ok"`
	Hint   string    `json:"hint,omitempty"`
}

func (l *lastReload) set(s reloadStatus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = &s
}

func (l *lastReload) get() *reloadStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// reload reads the configuration and puts it into force, all of it or nothing.
func (v *valet) reload(sessions context.Context, why string) error {
	v.tell(reloading)
	defer v.tell(ready)
	before := v.fleet.served()
	old := v.fleet.inForce()
	v.watch.begin()
	next, err := v.load()
	if err == nil {
		err = v.apply(sessions, next)
	}
	v.sights.metrics.Reloaded(err)
	if err != nil {
		v.last.set(reloadStatus{At: time.Now(), Why: why, Result: err.Error(), Hint: proxy.Hint(err)})
		v.display.log.Error("configuration not reloaded, the one before stays in force", append([]any{"why", why, "err", err}, hintAttr(err)...)...)
		return err
	}
	result := changes(before, v.fleet.served())
	v.last.set(reloadStatus{At: time.Now(), Why: why, Result: result, OK: true})
	v.display.log.Info("configuration reloaded", "why", why, "result", result)
	if keys := needRestart(old, next); keys != "" {
		v.display.log.Warn("some settings are what they were until the program is started again", "settings", keys)
	}
	return nil
}

// apply puts next into force. A route that could not be served before, and has not changed, may fail
// again.
func (v *valet) apply(sessions context.Context, next *config.Config) error {
	if len(next.Routes) == 0 {
		return usageError{errNoRoute}
	}
	if v.confined {
		for _, r := range next.Routes {
			if err := readable(r); err != nil {
				return usageError{next.Place(err)}
			}
		}
	}
	failing := v.fleet.failing()
	p, err := v.fleet.prepare(next, func(r *config.Route) bool {
		return slices.ContainsFunc(failing, func(s *service) bool { return sameRoute(s.given, r) })
	})
	if err != nil {
		return err
	}
	if err := v.display.setLevel(next.LogLevel); err != nil {
		p.undo()
		return usageError{err}
	}
	v.watch.note(next)
	v.fleet.launch(sessions, p)
	return nil
}

// readable returns an error for a file of r that can't be read because of what Landlock, which is in
// force, was told at the start. Nobody would notice before a client comes.
func readable(r *config.Route) error {
	named := files(r)
	if path, ok := strings.CutPrefix(r.Auth, "file:"); ok && !r.HasSecret() {
		named = append(named, path)
	}
	for _, path := range named {
		file, err := os.Open(path)
		if err == nil {
			file.Close()
			continue
		}
		if errors.Is(err, fs.ErrPermission) {
			return &config.Error{
				Route: r.Name, Err: err,
				Advice: "Landlock keeps dbvalet to the directories that it was told at its start: put the file into one of those, start dbvalet again, or use --landlock=off",
			}
		}
	}
	return nil
}

// retry tries what could not be served once more.
func (v *valet) retry(sessions context.Context) {
	if len(v.fleet.failing()) == 0 {
		return
	}
	c := v.fleet.inForce()
	if p, err := v.fleet.prepare(c, func(*config.Route) bool { return true }); err == nil && len(p.fresh) > 0 {
		v.fleet.launch(sessions, p)
	}
}

// failing are the services that could not be served.
func (f *fleet) failing() []*service {
	return slices.DeleteFunc(f.served(), func(s *service) bool { return s.failure == nil })
}

// changes says what is different between two fleets of services.
func changes(before, after []*service) string {
	named := func(all []*service, name string) *service {
		if i := slices.IndexFunc(all, func(s *service) bool { return s.route.Name == name }); i >= 0 {
			return all[i]
		}
		return nil
	}
	var parts []string
	for _, s := range after {
		switch old := named(before, s.route.Name); {
		case old == nil:
			parts = append(parts, "new: "+s.route.Name)
		case old != s:
			parts = append(parts, "changed: "+s.route.Name)
		}
	}
	for _, s := range before {
		if named(after, s.route.Name) == nil {
			parts = append(parts, "gone: "+s.route.Name)
		}
	}
	if parts == nil {
		return "no route has changed"
	}
	return strings.Join(parts, ", ")
}

// live are the settings that a reload puts into force. All others are read at the start only.
var live = []string{"log_level", "strict", "drain_delay", "drain_timeout", "exit_zero_on_sigterm", "exit_when_idle"}

// needRestart names the settings that differ and are read at the start only.
func needRestart(old, next *config.Config) string {
	keys := slices.DeleteFunc(old.Differing(&next.Settings), func(key string) bool { return slices.Contains(live, key) })
	return strings.Join(keys, " ")
}
