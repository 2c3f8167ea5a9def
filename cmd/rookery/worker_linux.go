package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

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
		return work(cmd.Context(), &s.config, w, signals, s.logger(cmd.ErrOrStderr()).With("worker", w.Number))
	}
	return []*cobra.Command{cmd}
}

// work serves as worker w until it is told to drain.
func work(ctx context.Context, c *config, w *fleet.Worker, signals <-chan os.Signal, log *slog.Logger) error {
	ctx, stop := untilSignal(ctx, signals)
	defer stop()
	o := c.options(log)
	o.Listeners = server.Listeners{TCP: w.Files["tcp"], HTTP: w.Files["http"]}
	o.Admin = ""
	if c.admin != "" {
		o.Listeners.Admin = w.Conns(fleet.TagAdmin)
	}
	o.StateKey = w.Secret() // the next request may be another worker's
	o.Loop.Pacer = w.Share()
	o.Loop.Budget = max(loopBudget/int64(w.Workers), 1)
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
	w.Start(nil, log)
	if err := w.Ready(); err != nil {
		return err
	}
	select {
	case <-w.Draining():
	case <-ctx.Done():
	}
	log.Info("draining", "timeout", c.drainTimeout)
	return drain(c.drainTimeout, node.Shutdown, nil, log)
}
