package bench

import (
	"os"
	"os/signal"
	"syscall"

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
