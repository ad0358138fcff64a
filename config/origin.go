package config

import "errors"

// originDefault is the origin of what nobody wrote.
const originDefault = "default"

// origins are where everything is written.
type origins struct {
	settings map[string]place
	routes   map[string]routeOrigin // by name
}

type routeOrigin struct {
	place   place            // of the route
	options map[string]place // of what is written
}

// Origin says where the setting key comes from: "flag --admin", "environment DBVALET_ADMIN",
// "dbvalet.yaml:3" or "default".
func (c *Config) Origin(key string) string {
	if p, ok := c.origins.settings[key]; ok {
		return p.String()
	}
	return originDefault
}

// RouteOrigin says where the option key of a route comes from, as Origin does; for an empty key, where
// the route itself is written.
func (c *Config) RouteOrigin(route, key string) string {
	origin := c.origins.routes[route]
	if key == "" {
		return origin.place.String()
	}
	if p, ok := origin.options[key]; ok {
		return p.String()
	}
	return originDefault
}

// Place gives an error about a route, that was found when it was to be served, the file and the line of
// the route. Other errors are returned as they are.
func (c *Config) Place(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.File != "" {
		return err
	}
	if origin, ok := c.origins.routes[e.Route]; ok && origin.place.line != 0 {
		placed := *e
		placed.File, placed.Line = origin.place.file, origin.place.line
		return &placed
	}
	return err
}
