package main

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"dbvalet/config"
	"dbvalet/proxy"
)

// options are what the program is told, and what it is told with.
type options struct {
	// load reads the configuration; it is called again for each reload.
	load func() (*config.Config, error)
	// signals are SIGINT and SIGTERM, which end the program, SIGHUP, which has it reload, and SIGUSR1,
	// which has it reopen the audit file. Nil: there are none.
	signals   <-chan os.Signal
	process   process // what is to be done with it once everything is open
	inherited *proxy.Inherited
}

// A valet is the running program: what it serves, and what it has been asked to do.
type valet struct {
	options
	display display
	fleet   *fleet
	watch   watch
	phase   phases
	// confined says that the kernel refuses what the configuration did not name at the start.
	confined bool
	sights   *sights // what can be seen of it
	health   health
	notify   *notifier

	quit    chan struct{}
	quits   sync.Once
	reloads chan reload
	last    lastReload
}

// serve serves c until ctx ends, a signal comes or it is asked to end, and returns when every session is
// closed. The end of ctx is that of everything within a moment; otherwise sessions are waited for, as
// the configuration says.
func serve(ctx context.Context, c *config.Config, o options, d display) (err error) {
	v := &valet{options: o, display: d, quit: make(chan struct{}), reloads: make(chan reload)}
	if v.sights, err = openSights(c, d.log); err != nil {
		return err
	}
	defer v.sights.close()
	if v.notify, err = newNotifier(); err != nil {
		d.log.Warn("the service manager is not told anything", "err", err)
	}
	defer v.notify.close()
	v.fleet = &fleet{health: &v.health, all: newOverall(c.MaxConnections, c.MaxHandshakes, c.AcceptRate), display: d, inherited: o.inherited, sights: v.sights}
	v.watch.note(c)

	p, err := v.fleet.prepare(c, func(*config.Route) bool { return !c.Strict })
	if err != nil {
		return err
	}
	desk, err := v.openDesk(c)
	if err != nil {
		p.undo()
		return err
	}
	listeners := append(p.listeners, desk.listeners()...)
	v.confined = o.process.limit(c, p.services, listeners, d.log)
	v.fleet.all.finder.UnixOnly = v.confined

	// Sessions outlive what ends the program, until they are cut.
	sessions, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	v.fleet.launch(sessions, p)
	v.tell(ready) // who asks from now on waits in the kernel's queue, and is told so
	desk.open()
	defer desk.close()
	watchdog, unwatch := context.WithCancel(context.Background())
	defer unwatch()
	go v.notify.watch(watchdog, func(ctx context.Context) bool { return v.health.live(ctx).OK })

	why := v.run(ctx, sessions)
	v.end(why, cut)
	d.log.Info("stopped")
	return why.status(v.fleet.inForce())
}

// A reason is why the program ends.
type reason struct {
	signal os.Signal // nil: none
	what   string
	now    bool // sessions are not waited for
	// limit is how long those that were told may take to finish an answer; 0: as long as Dismiss says.
	limit time.Duration
}

// status is the outcome of the program: how it was ended by a signal is seen in its exit status.
func (r reason) status(c *config.Config) error {
	if r.signal == nil || c.ExitZeroOnSIGTERM {
		return nil
	}
	return signalled{r.signal}
}

// signalled is the end by a signal. It is no error that anybody need be told of.
type signalled struct{ os.Signal }

func (s signalled) Error() string { return "ended by " + s.String() }

// signalName is what manuals call s.
func signalName(s os.Signal) string {
	switch s {
	case os.Interrupt:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	case reloadSignal:
		return "SIGHUP"
	}
	return s.String()
}

// exitStatus is what a shell makes of the signal: 130 for SIGINT, 143 for SIGTERM.
func (s signalled) exitStatus() int {
	if n, ok := s.Signal.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitError
}

// retryEvery is how often a route is tried that could not be served: what it lacks may have come.
const retryEvery = 10 * time.Second

