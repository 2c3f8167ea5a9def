package fleet

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// helpers are what this binary is when a variable of that name is set.
var helpers = map[string]func() int{}

// TestMain runs the tests, or what the tests start as processes of their own:
// this binary is the worker, and the supervisor that is killed.
func TestMain(m *testing.M) {
	for env, run := range helpers {
		if os.Getenv(env) != "" {
			os.Exit(run())
		}
	}
	goleak.VerifyTestMain(m)
}
