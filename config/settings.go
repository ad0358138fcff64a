package config

import "reflect"

// The headings of the settings' flags in --help, but for groupLimits, which the options of routes have too.
const (
	groupServing = "What is served"
	groupSeeing  = "What can be seen"
	groupEnd     = "How it ends"
)

// configKey is where the file is. It can't stand in the file itself.
var configKey = Key{
	Name: "config", Kind: Text, Group: groupServing, Example: "/etc/dbvalet/dbvalet.yaml",
	Doc: "The YAML file to read. The files config.d/*.yaml beside it are read after it, in the order of their names.",
}

// settings are all that concerns the whole program.
var settings = []setting{
	{Key{
		Name: "admin", Kind: Text, Group: groupSeeing, Example: "127.0.0.1:9901",
		Doc: "Where the admin endpoints are: an address of this machine, or a directory for a unix socket. " +
			"They are GET / (in a browser, the status page), /status, /events, /startup, /livez, /readyz and /metrics, and POST /sessions/close, /reload and /quitquitquit, for the own user and root. Without it there are none.",
	}, func(s *Settings) any { return &s.Admin }},
	{Key{
		Name: "metrics", Kind: Text, Group: groupSeeing, Example: "0.0.0.0:9902",
		Doc: "Another address for metrics and probes alone, which other machines may reach. " +
			"GET /metrics, /startup, /livez and /readyz show nothing secret there, and change nothing.",
	}, func(s *Settings) any { return &s.Metrics }},
	{Key{
		Name: "log_level", Kind: Text, Group: groupSeeing, Default: "info", Values: []string{"debug", "info", "warn", "error"}, Example: "warn",
		Doc: "What is logged: debug, info, warn or error, and what is worse.",
	}, func(s *Settings) any { return &s.LogLevel }},
	{Key{
		Name: "log_format", Kind: Text, Group: groupSeeing, Default: "auto", Values: []string{"auto", "text", "json"}, Example: "json",
		Doc: "How it is logged: text, json, or auto, which is text on a terminal.",
	}, func(s *Settings) any { return &s.LogFormat }},
	{Key{
		Name: "audit", Kind: Text, Group: groupSeeing, Example: "/var/log/dbvalet/audit.json",
		Doc: "Where the record of each session goes: stdout, syslog, or the path of a file. " +
			"It says who came from where, to what, and how it ended, and never a statement or a secret. Without it there are no records.",
	}, func(s *Settings) any { return &s.Audit }},
	{Key{
		Name: "traces", Kind: Text, Group: groupSeeing, Example: "http://127.0.0.1:4318",
		Doc: "The URL of an OTLP endpoint that gets a trace of how each connection was set up. Without it there are no traces.",
	}, func(s *Settings) any { return &s.Traces }},
	{Key{
		Name: "landlock", Kind: Text, Group: groupServing, Default: "auto", Values: []string{"auto", "off"}, Example: "off",
		Doc: "Whether the process keeps to the files and ports that its configuration names: off, or auto. " +
			"auto does so once it listens, as far as the kernel has Landlock (Linux 5.13).",
	}, func(s *Settings) any { return &s.Landlock }},
	{Key{
		Name: "strict", Kind: Bool, Group: groupServing, Example: "true",
		Doc: "One route that can't be served is the end of all. Else the others are served without it.",
	}, func(s *Settings) any { return &s.Strict }},
	{Key{
		Name: "max_connections", Kind: Number, Group: groupLimits, Zero: true, Example: "200",
		Doc: "At most so many connections of all routes at once; 0 is no limit.",
	}, func(s *Settings) any { return &s.MaxConnections }},
	{Key{
		Name: "max_handshakes", Kind: Number, Group: groupLimits, Zero: true, Example: "100",
		Doc: "At most so many connections of all routes that are being set up at once; 0 is no limit.",
	}, func(s *Settings) any { return &s.MaxHandshakes }},
	{Key{
		Name: "accept_rate", Kind: Number, Group: groupLimits, Zero: true, Example: "50",
		Doc: "At most so many new connections of all routes in a second; 0 is no limit.",
	}, func(s *Settings) any { return &s.AcceptRate }},
	{Key{
		Name: "drain_delay", Kind: Duration, Group: groupEnd, Zero: true, Example: "5s",
		Doc: "How long clients are still taken after SIGTERM. Readiness is gone at once, and a neighbour that shuts down may still connect.",
	}, func(s *Settings) any { return &s.DrainDelay }},
	{Key{
		Name: "drain_timeout", Kind: Duration, Group: groupEnd, Zero: true, Default: "25s", Example: "1m",
		Doc: "How long sessions are waited for, once no more clients are taken. The default ends before Kubernetes' 30 seconds do.",
	}, func(s *Settings) any { return &s.DrainTimeout }},
	{Key{
		Name: "exit_zero_on_sigterm", Kind: Bool, Group: groupEnd, Example: "true",
		Doc: "End with status 0 after SIGTERM, not with 143.",
	}, func(s *Settings) any { return &s.ExitZeroOnSIGTERM }},
	{Key{
		Name: "exit_when_idle", Kind: Duration, Group: groupEnd, Zero: true, Example: "30s",
		Doc: "End by itself after so long without a session; 0 is never. It is for a job's sidecar.",
	}, func(s *Settings) any { return &s.ExitWhenIdle }},
}

// Differing returns the keys of the settings that are not the same in t, in the order of the schema.
func (s *Settings) Differing(t *Settings) (keys []string) {
	for _, one := range settings {
		if !reflect.DeepEqual(one.field(s), one.field(t)) { // of what the pointers lead to
			keys = append(keys, one.Name)
		}
	}
	return keys
}

// findSetting returns the setting that is called key.
func findSetting(key string) (setting, bool) {
	for _, s := range settings {
		if s.Name == key {
			return s, true
		}
	}
	return setting{}, false
}

// settingNames are the names of all settings.
func settingNames() (names []string) {
	for _, s := range settings {
		names = append(names, s.Name)
	}
	return names
}
