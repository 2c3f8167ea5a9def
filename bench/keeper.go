package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// killAfter is how long a server may take to end after SIGTERM.
const killAfter = 3 * time.Second

// keep runs argv until in ends, then ends it: it is the body of the keeper
// process, which stands between the orchestrator and a server that knows
// nothing of pipes. It writes the server's pid on out. What the server prints
// goes to log. The error says when the server ended by itself.
//
// A parent-death signal would be shorter, but it follows the thread that
// forked, and Go moves goroutines between threads.
func keep(ctx context.Context, argv []string, in io.Reader, out io.Writer, log *os.File) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("bench: starting %s: %w", argv[0], err)
	}
	ended := make(chan struct{})
	var status error // how; set before ended is closed
	go func() {
		defer close(ended)
		status = cmd.Wait()
	}()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, in)
	}()
	if _, err := fmt.Fprintln(out, cmd.Process.Pid); err != nil {
		return errors.Join(err, end(cmd, ended))
	}
	select {
	case <-ended:
		if status == nil {
			status = errExitZero
		}
		return fmt.Errorf("bench: %s ended by itself: %w", argv[0], status)
	case <-gone:
	case <-ctx.Done():
	}
	return end(cmd, ended)
}

var errExitZero = errors.New("exit status 0")

// end stops cmd: SIGTERM, and SIGKILL when that is not enough.
func end(cmd *exec.Cmd, ended <-chan struct{}) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("bench: ending process %d: %w", cmd.Process.Pid, err)
	}
	kill := time.AfterFunc(killAfter, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	<-ended
	return nil
}
