package config

import "time"

// A Config is all that dbvalet is told: what concerns the whole program, and the routes.
type Config struct {
	Settings
	Routes []*Route
	// Files are those that it was read from, in that order, and Dirs the directories where more may
	// appear. They are to be watched.
	Files, Dirs []string

	origins origins
}

// Settings concern the whole program. Each is a flag, a variable and a key of the file.
type Settings struct {
	Admin     string // --admin, where the admin endpoints are; empty: nowhere
	Metrics   string // --metrics, where metrics and probes are served to other machines too; empty: nowhere
	LogLevel  string // --log-level: debug, info, warn or error
	LogFormat string // --log-format: text, json or auto
	Audit     string // --audit: stdout, syslog or a file; empty: there are no records
	Traces    string // --traces, the URL of an OTLP endpoint; empty: there are no traces
	Landlock  string // --landlock: auto or off
	Strict    bool   // --strict: a route that can't be served is the end of all

	// Of all routes together. 0: no limit.
	MaxConnections int // --max-connections
	MaxHandshakes  int // --max-handshakes
	AcceptRate     int // --accept-rate, in a second

	// The end.
	DrainDelay        time.Duration // --drain-delay, for which clients are still taken after SIGTERM
	DrainTimeout      time.Duration // --drain-timeout, for which sessions are waited for after that
	ExitZeroOnSIGTERM bool          // --exit-zero-on-sigterm
	ExitWhenIdle      time.Duration // --exit-when-idle, the time without a session after which it ends; 0: never
}
