package mysql

import "dbvalet/proxy"

// checkNames returns an error unless clients may name user, where the route has none of its own, and
// open database. That is where a client begins: which databases it comes to later, by USE or by a name
// before a table's, is for the grants of the database user to say. None is nothing to check.
func (e *Engine) checkNames(door *proxy.Door, user, database string) error {
	if e.User == "" && user != "" {
		if err := door.CheckUser(user); err != nil {
			return err
		}
	}
	if database == "" {
		return nil
	}
	if err := door.CheckDatabase(database); err != nil {
		return &databaseRefusal{err}
	}
	return nil
}

// A databaseRefusal is the error for a database that clients may not open, which has a code of its
// own.
type databaseRefusal struct{ error }

func (e *databaseRefusal) Unwrap() error { return e.error }
