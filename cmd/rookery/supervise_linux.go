package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/rookery-server/rookery/internal/fleet"
	"github.com/rookery-server/rookery/server"
)

// workersSupported says whether a node can be several processes here.
const workersSupported = true

// Bounds of the supervisor's admin listener, which has few and trusted clients.
const (
	adminHeadTimeout = 5 * time.Second
	adminIdleTimeout = 2 * time.Minute
	adminStopTimeout = time.Second
)

// workerProcessors is the least GOMAXPROCS of a worker. With one the runtime
// takes it away from the loop 20 µs into each wait and wakes its monitor at each
// return: the monitors of eight workers used 18 % of a processor at 25,000 calls
// a second. With a spare one it leaves the loop alone, and they used 3 %.
const workerProcessors = 2

// supervise runs a node of n worker processes until a signal has drained it.
func supervise(ctx context.Context, s *settings, n int, signals <-chan os.Signal, out io.Writer, log *slog.Logger) error {
	c := &s.config
	ctx, stop := untilSignal(ctx, signals)
	defer stop()
	if err := awaitFree(ctx, c.listeners(), bindPatience, func(note string) { log.Warn(note) }); err != nil {
		return err
	}
	b, err := bindAll(c)
	if err != nil {
		return err
	}
	defer b.close()
	crew, err := newCrew(ctx, c, b, log)
	if err != nil {
		return err
	}
	defer crew.close()
	sup, err := fleet.Start(fleet.Options{
		Workers: n, Args: s.workerArgs(n), Env: withoutSettings(s.environ), Files: b.files,
		Processors: max(workerProcessors, runtime.GOMAXPROCS(0)/n), Logger: log, Receive: crew.receive, Changed: crew.changed,
	})
	if err != nil {
		return err
	}
	defer sup.Kill()
	crew.start(sup)
	if b.admin != nil {
		admin := fleet.NewAdmin(sup, fmt.Sprintf("rookery %s, node %s, %d workers", build().Version, c.node, n))
		crew.handle(admin)
		defer serveAdmin(b.admin, admin, log)()
	}
	if err := sup.Ready(ctx); err == nil {
		if err := announce(out, c, b.addrs, fmt.Sprintf(", %d workers", n)); err != nil {
			return err
		}
		<-ctx.Done()
	} else if ctx.Err() == nil {
		return err
	}
	log.Info("draining; a second signal ends at once", "cause", context.Cause(ctx), "timeout", c.drainTimeout)
	// Workers cut what is left at the deadline themselves; past the grace they
	// are killed.
	return drain(c.drainTimeout+cutGrace, crew.drain, signals, log)
}

// bound are the sockets of a node.
type bound struct {
	files map[string]*os.File // for the workers, by the listener's name
	addrs map[string]net.Addr
	admin net.Listener // nil: off
	paths []string     // of unix sockets
}

// bindAll binds the listeners that c asks for.
func bindAll(c *config) (*bound, error) {
	b := &bound{files: map[string]*os.File{}, addrs: map[string]net.Addr{}}
	for _, l := range c.listeners() {
		if err := b.bind(l); err != nil {
			b.close()
			return nil, fmt.Errorf("--%s: %w", l.name, err)
		}
	}
	return b, nil
}

func (b *bound) bind(l listener) error {
	if l.name == "admin" {
		ln, err := net.Listen("tcp", l.addr)
		if err != nil {
			return err
		}
		b.admin, b.addrs[l.name] = ln, ln.Addr()
		return nil
	}
	f, err := server.Bind(l.addr)
	if err != nil {
		return err
	}
	b.files[l.name] = f
	if path, ok := strings.CutPrefix(l.addr, "unix:"); ok {
		b.paths = append(b.paths, path)
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return err
	}
	b.addrs[l.name] = ln.Addr()
	return ln.Close() // a duplicate
}

// close closes what is open still and removes the files of unix sockets.
func (b *bound) close() {
	for _, f := range b.files {
		_ = f.Close() // the supervisor of a node that drained has done so
	}
	if b.admin != nil {
		_ = b.admin.Close()
	}
	for _, path := range b.paths {
		_ = os.Remove(path) // gone already is as good
	}
}

// serveAdmin serves the admin pages and returns what ends them.
func serveAdmin(ln net.Listener, h http.Handler, logger *slog.Logger) (stop func()) {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: adminHeadTimeout, IdleTimeout: adminIdleTimeout,
		ErrorLog: log.New(adminLog{logger}, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("admin listener ended", "error", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), adminStopTimeout)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close() // its error is the listener's, closed above
		}
		<-done
	}
}

// adminLog hands lines of net/http to slog.
type adminLog struct{ log *slog.Logger }

func (w adminLog) Write(p []byte) (int, error) {
	w.log.Warn("admin listener", "message", strings.TrimSpace(string(p)))
	return len(p), nil
}

// workerArgs returns the command line of one of n workers: all settings as they
// are now, so that neither a changed file nor a variable tells it from the rest.
func (s *settings) workerArgs(n int) []string {
	args := []string{os.Args[0], workerCommand}
	part := s.perWorker(n)
	s.flags.VisitAll(func(f *pflag.Flag) {
		text, ok := part[f.Name]
		if !ok {
			text = f.Value.String()
		}
		args = append(args, "--"+f.Name+"="+text)
	})
	return args
}

// withoutSettings returns environ without the variables that are settings.
func withoutSettings(environ []string) []string {
	var rest []string
	for _, kv := range environ {
		if !strings.HasPrefix(kv, envPrefix) {
			rest = append(rest, kv)
		}
	}
	return rest
}
