package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/examples/demo"
	"github.com/rookery-server/rookery/server"
)

// cutGrace is how long the server may take to close what is left after the
// drain deadline; a handler that ignores its context cannot hold the process.
const cutGrace = 2 * time.Second

func newServe(environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node with the demo app",
		Long: `Runs one node. It serves a small demo app: the JSON-RPC method echo returns its params;
the MCP tool echo returns its argument text, the tool touch marks a resource as changed,
the tool confirm asks the user a question, and demo://item/{name} are resources to read and subscribe to.

Each flag is also a key of the config file and, as ROOKERY_NAME, a variable. Flags win
over variables, those over the file, that over defaults; see 'rookery check-config'.

With --workers above 1 the node is a supervisor and so many worker processes behind the
same addresses, because descriptors are limited per process. A worker that ends is
started again; when the supervisor ends, however, all of them end. --workers auto looks at
--conns-max, the limit of open files and the processors. Bounds such as --conns-max are the
node's: the workers divide them.

SIGTERM or SIGINT: stop accepting, finish calls in flight, close. A second one ends at once.`,
		Args: cobra.NoArgs,
	}
	s := newSettings(cmd.Flags(), environ)
	lifeline := false
	cmd.Flags().BoolVar(&lifeline, "lifeline", false, "end when standard input closes")
	_ = cmd.Flags().MarkHidden("lifeline") // it exists
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := s.load(); err != nil {
			return usageError{err}
		}
		// Before anything is bound, so that an early signal drains too.
		signals := make(chan os.Signal, 2)
		signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
		defer signal.Stop(signals)
		if lifeline {
			go hangOn(cmd.InOrStdin(), signals) // ends with the process that holds the other end, or with this one
		}
		log := s.logger(cmd.ErrOrStderr())
		l := readLimits(environ)
		n, why := s.resolveWorkers(l)
		if s.workers == workersAuto {
			log.Info("workers chosen", "workers", n, "because", why)
		}
		s.workers = workerCount(n)
		for _, a := range l.advice(&s.config) {
			log.Warn(a.What, "remedy", a.Remedy)
		}
		if n > 1 {
			return supervise(cmd.Context(), s, n, signals, cmd.OutOrStdout(), log)
		}
		followMemory(l.machine, s.connsMax, 1, log)
		return serve(cmd.Context(), &s.config, signals, cmd.OutOrStdout(), log)
	}
	return cmd
}

// hangOn ends the node as a signal does when in closes: whoever started it is
// gone.
func hangOn(in io.Reader, signals chan<- os.Signal) {
	_, _ = io.Copy(io.Discard, in) // an error is an end too
	signals <- syscall.SIGTERM
}

// logger returns the log that c asks for.
func (c *config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		panic(err) // the setting's parser admits four names, all known to slog
	}
	o := &slog.HandlerOptions{Level: level}
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// options returns what c means to the server.
func (c *config) options(log *slog.Logger) server.Options {
	o := server.Options{
		TCP: c.tcp, HTTP: c.http, Admin: c.admin,
		Version:        build().Version,
		AllowedOrigins: c.allowedOrigins,
		Logger:         log,
		MessageMax:     c.messageMaxInt(),
		SessionsMax:    c.sessionsMax,
		SessionIdle:    c.sessionIdle,
		DrainTimeout:   c.drainTimeout,
	}
	o.Events = server.EventLimits{Count: c.events, Bytes: int(c.eventBytes), Age: c.eventAge, Budget: c.eventBudget}
	if c.events == 0 {
		o.Events.Count = -1
	}
	o.Loop.Loops = c.loops
	o.Loop.ConnsMax = c.connsMax
	o.Loop.IdleTimeout = c.idleTimeout
	o.Loop.KeepAlive = c.keepAlive
	return o
}

// serve runs a node until a signal has drained it.
func serve(ctx context.Context, c *config, signals <-chan os.Signal, out io.Writer, log *slog.Logger) error {
	ctx, stop := untilSignal(ctx, signals)
	defer stop()
	if err := awaitFree(ctx, c.listeners(), bindPatience, func(note string) { log.Warn(note) }); err != nil {
		return err
	}
	o := c.options(log)
	var err error
	if o.Cluster, err = c.clusterOptions(ctx, log); err != nil {
		return err
	}
	node, err := server.New(o)
	if err != nil {
		return err
	}
	defer node.Close()
	if err := demo.Register(node); err != nil {
		return err
	}
	if err := node.Start(); err != nil {
		return err
	}
	bound := map[string]net.Addr{"tcp": node.TCPAddr(), "http": node.HTTPAddr(), "admin": node.AdminAddr()}
	if err := announce(out, c, bound, ""); err != nil {
		return err
	}
	<-ctx.Done()
	log.Info("draining; a second signal ends at once", "cause", context.Cause(ctx), "timeout", c.drainTimeout)
	return drain(c.drainTimeout, node.Shutdown, signals, log)
}

// untilSignal returns a context that the first signal ends, which is its cause.
func untilSignal(ctx context.Context, signals <-chan os.Signal) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() { // ends with the first signal or with stop
		select {
		case s := <-signals:
			cancel(fmt.Errorf("signal: %v", s))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// drain ends the node: gently until timeout, at once on another signal. It
// returns an error when calls in flight were cut.
func drain(timeout time.Duration, shutdown func(context.Context) error, signals <-chan os.Signal, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	begin := time.Now()
	done := make(chan error, 1)
	go func() { done <- shutdown(ctx) }() // ends with the node or the process
	hung := time.NewTimer(timeout + cutGrace)
	defer hung.Stop()
	select {
	case err := <-done:
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("drain-timeout %v passed; the rest was cut", timeout)
		}
		if err == nil {
			log.Info("drained", "took", time.Since(begin).Round(time.Millisecond))
		}
		return err
	case s := <-signals:
		return fmt.Errorf("second signal (%v): ended without waiting", s)
	case <-hung.C:
		return fmt.Errorf("drain-timeout %v passed; a handler does not return", timeout)
	}
}

// announce prints who this is, note included, and one line per listener with the
// address that was bound.
func announce(out io.Writer, c *config, bound map[string]net.Addr, note string) error {
	b := build()
	fmt.Fprintf(out, "rookery %s, node %s, pid %d, %d processors%s\n", b.Version, c.node, os.Getpid(), runtime.GOMAXPROCS(0), note)
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, l := range c.listeners() {
		fmt.Fprintf(tw, "listening\t%s\t%s\t%s\n", l.name, bound[l.name], l.serves)
	}
	return tw.Flush()
}
