package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"dbvalet/backlog"
	"dbvalet/proxy"
)

// An Audit writes records. Calls may be concurrent.
type Audit struct {
	out  *backlog.Writer
	file *file // nil: not to a file
	sink io.Closer
}

// Open begins an audit in target: stdout, syslog, or the path of a file. Close ends it.
func Open(target string, log *slog.Logger) (*Audit, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	switch target {
	case "":
		return nil, errors.New("no target for the audit: there are stdout, syslog and the path of a file")
	case "stdout":
		return open(os.Stdout, nil, log), nil
	case "syslog":
		sink, err := openSyslog("", "")
		if err != nil {
			return nil, fmt.Errorf("open syslog for the audit: %w", err)
		}
		return open(sink, sink, log), nil
	}
	f, err := openFile(target, log)
	if err != nil {
		return nil, err
	}
	a := open(f, f, log)
	a.file = f
	return a, nil
}

func open(out io.Writer, sink io.Closer, log *slog.Logger) *Audit {
	return &Audit{sink: sink, out: backlog.New(out, func(lost int64) {
		log.Warn("audit records were lost", "records", lost, "hint", "see that there is space, and that the audit's reader reads")
	})}
}

// For returns what writes the records of a route.
func (a *Audit) For(route string) proxy.Observer { return observer{a, route} }

// Dropped returns how many records were lost.
func (a *Audit) Dropped() int64 { return a.out.Lost() }

// Reopen opens the file anew, for records to come, after somebody has renamed it. It does nothing for
// other targets. Where that fails, the log says so and the old file is written on.
func (a *Audit) Reopen() {
	if a.file != nil {
		a.file.reopen()
	}
}

// Close writes what is left, which takes two seconds at most, and closes the file.
func (a *Audit) Close() error {
	_ = a.out.Close()
	if a.sink == nil {
		return nil
	}
	return a.sink.Close()
}

type observer struct {
	audit *Audit
	route string
}

var _ proxy.Observer = observer{}

// Observe writes a record, but of those that were served without a session.
func (o observer) Observe(event proxy.Event, r *proxy.Record) {
	if event == proxy.Served {
		return
	}
	line, err := json.Marshal(newRecord(event, o.route, r))
	if err != nil {
		return // of strings and numbers only, so that there is none
	}
	_, _ = o.audit.out.Write(append(line, '\n'))
}
