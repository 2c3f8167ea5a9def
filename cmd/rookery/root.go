package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/bench"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2

	// exitInterrupted is what shells report of a program that SIGINT ended.
	exitInterrupted = 130
)

// usageError marks an error as the user's: it exits with 2. Commands of other
// packages mark theirs by the same method.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usage reports that the command was used wrongly.
func (e usageError) Usage() bool { return true }

// interrupted is the error of a command that the user ended.
type interrupted struct{ error }

// errCut is what such a command says when it has printed a result.
var errCut = interrupted{errors.New("interrupted: this is what was measured until then")}

// run is main without the process: it executes args and returns the exit code.
func run(args []string, stdout, stderr io.Writer, environ []string) int {
	started := false // whether a command began, that is, flags and arguments were right
	root := newRoot(environ)
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "rookery: %v\n", err)
	var usage interface{ Usage() bool }
	if !started || errors.As(err, &usage) && usage.Usage() {
		fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return exitUsage
	}
	var cut interrupted
	if errors.As(err, &cut) {
		return exitInterrupted
	}
	return exitFailed
}

func newRoot(environ []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "rookery",
		Short: "An event-loop server that holds very many JSON-RPC and MCP clients",
		Long: `Rookery holds very many JSON-RPC and MCP clients on few bytes each.

Try:
  rookery serve                                              run a node with the demo app
  echo '{"jsonrpc":"2.0","id":1,"method":"echo","params":["hi"]}' | nc 127.0.0.1 7600`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newServe(environ), newCheckConfig(environ), newVersion(), newCluster(), newLoad(), bench.MemCommand(), bench.CPUCommand(), bench.ClusterCommand(), bench.CompareCommand(), newReport(), newSuite())
	root.AddCommand(newTop(environ), newHealth(environ), newTune(environ))
	root.AddCommand(workerCommands(environ)...)
	return root
}
