package load

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain also makes the test binary play the processes that tests start: a
// first argument without a dash is what to play.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		if err := play(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func play(role string) error {
	switch role {
	case "worker":
		return Work(os.Stdin, os.Stdout)
	case "mute": // takes orders and does nothing
		_, err := bufio.NewReader(os.Stdin).ReadString(0)
		return err
	case "babbling":
		fmt.Println("no answer")
		return nil
	case "coordinator":
		return coordinate(os.Args[2])
	}
	return fmt.Errorf("nobody can play %q", role)
}

// patience bounds what tests wait for; it never decides whether they pass.
const patience = time.Minute

// as returns the command line under which the test binary plays role.
func as(t *testing.T, role string) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{exe, role}
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// begin starts a fleet, with clients open.
func begin(t *testing.T, o Options) (*Fleet, context.Context) {
	t.Helper()
	ctx := testContext(t)
	o.Self = as(t, "worker")
	f, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s := f.Status()
			t.Logf("%+v\nerrors: %q", s, f.Result().Errors)
		}
		_ = f.Close()
	})
	if _, err := f.Ramp(ctx, o.Clients, 10_000); err != nil {
		t.Fatal(err)
	}
	return f, ctx
}

// until waits until ok says so.
func until(t *testing.T, f *Fleet, what string, ok func(Status) bool) Status {
	t.Helper()
	s, err := f.Until(testContext(t), ok)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return s
}

// calls lets the fleet call until n calls have ended, well or not, then waits
// for those under way.
func callUntil(t *testing.T, f *Fleet, rate float64, n int64) Status {
	t.Helper()
	ctx := testContext(t)
	if err := f.Rate(ctx, rate); err != nil {
		t.Fatal(err)
	}
	until(t, f, "calls", func(s Status) bool { return s.Total.Replies+s.Total.Notes+s.Total.Failures() >= n })
	if err := f.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := f.Fresh(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if c := &s.Total; c.Due != c.Sent+c.Dropped+c.Notes {
		t.Errorf("%d due, %d sent, %d dropped, %d notifications", c.Due, c.Sent, c.Dropped, c.Notes)
	}
	if s.Checks.Verified != s.Total.Replies {
		t.Errorf("%d of %d answers verified", s.Checks.Verified, s.Total.Replies)
	}
	return s
}
