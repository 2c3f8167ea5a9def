package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/examples/demo"
	"github.com/rookery-server/rookery/internal/fleet"
	"github.com/rookery-server/rookery/server"
)

// workerCommands returns the command that a supervisor starts for each worker.
// Its flags are the settings; it reads neither file nor variables.
func workerCommands(environ []string) []*cobra.Command {
	cmd := &cobra.Command{
		Use:    workerCommand,
		Short:  "Run one worker of a node; 'rookery serve --workers N' starts it",
		Args:   cobra.NoArgs,
		Hidden: true,
	}
	s := newSettings(cmd.Flags(), nil)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		w, err := fleet.Join(environ)
		if errors.Is(err, fleet.ErrNotWorker) {
			return usageError{errors.New("worker is started by 'rookery serve --workers N', not by hand")}
		}
		if err != nil {
			return err
		}
		defer w.Close()
		// A terminal and most service managers signal all processes at once.
		// SIGINT is the supervisor's to judge; SIGTERM means this worker, and
		// another one changes nothing.
		signal.Ignore(syscall.SIGINT)
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		defer signal.Stop(signals)
		log := s.logger(cmd.ErrOrStderr()).With("worker", w.Number)
		followMemory(readLimits(environ).machine, s.connsMax*w.Workers, w.Workers, log) // conns-max is one worker's part here
		return work(cmd.Context(), &s.config, w, signals, log)
	}
	return []*cobra.Command{cmd}
}

// work serves as worker w until it is told to drain.
func work(ctx context.Context, c *config, w *fleet.Worker, signals <-chan os.Signal, log *slog.Logger) error {
	ctx, stop := untilSignal(ctx, signals)
	defer stop()
	f := newFeed(c.node, log)
	admin, peers := w.Conns(fleet.TagAdmin), w.Conns(fleet.TagPeer)
	w.Start(f.receive, log)
	defer runFeed(f, w)()
	select {
	case <-f.first:
	case <-w.Draining():
		return nil
	case <-ctx.Done():
		return nil
	}
	o, err := workerOptions(c, w, f, log)
	if err != nil {
		return err
	}
	if c.admin != "" {
		o.Listeners.Admin = admin
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
	w.CloseFiles() // the server has its own
	defer adopt(peers, node.Cluster().Mesh())()
	if err := w.Ready(); err != nil {
		return err
	}
	select {
	case <-w.Draining():
	case <-ctx.Done():
	}
	f.end()
	log.Info("draining", "timeout", c.drainTimeout)
	return drain(c.drainTimeout, node.Shutdown, nil, log)
}

// workerOptions returns what c means to a worker.
func workerOptions(c *config, w *fleet.Worker, f *feed, log *slog.Logger) (server.Options, error) {
	o := c.options(log)
	o.Listeners = server.Listeners{TCP: w.Files["tcp"], HTTP: w.Files["http"]}
	o.Admin = ""
	o.Loop.Pacer = w.Share()
	o.Loop.Budget = max(loopBudget/int64(w.Workers), 1)
	keys, err := f.clusterKeys()
	if err != nil {
		return o, err
	}
	if keys == nil {
		o.StateKey = w.Secret() // the next request may be another worker's
	}
	part, err := c.clusterPart(keys)
	if err != nil {
		return o, err
	}
	part.Membership, part.Worker, part.Incarnation = f, uint16(w.Number), w.Incarnation
	part.Local = localSocket(w.Dir, w.Number)
	part.Peer = f.View().Node(c.node).Addr
	l, err := cluster.ListenLocal(part.Local)
	if err != nil {
		return o, err
	}
	part.Listeners = []net.Listener{l}
	o.Cluster = part
	return o, nil
}

// localSocket is where the workers of a node reach one of them.
func localSocket(dir string, worker int) string {
	return filepath.Join(dir, "worker-"+strconv.Itoa(worker))
}

// runFeed runs f and returns what ends it.
func runFeed(f *feed, w *fleet.Worker) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.run(ctx, w.Control().Send)
	}()
	return func() {
		cancel()
		<-done
	}
}

// adopt gives connections of other nodes, which the supervisor has passed on, to
// a mesh, and returns what ends that.
func adopt(l net.Listener, m *cluster.Mesh) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return // it is closed
			}
			m.Adopt(c)
		}
	}()
	return func() {
		_ = l.Close() // wakes it
		<-done
	}
}
