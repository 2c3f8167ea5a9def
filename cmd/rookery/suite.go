package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/report"
	"github.com/rookery-server/rookery/bench/suite"
)

// suiteFlags are the flags of the command suite.
type suiteFlags struct {
	options        suite.Options
	scale          string
	out            string
	timeout        time.Duration
	list           bool
	json           bool
	quiet, verbose bool
}

func newSuite() *cobra.Command {
	var f suiteFlags
	cmd := &cobra.Command{
		Use:   "suite",
		Short: "Run the 100K suite: a cluster, clients, failures, and a report with verdicts",
		Long: fmt.Sprintf(`Starts four nodes as processes on this machine, puts clients on them, calls,
publishes, kills nodes, and holds what it measures against named limits.

Scales: %s. All processes end with this command, also on Ctrl-C.
Exits with 1 when a check misses its floor or the run ends early, with 130 when
it was interrupted, and reports what was measured until then. A check that meets
its floor and misses its bar is shown as such and is no failure.`, strings.Join(suite.ScaleNames(), ", ")),
		Example: `  rookery suite --scale small
  rookery suite --scale 100k --out results/
  rookery suite --scale 10k --group 5 --group 9
  rookery suite --scale 10k --check failure --chaos --soak 30m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			return f.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.scale, "scale", "small", "how large: "+strings.Join(suite.ScaleNames(), ", "))
	flags.IntSliceVar(&f.options.Groups, "group", nil, "only checks of these groups, 1 to 9; may be repeated")
	flags.StringSliceVar(&f.options.Checks, "check", nil, "only these checks, by name or by the part before the dot; may be repeated")
	flags.BoolVar(&f.list, "list", false, "list the checks with their limits and exit")
	flags.StringVar(&f.out, "out", "", "directory for suite-SCALE.json and suite-SCALE.html; it is made if missing")
	flags.StringVar(&f.options.Logs, "logs", "", "append the nodes' logs to files in this directory")
	flags.StringVar(&f.options.Server, "server", "", "rookery binary to measure (default: this one)")
	flags.StringArrayVar(&f.options.Args, "serve-arg", nil, "one more argument for its serve command; may be repeated")
	flags.DurationVar(&f.options.Soak, "soak", 0, "hold connections this long in place of the scale's longer time; with --chaos, how long nodes are killed")
	flags.BoolVar(&f.options.Chaos, "chaos", false, "kill nodes at random under the sessions, whatever --group and --check choose")
	flags.Uint64Var(&f.options.Seed, "seed", 1, "of what chaos chooses")
	flags.Float64Var(&f.options.ControlShare, "control-share", 0, "of one processor, from 0 to 1, that the control process keeps busy; with that of a server their pauses compare")
	flags.DurationVar(&f.options.Step, "step-timeout", suite.DefaultStep, "bound of one step, such as a ramp")
	flags.DurationVar(&f.timeout, "timeout", 0, "bound of the whole run; what was measured until then is reported (default: none)")
	flags.BoolVar(&f.json, "json", false, "print the report as JSON")
	flags.BoolVar(&f.quiet, "quiet", false, "no progress on standard error")
	flags.BoolVar(&f.verbose, "verbose", false, "keep the nodes' logs: in --logs, or beside the report")
	cmd.MarkFlagsMutuallyExclusive("quiet", "verbose")
	cmd.AddCommand(bench.ControlCommand())
	return cmd
}

func (f *suiteFlags) run(cmd *cobra.Command) error {
	scale, err := suite.ScaleNamed(f.scale)
	if err != nil {
		return usageError{err}
	}
	f.options.Scale = scale
	if f.list {
		return f.printList(cmd.OutOrStdout())
	}
	if err := f.prepare(cmd); err != nil {
		return err
	}
	user, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx := user
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("the run took longer than %v (--timeout)", f.timeout))
		defer cancel()
	}
	r, err := suite.Run(ctx, f.options)
	if errors.Is(err, suite.ErrOptions) {
		return usageError{err}
	}
	if r == nil {
		return err
	}
	if err != nil && user.Err() != nil {
		err = errCut
	}
	if err := errors.Join(err, f.publish(cmd.OutOrStdout(), r)); err != nil {
		return err
	}
	if r.Verdict() == report.Failed {
		return errors.New("a check failed")
	}
	return nil
}

// prepare fills in what the suite has to know of this program.
func (f *suiteFlags) prepare(cmd *cobra.Command) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if f.options.Server == "" {
		f.options.Server = exe
	}
	f.options.Control = append(append([]string{exe}, strings.Fields(cmd.CommandPath())[1:]...), "control")
	b := build()
	f.options.Version, f.options.Commit, f.options.Command = b.Version, b.Commit, strings.Join(append([]string{"rookery"}, os.Args[1:]...), " ")
	if f.verbose && f.options.Logs == "" {
		f.options.Logs = filepath.Join(f.out, "logs")
	}
	for _, dir := range []string{f.out, f.options.Logs} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if !f.quiet {
		var mu sync.Mutex
		begun, stderr := time.Now(), cmd.ErrOrStderr()
		f.options.Progress = func(line string) {
			mu.Lock()
			defer mu.Unlock()
			_, _ = fmt.Fprintf(stderr, "%6.1f s  %s\n", time.Since(begun).Seconds(), line)
		}
	}
	return nil
}

// printList prints the checks and their limits at the scale.
func (f *suiteFlags) printList(out io.Writer) error {
	checks, err := suite.Checks(f.options)
	if err != nil {
		return usageError{err}
	}
	if f.json {
		return printJSON(out, checks)
	}
	r := report.Report{Title: "checks at scale " + f.scale, Checks: checks}
	return r.WriteList(out)
}

// publish writes the files and prints the report.
func (f *suiteFlags) publish(out io.Writer, r *report.Report) error {
	if f.out != "" {
		base := filepath.Join(f.out, "suite-"+f.scale)
		for name, write := range map[string]func(io.Writer) error{base + ".json": r.WriteJSON, base + ".html": r.WriteHTML} {
			if err := writeFile(name, write); err != nil {
				return err
			}
		}
	}
	if f.json {
		return r.WriteJSON(out)
	}
	if err := r.WriteTable(out, coloured(out)); err != nil {
		return err
	}
	if f.out != "" {
		_, err := fmt.Fprintf(out, "%s and .html\n", filepath.Join(f.out, "suite-"+f.scale+".json"))
		return err
	}
	return nil
}

// writeFile writes a file whole, or leaves the former one.
func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(write(file), file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
