package postgres

import (
	"cmp"
	"errors"
	"strings"

	"dbvalet/proxy"
)

// admit returns what the database is asked for on behalf of a client that sent start, and as whom, or
// why the client may not come in.
func (e *Engine) admit(client *proxy.Client, up *proxy.Upstream, start *startupMessage) (asked *startupMessage, user string, err error) {
	if err := client.Refusal(); err != nil {
		return nil, "", err
	}
	if user = cmp.Or(e.User, start.get("user")); user == "" {
		return nil, "", clientError(invalidAuthorization, "name a user on the client, or in the route: postgres://USER@…", "no PostgreSQL user name specified in startup packet")
	}
	if e.User == "" {
		if err := client.Door.CheckUser(user); err != nil {
			return nil, "", err
		}
	}
	if e.Database != "" && start.get("database") == "" {
		start = start.with("database", e.Database)
	}
	if err := checkDatabase(client.Door, up, start, user); err != nil {
		return nil, "", err
	}
	if name := start.get("database"); name != "" && client.Door.Databases != nil {
		start = start.with("database", name) // of several, whichever a pooler takes
	}
	if client.MustEncrypt() {
		return nil, "", proxy.ErrTLSRequired
	}
	return start, user, nil
}

// checkDatabase returns an error unless start may be sent, as far as that can be told before there is
// a credential; a secret may name the user and the database.
func checkDatabase(door *proxy.Door, up *proxy.Upstream, start *startupMessage, user string) error {
	if door.Databases == nil {
		return nil
	}
	for _, p := range start.params {
		if string(p.name) == "replication" && physical(string(p.value)) {
			return errPhysical
		}
	}
	if up.Locate != nil && start.get("database") == "" {
		return nil
	}
	return door.CheckDatabase(databaseOf(start, up.Endpoint, user))
}

// databaseOf returns the name of the database that a server opens for start and user.
func databaseOf(start *startupMessage, to proxy.Endpoint, user string) string {
	return cmp.Or(start.get("database"), to.Database, user)
}

// physical reports whether a server may take the value of the parameter replication for a wish to
// see all of its databases: it does not for "database", nor for what it reads as false, and everything
// else is not worth the doubt.
//
// https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/utils/adt/bool.c
func physical(replication string) bool {
	value := strings.ToLower(replication)
	no := value == "0" || value != "" && (strings.HasPrefix("false", value) || strings.HasPrefix("no", value)) ||
		value == "of" || value == "off"
	return replication != "database" && !no
}

// errPhysical is the error for a client that wants to see all databases where it may see some.
var errPhysical = &proxy.SetupError{
	Stage:     proxy.StagePeer,
	Err:       errors.New("physical replication sees all databases, and the route serves some of them only"),
	Advice:    "set replication=database on the client, or leave databases= out of the route",
	Permanent: true,
}
