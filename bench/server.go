package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
)

const (
	readyTimeout = 15 * time.Second
	readyPoll    = 10 * time.Millisecond
	startTries   = 3
)

// program is a server that can be started for a measurement.
type program struct {
	name string
	raw  bool // echoes bytes
	// ports is how many addresses it listens on; that of HTTP is the web-th,
	// that of its admin listener the admin-th, 0 if it has none.
	ports, web, admin int
	// argv returns its command line for these addresses.
	argv func(a []netip.AddrPort) []string
}

// Names of servers in reports.
const (
	ours = "rookery"
	// adapter is the Go SDK's own server behind our package mcp/gosdk.
	adapter = "gosdk-rookery"
)

// rookeryProgram is `rookery serve` with its three listeners, as it runs by
// default.
func rookeryProgram(path string, extra []string) program {
	return program{name: ours, ports: 3, web: 1, admin: 2, argv: func(a []netip.AddrPort) []string {
		line := []string{path, "serve", "--tcp", a[0].String(), "--http", a[1].String(), "--admin", a[2].String(), "--gossip=", "--peer="}
		return append(line, extra...)
	}}
}

// adapterProgram is the server of bench/baseline that is half ours, with an
// admin listener.
func adapterProgram(path string) program {
	return program{name: adapter, ports: 2, admin: 1, argv: func(a []netip.AddrPort) []string {
		return []string{path, adapter, a[0].String(), a[1].String()}
	}}
}

// baselineProgram is one of the other servers of bench/baseline.
func baselineProgram(path, name string, raw bool) program {
	return program{name: name, raw: raw, ports: 1, argv: func(a []netip.AddrPort) []string {
		return []string{path, name, a[0].String()}
	}}
}

// server is a program that runs under a keeper. End it with stop.
type server struct {
	program program
	keeper  *process
	addrs   []netip.AddrPort
	pid     int
}

// startServer starts p on free ports and returns when it listens.
func startServer(ctx context.Context, self []string, p program) (*server, error) {
	var failed error
	for range startTries { // another process may take a port in between
		s, err := tryServer(ctx, self, p)
		if err == nil {
			return s, nil
		}
		failed = fmt.Errorf("bench: %s: %w", p.name, err)
		if ctx.Err() != nil || errors.Is(err, errNeedsLinux) {
			break
		}
	}
	return nil, failed
}

func tryServer(ctx context.Context, self []string, p program) (*server, error) {
	s := &server{program: p}
	for range p.ports {
		a, err := FreeAddr()
		if err != nil {
			return nil, err
		}
		s.addrs = append(s.addrs, a)
	}
	argv := append(self[:len(self):len(self)], keeperCommand, "--")
	keeper, err := startProcess(append(argv, p.argv(s.addrs)...))
	if err != nil {
		return nil, err
	}
	s.keeper = keeper
	if err := s.ready(ctx); err != nil {
		_ = s.stop() // err has its last words already
		return nil, err
	}
	return s, nil
}

// ready waits until the server listens on all its addresses.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("it did not listen within %v", readyTimeout))
	defer cancel()
	line, err := s.keeper.line(ctx)
	if err != nil {
		return err
	}
	if s.pid, err = strconv.Atoi(string(bytes.TrimSpace(line))); err != nil {
		return fmt.Errorf("the keeper said %q, not a process id", wire.Clip(line))
	}
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		if ok, err := listens(s.addrs...); ok || err != nil {
			return err
		}
		select {
		case <-poll.C:
		case <-s.keeper.lines: // it says nothing more until it ends
			return fmt.Errorf("it ended%s", s.keeper.Said())
		case <-ctx.Done():
			return fmt.Errorf("%w%s", context.Cause(ctx), s.keeper.Said())
		}
	}
}

// target returns where clients of kind go.
func (s *server) target(kind Kind) Target {
	t := Target{Addr: s.addrs[0], Path: "/mcp", Raw: s.program.raw}
	if !kind.lines() {
		t.Addr = s.addrs[s.program.web]
	}
	return t
}

// admin returns the address of the admin listener, false when there is none.
func (s *server) admin() (netip.AddrPort, bool) {
	if s.program.admin == 0 {
		return netip.AddrPort{}, false
	}
	return s.addrs[s.program.admin], true
}

// stop ends the server and its keeper. A server that had already ended is an
// error with its last words.
func (s *server) stop() error {
	if err := s.keeper.stop(); err != nil {
		return fmt.Errorf("bench: %s: %w%s", s.program.name, err, s.keeper.Said())
	}
	return nil
}
