package recent

import "sync"

// Routes are all routes, by their names. The zero value has none. Calls may be concurrent.
type Routes struct {
	mu     sync.Mutex
	routes map[string]*Route
}

// For returns the route of this name: the one that there is, or a new one.
func (r *Routes) For(name string) *Route {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.routes[name] == nil {
		if r.routes == nil {
			r.routes = make(map[string]*Route)
		}
		r.routes[name] = new(Route)
	}
	return r.routes[name]
}

// Forget removes all that is known of a route.
func (r *Routes) Forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, name)
}
