package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/bench/load"
)

// loadFlags are the flags of load that are not options as they stand.
type loadFlags struct {
	targets, protocol, size, args, workload string
	json, quiet                             bool
}

func newLoad() *cobra.Command {
	var o load.Options
	var f loadFlags
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Load a server with very many clients and measure what they see",
		Long: `Opens clients, calls on a schedule that does not wait for answers, verifies every
answer, and reports latencies from the moment each call was due. Clients live in
processes of their own, as many as the limit of descriptors demands, and end
with this one. Works with any MCP server over HTTP, and with JSON-RPC over TCP.

  rookery load --target 127.0.0.1:7600 --clients 1000 --rate 5000 --duration 30s
  rookery load --target http://127.0.0.1:7680/mcp --protocol mcp-2025-11-25 --clients 1000 --rate 1000
  rookery load --target http://127.0.0.1:3000/mcp --tool search --args '{"q":"tea"}' --no-stream --rate 50

Ends with 0 when every answer was right and in order, 1 when one was not, 2 when
used wrongly, 130 when interrupted; then, too, it prints what it has measured.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLoad(cmd, o, f) },
	}
	f.register(cmd, &o)
	cmd.AddCommand(&cobra.Command{
		Use: "worker", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return load.Work(os.Stdin, os.Stdout) },
	})
	return cmd
}

func (f *loadFlags) register(cmd *cobra.Command, o *load.Options) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.targets, "target", "", "HOST:PORT or http://HOST:PORT/PATH; several, separated by commas, take turns (default: where serve listens)")
	flags.StringVar(&f.protocol, "protocol", string(load.JSONRPC), fmt.Sprintf("one of %v", load.Protocols))
	flags.IntVar(&o.Clients, "clients", 100, "clients to open")
	flags.Float64Var(&o.Ramp, "ramp", load.DefaultRamp, "clients opened a second")
	flags.Float64Var(&o.Rate, "rate", 0, "calls due a second over all clients (workload day: on average)")
	flags.DurationVar(&o.Warmup, "warmup", time.Second, "time before the measurement")
	flags.DurationVar(&o.Duration, "duration", 10*time.Second, "time of the measurement")
	flags.StringVar(&f.workload, "workload", string(load.Steady), fmt.Sprintf("one of %v", load.Workloads))
	flags.BoolVar(&o.Poisson, "poisson", false, "random times between calls instead of equal ones")
	flags.IntVar(&o.Burst, "burst", 1, "calls that a client makes when its turn comes")
	flags.DurationVar(&o.Think, "think", 0, "time between the calls of a burst; 0: all at once")
	flags.Float64Var(&o.Idle, "idle", 0, "share of clients that never call, 0 to 1")
	flags.Float64Var(&o.Notify, "notify", 0, "share of notifications among what is due, 0 to 1")
	flags.StringVar(&f.size, "size", load.DefaultSize.String(), "bytes of text in a call: 64, 64-1024, or 64*9,4096*1 with weights")
	flags.StringVar(&o.Method, "method", "", "JSON-RPC method to call (default echo)")
	flags.StringVar(&o.Tool, "tool", "", "MCP tool to call (default echo, whose answer must be its text)")
	flags.StringVar(&f.args, "args", "", "arguments of the tool, a JSON object; any result that is no error is then good")
	flags.Float64Var(&o.Publish, "publish", 0, "numbered events published a second, through tools broadcast or touch")
	flags.DurationVar(&o.Timeout, "timeout", load.DefaultTimeout, "bound of a call and of a handshake")
	flags.DurationVar(&o.DropAfter, "drop-after", load.DefaultDropAfter, "how long a due call waits for a client before it is dropped")
	flags.DurationVar(&o.Tick, "tick", load.DefaultTick, "how long the generator sleeps at least: calls due meanwhile go out together")
	flags.IntVar(&o.Pool, "pool", load.DefaultPool, "keep-alive connections for POSTs, for each process and target")
	flags.BoolVar(&o.Spread, "spread", false, "send each POST to the next target, not to the one with the client's stream")
	flags.BoolVar(&o.NoStream, "no-stream", false, "hold no stream, for servers that offer none")
	flags.IntVar(&o.Processes, "processes", 0, "load processes (default: as few as descriptors permit)")
	flags.Uint64Var(&o.Seed, "seed", 1, "of schedules and sizes")
	flags.BoolVar(&o.AllowRemote, "allow-remote", false, "permit targets on other machines: load only what is yours")
	flags.BoolVar(&f.json, "json", false, "print the result as JSON")
	flags.BoolVar(&f.quiet, "quiet", false, "no progress on standard error")
}

// options completes o from the flags.
func (f *loadFlags) options(ctx context.Context, o load.Options) (load.Options, error) {
	o.Protocol, o.Workload = load.Protocol(f.protocol), load.Workload(f.workload)
	if f.args != "" {
		o.Args = json.RawMessage(f.args)
	}
	targets := f.targets
	if targets == "" {
		targets = "127.0.0.1:7680"
		if o.Protocol == load.JSONRPC {
			targets = "127.0.0.1:7600"
		}
	}
	var err error
	if o.Targets, err = load.ParseTargets(ctx, targets); err != nil {
		return o, err
	}
	o.Size, err = load.ParseSize(f.size)
	return o, err
}

func runLoad(cmd *cobra.Command, o load.Options, f loadFlags) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := f.options(ctx, o)
	if err == nil {
		p := newLoadProgress(os.Stderr, f.quiet, o)
		o.Progress = p.second
		var r *load.Result
		r, err = load.Run(ctx, o)
		p.clear()
		if r != nil {
			r.Command, r.Version, r.Commit = os.Args, build().Version, build().Commit
			err = errors.Join(publishLoad(cmd.OutOrStdout(), r, f.json), loadVerdict(ctx, r, err))
		}
	}
	if errors.Is(err, load.ErrOptions) {
		return usageError{err}
	}
	return err
}

// loadVerdict says what err, or the result, means for the exit code.
func loadVerdict(ctx context.Context, r *load.Result, err error) error {
	switch {
	case ctx.Err() != nil:
		return errCut
	case err != nil:
		return err
	case r.Failed():
		return errors.New("load: not every answer was right: see errors, order and events above")
	}
	return nil
}

func publishLoad(w io.Writer, r *load.Result, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	var out strings.Builder
	r.WriteText(&out)
	_, err := io.WriteString(w, out.String())
	return err
}
