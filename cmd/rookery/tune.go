package main

import (
	"fmt"

	"github.com/spf13/cobra"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

// tuneConns is for how many connections a machine is tuned unless told.
const tuneConns = 100_000

// tuneFlags are those of all tune commands.
type tuneFlags struct {
	environ        []string
	root           string
	profile        string
	conns, workers int
	json           bool
}

// register declares those that say what the machine is to be good for.
func (f *tuneFlags) register(cmd *cobra.Command) {
	f.profile, f.conns, f.workers = string(tuning.Server), tuneConns, 1
	cmd.Flags().SortFlags = false
	cmd.Flags().Var(choice(&f.profile, string(tuning.Server), string(tuning.Loadgen)), "profile", "what the machine does: hold clients, or play them")
	cmd.Flags().Var(count(&f.conns, 0, connsCeiling), "for", "connections to hold on this machine")
	cmd.Flags().Var(count(&f.workers, 1, workersCeiling), "workers", "processes among which they are divided")
	f.registerCommon(cmd)
}

// registerCommon declares those that revert has too.
func (f *tuneFlags) registerCommon(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.root, "root", "", "directory in which /proc and /sys are found, instead of those of the running system")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

func (f *tuneFlags) machine() *tuning.Machine {
	return &tuning.Machine{Root: f.root, Environ: f.environ}
}

func (f *tuneFlags) request() tuning.Request {
	return tuning.Request{Profile: tuning.Profile(f.profile), Conns: int64(f.conns), Processes: int64(f.workers)}
}

// goal says what the machine is compared with.
func (f *tuneFlags) goal() string {
	text := fmt.Sprintf("%d connections, profile %s", f.conns, f.profile)
	if f.workers > 1 {
		text += fmt.Sprintf(", %d processes", f.workers)
	}
	return text
}

func newTune(environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tune",
		Short: "Check and set what decides how many clients this machine holds",
		Long: `Knows the settings of the kernel, the limits of processes and the variables of the Go
runtime that decide how many clients a machine holds: docs/tuning.md lists them with their
reasons and sources, and names what is popular and harmful.

check looks and says what to do; diff shows what apply would change; apply saves the old
values and sets new ones until the machine restarts; revert restores what was saved;
export writes the same settings for sysctl.d, systemd, Docker and Kubernetes, which keeps them.`,
		Example: "  rookery tune check --for 100000\n  rookery tune apply --dry-run",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTuneCheck(environ), newTuneDiff(environ), newTuneApply(environ), newTuneRevert(environ), newTuneExport(environ))
	return cmd
}
