package bench

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// linkProgram is the name of the test binary of package cluster beside ours.
const linkProgram = "peerlink.test"

// CompareCommand returns the command that puts one load on this server and on
// those that one would use instead.
func CompareCommand() *cobra.Command {
	var common commonFlags
	var o CompareOptions
	cmd := &cobra.Command{
		Use:   "bench-compare [LOAD...]",
		Short: "Put the same load on what one would use instead, and print one table with ratios",
		Long: fmt.Sprintf(`Starts this server and others, each in a process of its own, and puts the same
load on them in turns: bytes for each idle client, processor time a call, calls
a second in a closed loop, and latency at a rate that all can answer. Others are
plain net with a goroutine a connection, a stock netpoll Connection, net/http,
mcp-go, the official Go SDK, and a NATS route.

Loads: %s.`, strings.Join(compareLoads, ", ")),
		ValidArgs: compareLoads,
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, loads []string) error {
			cmd.SilenceUsage = true
			s, err := common.resolve(cmd)
			if err != nil {
				return err
			}
			o.Self, o.Server, o.Args, o.Baseline, o.Loads = s.self, s.server, common.args, s.baseline, loads
			o.Quick, o.Timeout, o.progress = common.quick, common.timeout, s.progress
			if beside := filepath.Join(filepath.Dir(s.self[0]), linkProgram); o.Link == "" {
				if _, err := os.Stat(beside); err == nil {
					o.Link = beside
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			r, err := RunCompare(ctx, o)
			if err != nil {
				return err
			}
			return printReport(cmd.OutOrStdout(), r, common.json)
		},
	}
	common.register(cmd)
	cmd.Flags().StringVar(&o.Link, "link", "", "test binary of package cluster (default: "+linkProgram+" beside this one, if it is there)")
	cmd.Flags().IntVar(&o.clients, "clients", 0, fmt.Sprintf("idle clients that each server holds, ours %d times as many (default %d, with --quick %d)", compareLean, compareIdle, compareIdleQuick))
	cmd.Flags().IntVar(&o.Rounds, "rounds", 0, fmt.Sprintf("rounds of turns under load (default %d, with --quick %d)", compareRounds, compareRoundsQuick))
	cmd.Flags().DurationVar(&o.measure, "measure", 0, fmt.Sprintf("length of a turn (default %v, with --quick %v)", compareMeasure, compareMeasureQuick))
	cmd.Flags().DurationVar(&o.settle, "settle", 0, "time for which memory must be quiet to be read")
	addHelpers(cmd)
	return cmd
}
