package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"

	"dbvalet/config"
	"dbvalet/proxy"
)

// A service is a route with what serves it.
type service struct {
	route     *config.Route
	protocol  protocol
	security  string // how the database is verified
	password  string // where the one is that clients are asked for; empty: there is none
	server    *proxy.Server
	listeners []net.Listener
}

// options are the flags that concern all routes.
type options struct {
	admin   string  // where the admin endpoints are; empty: nowhere
	process process // what is to be done with it once everything is open

	maxConnections, maxHandshakes, acceptRate int // 0: no limit
}

// serve serves the routes until ctx ends, and returns when every session is closed.
func serve(ctx context.Context, args []string, o options, d display) error {
	all := newOverall(o.maxConnections, o.maxHandshakes, o.acceptRate)
	services, err := buildAll(args, all, d.log)
	if err != nil {
		return usageError{err}
	}
	defer closeAll(services)
	for _, s := range services {
		if err := s.listen(); err != nil {
			return fmt.Errorf("route %s: %w", s.route.Name, err)
		}
	}
	adminListeners, err := listenAdmin(o.admin)
	if err != nil {
		return err
	}
	all.finder.UnixOnly = o.process.limit(services, adminListeners, d.log)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var serving sync.WaitGroup
	failed := make(chan error, 1) // the first one counts
	for _, s := range services {
		for _, ln := range s.listeners {
			d.ready(s, ln)
			serving.Go(func() {
				if err := s.server.Serve(ctx, ln); err != nil {
					select {
					case failed <- fmt.Errorf("route %s: %w", s.route.Name, err):
					default:
					}
					cancel()
				}
			})
		}
	}
	admin := newAdmin(services, cancel, d.log)
	for _, ln := range adminListeners {
		d.adminReady(ln)
		serving.Go(func() { serveAdmin(ctx, admin, ln) })
	}
	serving.Wait()
	select {
	case err := <-failed:
		return err
	default:
		d.log.Info("stopped")
		return nil
	}
}

// buildAll reads all arguments before anything is started, so that a mistake in the last one leaves
// nothing half done.
func buildAll(args []string, all *overall, log *slog.Logger) ([]*service, error) {
	var services []*service
	for _, arg := range args {
		route, err := config.ParseRoute(arg)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(services, func(s *service) bool { return s.route.Name == route.Name }) {
			return nil, &config.Error{Route: route.Name, Err: fmt.Errorf("two routes have this name"), Advice: "set name= on one of them"}
		}
		s, err := build(route, all, log)
		if err != nil {
			closeAll(services)
			return nil, err
		}
		services = append(services, s)
	}
	return services, nil
}

// listen opens the route's listeners.
func (s *service) listen() error {
	for _, addr := range s.route.Listen {
		listeners, err := proxy.Listen(proxy.ListenOptions{
			Addr: addr, SocketName: s.protocol.socketName, Remote: s.route.AllowRemote != nil,
			SocketMode: s.route.SocketMode, SocketOwner: s.route.SocketOwner, SocketGroup: s.route.SocketGroup,
		})
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, listeners...)
	}
	return nil
}

func closeAll(services []*service) {
	for _, s := range services {
		for _, ln := range s.listeners {
			ln.Close()
		}
		s.server.Upstream.Credentials.Close()
	}
}
