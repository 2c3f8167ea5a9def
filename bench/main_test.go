package bench

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"
)

// TestMain also makes the test binary play the programs that tests start: its
// own subcommands, and small servers that stand for those under test. A test
// run has flags only, so a first argument without a dash is a program's name.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		if err := programs().ExecuteContext(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func programs() *cobra.Command {
	root := &cobra.Command{Use: "programs", SilenceUsage: true, SilenceErrors: true}
	addHelpers(root)
	root.AddCommand(MemCommand(), CPUCommand(), ControlCommand(), CompareCommand(), fakeServeCommand(), fakeLinkCommand())
	root.AddCommand(fakeBaselineCommand("nethttp", false))
	root.AddCommand(fakeAdapterCommand())
	for _, base := range memBaselines {
		root.AddCommand(fakeBaselineCommand(base.name, base.raw))
	}
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
