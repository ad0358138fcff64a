package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"dbvalet/proxy"
)

// statusEvery is how often a status that is watched is asked for.
const statusEvery = 2 * time.Second

// What a terminal is told, as ECMA-48 has it. Nothing is cleared before it is written anew, so that
// nothing flickers.
const (
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
	clearScreen = "\x1b[2J"
	toTheTop    = "\x1b[H"
	clearLine   = "\x1b[K" // to its end
	clearBelow  = "\x1b[J"
)

// watch shows the status again and again, in place on a terminal, until a signal ends it. That dbvalet
// does not answer is shown like anything else: it may come back.
func (a *asker) watch(ctx context.Context, out io.Writer) error {
	if _, _, err := a.address(); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	show := func(page string) { fmt.Fprintf(out, "%s\n", page) }
	if onTerminal(out) {
		_, _ = io.WriteString(out, hideCursor+clearScreen)
		defer func() { _, _ = io.WriteString(out, showCursor) }()
		show = func(page string) {
			_, _ = io.WriteString(out, toTheTop+strings.ReplaceAll(page, "\n", clearLine+"\n")+clearBelow)
		}
	}
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	pages := make(chan string)
	for {
		go a.page(ctx, pages)
		select {
		case page := <-pages:
			show(page)
		case s := <-signals:
			return signalled{s}
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-tick.C:
		case s := <-signals:
			return signalled{s}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// page sends what there is to see now.
func (a *asker) page(ctx context.Context, pages chan<- string) {
	var page bytes.Buffer
	now := time.Now()
	s, _, err := a.status(ctx)
	if err == nil {
		err = s.write(&page, now)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(&page, "%v\nhint: %s\n", err, proxy.Hint(err))
	}
	fmt.Fprintf(&page, "\n%s, Ctrl-C ends\n", now.Format(time.TimeOnly))
	select {
	case pages <- page.String():
	case <-ctx.Done():
	}
}
