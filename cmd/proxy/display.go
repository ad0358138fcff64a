package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"

	"dbvalet/backlog"
)

// newDisplay returns the display that writes to out. It does so by way of a queue, so that a reader of
// the log that has stopped stops nobody else; close writes what is left.
func newDisplay(out io.Writer, level, format string) (display, error) {
	d := display{level: new(slog.LevelVar), terminal: onTerminal(out)}
	if err := d.setLevel(level); err != nil {
		return display{}, err
	}
	options := &slog.HandlerOptions{Level: d.level}
	terminal := isTerminal(out)
	asText := format == "text" || format == "auto" && terminal
	if !asText && format != "json" && format != "auto" {
		return display{}, fmt.Errorf("--log-format=%s: there are auto, text and json", format)
	}

	queue := backlog.New(out, func(lost int64) {
		d.log.Warn("lines of the log were lost, as nobody read them", "lines", lost)
	})
	d.close = func() { _ = queue.Close() }
	if asText {
		d.people, d.colour = queue, coloursOn(terminal)
		d.log = slog.New(slog.NewTextHandler(inColour(queue, terminal), options))
	} else {
		d.log = slog.New(slog.NewJSONHandler(queue, options))
	}
	return d, nil
}

// setLevel sets what is logged from now on.
func (d display) setLevel(level string) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return fmt.Errorf("--log-level=%s: there are debug, info, warn and error", level)
	}
	if d.level != nil {
		d.level.Set(l)
	}
	return nil
}

// isTerminal reports whether out is a terminal, or a device that is as patient as one.
func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// inColour returns out, or what colours the lines of a text log on it: on a terminal only, and not where
// NO_COLOR is set to anything (https://no-color.org).
func inColour(out io.Writer, terminal bool) io.Writer {
	if !coloursOn(terminal) {
		return out
	}
	return coloured{out}
}

func coloursOn(terminal bool) bool {
	return terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// coloured marks the level of each line. slog writes a line in one piece and has quoted whatever could
// play tricks on a terminal; there are libraries that don't, and clients choose their names.
type coloured struct{ out io.Writer }

func (c coloured) Write(line []byte) (int, error) {
	for level, colour := range map[string]string{"DEBUG": "2", "INFO": "32", "WARN": "33", "ERROR": "1;31"} {
		word := []byte(" level=" + level + " ")
		// The time comes first, and has no space in it.
		if i := bytes.IndexByte(line, ' '); i >= 0 && bytes.HasPrefix(line[i:], word) {
			line = bytes.Join([][]byte{line[:i], []byte(" \x1b[" + colour + "mlevel=" + level + "\x1b[0m "), line[i+len(word):]}, nil)
			break
		}
	}
	return c.out.Write(line)
}