// run does what it is asked to until it is to end.
func (v *valet) run(ctx, sessions context.Context) reason {
	idle := idleness{since: time.Now()}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return reason{what: "its context has ended", now: true}
		case <-v.quit:
			return reason{what: "the admin endpoint was asked to"}
		case s := <-v.signals:
			switch s {
			case os.Interrupt, syscall.SIGTERM:
				// Ctrl-C is somebody who waits for the prompt.
				return reason{signal: s, what: signalName(s), now: s == os.Interrupt}
			case reloadSignal:
				if v.display.terminal && !onTerminal(os.Stderr) {
					return reason{signal: s, what: "the terminal was closed", now: true}
				}
				_ = v.reload(sessions, signalName(s))
			case reopenSignal:
				v.sights.reopen()
			}
		case r := <-v.reloads:
			r.done <- v.reload(sessions, r.why)
		case <-tick.C:
			if v.watch.changed() {
				_ = v.reload(sessions, "a file has changed")
			}
			if idle.over(v.fleet) {
				return reason{what: "no session has been open for as long as --exit-when-idle says"}
			}
		case <-retry.C:
			v.retry(sessions)
		}
	}
}

// end is the drain:
//
//  1. It is not ready any more. For the drain delay, clients are still taken: whoever asks whether it
//     is ready needs a moment to notice, and neighbours that end at the same time still open connections.
//  2. The listeners are closed.
//  3. Sessions are waited for, as long as the drain timeout says.
//  4. Those that are left are told, each as soon as it is not in the middle of an answer.
//  5. What is left a few seconds later is cut.
//
// Another signal cuts at once.
func (v *valet) end(why reason, cut func()) {
	c := v.fleet.inForce()
	delay, timeout := c.DrainDelay, c.DrainTimeout
	if why.now {
		delay, timeout = 0, 0
	}
	v.health.close()
	v.tell(draining)
	open, _ := v.fleet.sessions()
	v.display.log.Info("stopping", "why", why.what, "sessions", open, "drain_delay", delay, "drain_timeout", timeout)

	impatient, stop := context.WithCancel(context.Background())
	defer stop()
	watched := make(chan struct{})
	go v.watchImpatience(impatient, func() { stop(); cut() }, watched)
	defer func() { stop(); <-watched }()

	pause(impatient, delay, nil)
	v.fleet.closeDoors()
	over := make(chan struct{})
	go v.fleet.wait(over)
	pause(impatient, timeout, over)
	telling := impatient
	if why.limit > 0 {
		var stop context.CancelFunc
		telling, stop = context.WithTimeout(impatient, why.limit)
		defer stop()
	}
	v.fleet.dismiss(telling)
	cut()
	<-over
}

// watchImpatience calls now at another signal that ends the program.
func (v *valet) watchImpatience(ctx context.Context, now func(), done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-v.signals:
			if s == os.Interrupt || s == syscall.SIGTERM {
				v.display.log.Warn("stopping now, sessions are cut", "why", "another "+signalName(s))
				now()
				return
			}
		}
	}
}

// pause returns after d, when over is closed, or when ctx ends.
func pause(ctx context.Context, d time.Duration, over <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-over:
	case <-ctx.Done():
	}
}

// askToQuit is for the admin endpoint.
func (v *valet) askToQuit() { v.quits.Do(func() { close(v.quit) }) }

// idleness is for --exit-when-idle: it counts from the end of the last session, and not before there
// was one, as nobody knows how long a job takes to begin.
type idleness struct {
	since time.Time
	began int64
}

func (i *idleness) over(f *fleet) bool {
	open, began := f.sessions()
	if open > 0 || began != i.began {
		i.since, i.began = time.Now(), began
	}
	limit := f.inForce().ExitWhenIdle
	return limit > 0 && i.began > 0 && time.Since(i.since) >= limit
}
