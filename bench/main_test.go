package bench

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"
)

// helperVariable makes the test binary play the program: its subcommands and
// a small server that stands for the one under test.
const helperVariable = "ROOKERY_BENCH_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) != "" {
		if err := helper().ExecuteContext(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := os.Setenv(helperVariable, "1"); err != nil { // for the processes that tests start
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func helper() *cobra.Command {
	root := &cobra.Command{Use: "helper", SilenceUsage: true, SilenceErrors: true}
	addHelpers(root)
	root.AddCommand(serveFakeCommand(), MemCommand(), CPUCommand())
	return root
}

// self returns the command line prefix that plays the program.
func self(t *testing.T) []string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{path}
}
