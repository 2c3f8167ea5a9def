package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Hidden subcommands by which the program runs its helpers.
const (
	workerCommand = "worker"
	keeperCommand = "keeper"
)

// addHelpers gives cmd the hidden subcommands.
func addHelpers(cmd *cobra.Command) {
	cmd.AddCommand(&cobra.Command{
		Use: workerCommand, Hidden: true, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return work(cmd.Context(), os.Stdin, os.Stdout) },
	}, &cobra.Command{
		Use: keeperCommand + " -- COMMAND...", Hidden: true, Args: cobra.MinimumNArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return keep(ctx, args, os.Stdin, os.Stdout, os.Stderr)
		},
	})
}

// commonFlags are the flags of all measuring commands.
type commonFlags struct {
	server   string
	args     []string
	baseline string
	budgets  string
	timeout  time.Duration
	json     bool
	quiet    bool
	quick    bool
}

func (f *commonFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", "", "rookery binary to measure (default: this one)")
	flags.StringArrayVar(&f.args, "serve-arg", nil, "one more argument for its serve command; may be repeated")
	flags.StringVar(&f.baseline, "baseline", "", "binary of bench/baseline to compare with (default: baseline beside this one, if it is there)")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "bound of one step, such as opening all clients")
	flags.BoolVar(&f.json, "json", false, "print the result as JSON")
	flags.BoolVar(&f.quiet, "quiet", false, "no progress on standard error")
	flags.BoolVar(&f.quick, "quick", false, "fewer and shorter runs: for a look, not for the record")
}

// registerBudgets is for commands that hold what they measure to budgets.
func (f *commonFlags) registerBudgets(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.budgets, "budgets", "", "file of budgets, or "+noBudgets+" (default: those built in)")
}

// setting is what the commands need beside their own flags.
type setting struct {
	self     []string
	server   string
	baseline string
	budgets  *Budgets
	progress *progress
}

// resolve finds the programs and the budgets.
func (f *commonFlags) resolve(cmd *cobra.Command) (*setting, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &setting{
		self:     append([]string{exe}, strings.Fields(cmd.CommandPath())[1:]...),
		server:   f.server,
		baseline: f.baseline,
		progress: newProgress(os.Stderr, f.quiet),
	}
	if s.server == "" {
		s.server = exe
	}
	if beside := filepath.Join(filepath.Dir(exe), "baseline"); s.baseline == "" {
		if _, err := os.Stat(beside); err == nil {
			s.baseline = beside
		}
	}
	s.budgets, err = loadBudgets(f.budgets)
	return s, err
}

// MemCommand returns the command that measures what idle clients cost. It
// fails with [ErrBudget] when they cost more than the budgets allow.
func MemCommand() *cobra.Command {
	var common commonFlags
	var o MemOptions
	var kinds []string
	var picture string
	cmd := &cobra.Command{
		Use:   "bench-mem",
		Short: "Measure the memory of idle clients, by component, beside other servers",
		Long: `Starts a server and a client in processes of their own, opens idle clients of
each kind, and reports bytes per client: resident (average and slope), live
heap, kernel slabs, by component; also what a burst of all clients leaves
behind, what handlers cost that wait for a user, and what is retained for
clients that may come back. Repeats on fresh servers and prints medians. Ends with status 1 when a
budget is exceeded.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			s, err := common.resolve(cmd)
			if err != nil {
				return err
			}
			o.Self, o.Server, o.Args, o.Baseline = s.self, s.server, common.args, s.baseline
			o.Quick, o.Timeout, o.Budgets, o.progress = common.quick, common.timeout, s.budgets, s.progress
			for _, k := range kinds {
				o.Kinds = append(o.Kinds, Kind(k))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			r, err := RunMem(ctx, o)
			if err != nil {
				return err
			}
			return r.publish(cmd.OutOrStdout(), common.json, picture)
		},
	}
	common.register(cmd)
	common.registerBudgets(cmd)
	cmd.Flags().StringSliceVar(&kinds, "kinds", nil, fmt.Sprintf("kinds of clients (default: %v)", memKinds))
	cmd.Flags().IntSliceVar(&o.Counts, "counts", nil, fmt.Sprintf("ascending numbers of clients (default: %v, less where descriptors are few)", defaultCounts))
	cmd.Flags().IntVar(&o.Runs, "runs", defaultRuns, "runs on fresh servers")
	cmd.Flags().DurationVar(&o.Settle, "settle", defaultSettle, "time for which memory must be quiet to be read")
	cmd.Flags().StringVar(&picture, "svg", "", "also draw the result into this file")
	addHelpers(cmd)
	return cmd
}

// publish prints the report, draws the picture, and says what is over budget.
func (r *MemReport) publish(w io.Writer, asJSON bool, picture string) error {
	if picture != "" {
		if err := os.WriteFile(picture, r.picture(), 0o644); err != nil {
			return err
		}
	}
	if err := printReport(w, r, asJSON); err != nil {
		return err
	}
	return breachError(r.Breaches)
}

// CPUCommand returns the command that measures what requests cost. It fails
// with [ErrBudget] when they cost more than the budgets allow.
func CPUCommand() *cobra.Command {
	var common commonFlags
	var o CPUOptions
	cmd := &cobra.Command{
		Use:   "bench-cpu [PART...]",
		Short: "Measure server CPU a request beside other servers, accept rate, GC pauses and fan-out",
		Long: fmt.Sprintf(`Loads this server and another in turns, each in a process of its own, and
reports the ratio of their CPU time a request; also how many connections are
opened a second, how long the garbage collector stops a server that holds
many, and how long one change takes to reach that many streams.
Parts: %s. Ends with status 1 when a budget is
exceeded.`, strings.Join(cpuParts, ", ")),
		ValidArgs: cpuParts,
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, parts []string) error {
			cmd.SilenceUsage = true
			s, err := common.resolve(cmd)
			if err != nil {
				return err
			}
			o.Self, o.Server, o.Args, o.Baseline, o.Parts = s.self, s.server, common.args, s.baseline, parts
			o.Quick, o.Timeout, o.Budgets, o.progress = common.quick, common.timeout, s.budgets, s.progress
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			r, err := RunCPU(ctx, o)
			if err != nil {
				return err
			}
			if err := printReport(cmd.OutOrStdout(), r, common.json); err != nil {
				return err
			}
			return breachError(r.Breaches)
		},
	}
	common.register(cmd)
	common.registerBudgets(cmd)
	cmd.Flags().IntVar(&o.Pairs, "pairs", defaultPairs, "pairs of turns")
	cmd.Flags().IntVar(&o.Clients, "clients", 0, fmt.Sprintf("clients of conn-rate, gc and fan-out (default %d, of fan-out %d, fewer where descriptors are few)", defaultClients, fanoutClients))
	cmd.Flags().DurationVar(&o.Measure, "measure", 0, fmt.Sprintf("length of a turn (default %v, with --quick %v)", defaultMeasure, quickMeasure))
	addHelpers(cmd)
	return cmd
}

// printReport writes r as JSON or as a table.
func printReport(w io.Writer, r interface{ writeTable(io.Writer, paint) error }, asJSON bool) error {
	if asJSON {
		return writeJSON(w, r)
	}
	return r.writeTable(w, newPaint(os.Stdout))
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
