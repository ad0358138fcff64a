package vaultfake

import (
	"net/http"
	"path"
	"slices"
	"time"
)

// A Role is a dynamic role of the database engine.
type Role struct {
	TTL          time.Duration // of a lease at first, and of each renewal at most; 0: an hour
	MaxTTL       time.Duration // of a lease with all its renewals; 0: a day
	NotRenewable bool

	// CreateUser makes a user in the database, which may be logged in as for a time. nil makes none.
	CreateUser func(user, password string, ttl time.Duration) error
	// DropUser takes it away again, at the end of the lease. nil takes none away.
	DropUser func(user string) error
}

// A Lease is one that has not ended.
type Lease struct {
	ID      string
	User    string
	Token   string
	Expires time.Time
}

type lease struct {
	id      string
	user    string
	token   string
	role    Role
	issued  time.Time
	expires time.Time
}

// drop drops the user. It is called once, without s.mu.
func (l *lease) drop() {
	if l.role.DropUser != nil {
		_ = l.role.DropUser(l.user) // Vault would try again; a test sees the user that stays
	}
}

// AddRole makes a dynamic role at MOUNT/creds/NAME.
func (s *Server) AddRole(mount, name string, r Role) {
	if r.TTL == 0 {
		r.TTL = time.Hour
	}
	if r.MaxTTL == 0 {
		r.MaxTTL = 24 * time.Hour
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[mount+"/creds/"+name] = r
}

// Leases returns the leases that have not ended, oldest first.
func (s *Server) Leases() []Lease {
	s.expire()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*lease, 0, len(s.leases))
	for _, l := range s.leases {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *lease) int { return a.issued.Compare(b.issued) })
	var leases []Lease
	for _, l := range all {
		leases = append(leases, Lease{ID: l.id, User: l.user, Token: l.token, Expires: l.expires})
	}
	return leases
}

// serveRole makes a user, and a lease for it.
func (s *Server) serveRole(w http.ResponseWriter, at string, r Role, t *token) {
	name := path.Base(at)
	// At most 32 characters, as MySQL wants it.
	user, password := "v-"+name[:min(len(name), 12)]+"-"+random(8), "A1a-"+random(10)
	if r.CreateUser != nil {
		if err := r.CreateUser(user, password, r.MaxTTL); err != nil {
			refuse(w, http.StatusInternalServerError, "1 error occurred:\n\t* "+err.Error()+"\n\n")
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	l := &lease{id: at + "/" + random(12), user: user, token: t.id, role: r, issued: now, expires: now.Add(r.TTL)}
	s.leases[l.id] = l
	s.schedule()
	answer(w, http.StatusOK, response{LeaseID: l.id, Renewable: !r.NotRenewable, Duration: seconds(r.TTL),
		Data: map[string]any{"username": user, "password": password}, Mount: "database"})
}

// serveLease answers sys/leases/renew and sys/leases/revoke.
func (s *Server) serveLease(w http.ResponseWriter, at string, body map[string]any) {
	id, _ := body["lease_id"].(string)
	s.mu.Lock()
	l := s.leases[id]
	switch {
	case at == "sys/leases/revoke":
		delete(s.leases, id)
		s.schedule()
		s.mu.Unlock()
		if l != nil {
			l.drop()
		}
		w.WriteHeader(http.StatusNoContent) // also for what there is none of
		return
	case at != "sys/leases/renew":
		refuse(w, http.StatusNotFound, "unsupported path")
	case l == nil:
		refuse(w, http.StatusBadRequest, "lease not found")
	case l.role.NotRenewable:
		refuse(w, http.StatusBadRequest, "lease is not renewable")
	default:
		increment, _ := body["increment"].(float64)
		s.renew(w, l, time.Duration(increment)*time.Second)
	}
	s.mu.Unlock()
}

// renew lets a lease live on, but not beyond its maximum. It is called with s.mu held.
func (s *Server) renew(w http.ResponseWriter, l *lease, increment time.Duration) {
	now := s.now()
	if increment <= 0 {
		increment = l.role.TTL
	}
	var warnings []string
	l.expires = now.Add(increment)
	if end := l.issued.Add(l.role.MaxTTL); end.Before(l.expires) {
		l.expires = end
		warnings = append(warnings, "TTL exceeded the effective max_ttl; TTL value is capped accordingly")
	}
	s.schedule()
	answer(w, http.StatusOK, response{LeaseID: l.id, Renewable: true, Duration: seconds(l.expires.Sub(now)), Warnings: warnings})
}

type staticRole struct {
	user     string
	password string
	period   time.Duration
	rotated  time.Time
}

// AddStaticRole makes a static role at MOUNT/static-creds/NAME, whose password is as it was rotated
// just now.
func (s *Server) AddStaticRole(mount, name, user, password string, period time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statics[mount+"/static-creds/"+name] = &staticRole{user: user, password: password, period: period, rotated: s.now()}
}

// Rotate gives a static role another password. It is for the test to change it in the database.
func (s *Server) Rotate(mount, name, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.statics[mount+"/static-creds/"+name]
	r.password, r.rotated = password, s.now()
}

func (r *staticRole) data(now time.Time) map[string]any {
	return map[string]any{
		"username": r.user, "password": r.password, "last_vault_rotation": r.rotated.UTC().Format(time.RFC3339Nano),
		"rotation_period": seconds(r.period), "ttl": seconds(max(0, r.rotated.Add(r.period).Sub(now))),
	}
}
