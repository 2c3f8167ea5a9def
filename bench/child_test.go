package bench

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestChild: lines are heard in order, what is written arrives, and the reason of
// the end is told once.
func TestChild(t *testing.T) {
	var heard []string
	over := make(chan error, 1)
	start := func(script string, hear func(string) error) *Child {
		t.Helper()
		heard = nil
		c, err := StartChild(ChildOptions{
			Argv: []string{"sh", "-c", script}, Env: []string{"WHO=child"}, Grace: time.Minute, LineMax: 100,
			Hear: func(line []byte) error {
				heard = append(heard, string(line))
				return hear(string(line))
			},
			Over: func(err error) { over <- err },
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	all := func(string) error { return nil }

	c := start(`read -r x; echo "$WHO heard $x"; read -r y || echo end >&2`, all)
	if _, err := c.Write([]byte("this\n")); err != nil {
		t.Fatal(err)
	}
	pid := c.PID()
	if err := errors.Join(c.Stop(), <-over, c.Stop()); err != nil || alive(pid) {
		t.Error(err)
	}
	if len(heard) != 1 || heard[0] != "child heard this" || c.Said() != ": end" {
		t.Errorf("%q, said%s", heard, c.Said())
	}

	// An error of the hearer is the reason, and the child loses its input.
	wrong := errors.New("not that")
	c = start("echo a; echo b; cat >/dev/null", func(string) error { return wrong })
	if err := <-over; !errors.Is(err, wrong) || len(heard) != 1 {
		t.Errorf("%v after %q", err, heard)
	}
	<-c.Ended()
	if err := c.Stop(); !errors.Is(err, wrong) {
		t.Error(err)
	}

	c = start("echo "+strings.Repeat("x", 200)+"; cat >/dev/null", all)
	if err := <-over; err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a long line: %v", err)
	}
	_ = c.Stop() // the same

	c = start("exit 3", all)
	var status *exec.ExitError
	if err := <-over; !errors.As(err, &status) || status.ExitCode() != 3 {
		t.Error(err)
	}
	_ = c.Stop() // the same

	if _, err := StartChild(ChildOptions{Argv: []string{"nothing-of-this-name"}}); err == nil {
		t.Error("a program that is not there has started")
	}
}

// TestChildIsKilled: a child that does not end when its input does is killed.
func TestChildIsKilled(t *testing.T) {
	c, err := StartChild(ChildOptions{
		Argv: []string{"sh", "-c", "exec sleep 1000"}, Grace: 10 * time.Millisecond, LineMax: 10,
		Hear: func([]byte) error { return nil }, Over: func(error) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	var status *exec.ExitError
	if err := c.Stop(); !errors.As(err, &status) || alive(c.PID()) {
		t.Error(err)
	}
}
