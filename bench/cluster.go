package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// ClusterOptions configures RunCluster.
type ClusterOptions struct {
	Self    []string // command line of the command that has the hidden subcommands
	Server  string   // rookery binary
	Args    []string // more arguments of its serve
	Logs    string   // directory for the nodes' logs; "": none
	Kinds   []string // what to measure, in this order; none: all
	Kills   int      // of kind kill; 0: clusterKills
	Rounds  int      // of failover, two, worker and members; 0: clusterRounds
	Clients int      // of failover, two and worker; 0: failoverClients
	Quick   bool
	Timeout time.Duration // of one step

	progress *progress
}

// Defaults of ClusterOptions.
const (
	clusterNodes    = 4
	clusterKills    = 200
	clusterRounds   = 3
	failoverClients = 4000
)

// clusterKinds are what can be measured, and how.
var clusterKinds = []struct {
	name string
	run  func(*clusterBench, context.Context) error
}{
	{"kill", (*clusterBench).kill},
	{"failover", (*clusterBench).failover},
	{"two", (*clusterBench).two},
	{"worker", (*clusterBench).worker},
	{"members", (*clusterBench).members},
	{"fanout", (*clusterBench).fanout},
	{"copies", (*clusterBench).copies},
	{"ack", (*clusterBench).ack},
	{"starve", (*clusterBench).starve},
}

func clusterKindNames() (names []string) {
	for _, k := range clusterKinds {
		names = append(names, k.name)
	}
	return names
}

// clusterBench measures clusters, one after another.
type clusterBench struct {
	ClusterOptions
	report *ClusterReport
}

// RunCluster measures what happens in clusters of four nodes on this machine.
func RunCluster(ctx context.Context, o ClusterOptions) (*ClusterReport, error) {
	machine, err := ThisMachine()
	if err != nil {
		return nil, err
	}
	b := &clusterBench{ClusterOptions: o, report: &ClusterReport{
		Schema: ClusterSchema, Taken: time.Now(), Machine: machine, Load: LoadAverage(), Notes: []string{}, Breaches: []Breach{},
	}}
	b.defaults()
	for _, k := range clusterKinds {
		if !slices.Contains(b.Kinds, k.name) {
			continue
		}
		if err := k.run(b, ctx); err != nil {
			b.progress.clear()
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
	}
	b.progress.clear()
	return b.report, nil
}

func (b *clusterBench) defaults() {
	or := func(n *int, normal, quick int) {
		if *n == 0 {
			*n = normal
			if b.Quick {
				*n = quick
			}
		}
	}
	or(&b.Kills, clusterKills, 8)
	or(&b.Rounds, clusterRounds, 1)
	or(&b.Clients, failoverClients, 400)
	if len(b.Kinds) == 0 {
		b.Kinds = clusterKindNames()
	}
	if b.progress == nil {
		b.progress = &progress{}
	}
}

// LoadAverage returns the load of the last minute, 0 where it cannot be read.
func LoadAverage() (load float64) {
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &load)
	}
	return load
}

// with runs f on a fresh cluster.
func (b *clusterBench) with(ctx context.Context, count int, args []string, f func(context.Context, *nodes) error) error {
	return b.withSetup(ctx, clusterSetup{server: b.Server, args: append(slices.Clone(args), b.Args...), logs: b.Logs, count: count}, f)
}

func (b *clusterBench) withSetup(ctx context.Context, s clusterSetup, f func(context.Context, *nodes) error) error {
	starting, cancel := b.step(ctx, "starting")
	defer cancel()
	c, err := startNodes(starting, s)
	if err != nil {
		return err
	}
	err = f(ctx, c)
	if err != nil {
		err = errors.Join(err, c.lastWords())
	}
	return errors.Join(err, c.stop())
}

// step returns a context for one step, whose end names it.
func (b *clusterBench) step(ctx context.Context, what string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, b.Timeout, fmt.Errorf("%s took longer than %v (--timeout)", what, b.Timeout))
}

// lastWords are what the nodes said last.
func (c *nodes) lastWords() error {
	var errs []error
	for _, n := range c.list {
		if n.process != nil {
			errs = append(errs, fmt.Errorf("%s said last%s", n.name, n.process.Said()))
		}
	}
	return errors.Join(errs...)
}

// ClusterCommand returns the command that measures clusters. It fails with
// [ErrBudget] when a figure misses its bar.
func ClusterCommand() *cobra.Command {
	var common commonFlags
	var o ClusterOptions
	cmd := &cobra.Command{
		Use:   "bench-cluster [KIND...]",
		Short: "Measure clusters of four nodes: death, failover, fan-out, copies, acknowledgements",
		Long: fmt.Sprintf(`Starts clusters of four nodes as processes on this machine, with clients in
processes of their own, kills nodes, and reports how long until others have
taken over, what was lost, and what clustering costs.
Kinds: %s. Ends with status 1 when a
figure misses its bar.`, strings.Join(clusterKindNames(), ", ")),
		ValidArgs: clusterKindNames(),
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, kinds []string) error {
			cmd.SilenceUsage = true
			s, err := common.resolve(cmd)
			if err != nil {
				return err
			}
			o.Self, o.Server, o.Args, o.Kinds = s.self, s.server, common.args, kinds
			o.Quick, o.Timeout, o.progress = common.quick, common.timeout, s.progress
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if o.Logs != "" {
				if err := os.MkdirAll(o.Logs, 0o755); err != nil {
					return err
				}
			}
			r, err := RunCluster(ctx, o)
			if err != nil {
				return err
			}
			return r.publish(cmd.OutOrStdout(), common.json)
		},
	}
	common.register(cmd)
	for _, unused := range []string{"baseline", "budgets"} {
		_ = cmd.Flags().MarkHidden(unused) // they exist; there is nothing to compare with, and bars are fixed
	}
	cmd.Flags().IntVar(&o.Kills, "kills", 0, fmt.Sprintf("nodes to kill in kill (default %d)", clusterKills))
	cmd.Flags().IntVar(&o.Rounds, "rounds", 0, fmt.Sprintf("fresh clusters of failover, two, worker and members (default %d)", clusterRounds))
	cmd.Flags().IntVar(&o.Clients, "clients", 0, fmt.Sprintf("clients of failover, two and worker (default %d)", failoverClients))
	cmd.Flags().StringVar(&o.Logs, "logs", "", "append the nodes' logs to files in this directory")
	addRoamers(cmd)
	return cmd
}

// addRoamers gives cmd the hidden subcommand that holds clients.
func addRoamers(cmd *cobra.Command) {
	cmd.AddCommand(&cobra.Command{
		Use: roamersCommand, Hidden: true, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return roam(cmd.Context(), os.Stdin, os.Stdout) },
	})
}

func (r *ClusterReport) publish(w io.Writer, asJSON bool) error {
	if err := printReport(w, r, asJSON); err != nil {
		return err
	}
	return breachError(r.Breaches)
}
