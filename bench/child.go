package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// Child is a process that lives as long as its standard input is open: orders go
// there, and what it says is heard line by line. It leads a process group of its
// own, so that a Ctrl-C in the terminal reaches its parent alone, which then ends
// its children in order. End it with Stop.
type Child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	tail  Tail
	grace time.Duration
	ended chan struct{} // closed when it has ended and everything it said was heard
	err   error         // why it ended; set before ended is closed
}

// ChildOptions say what a Child is and who hears it.
type ChildOptions struct {
	Argv    []string
	Env     []string      // besides this process's
	Log     io.Writer     // gets its standard error as well; nil: nobody
	Grace   time.Duration // to end in once its input has closed; then it is killed
	LineMax int           // bytes of a line; a longer one ends the hearing
	// Hear takes a line without its end, which is valid until it returns. With
	// an error nothing more is heard. A child that is not heard loses its input.
	Hear func(line []byte) error
	// Over is called when the process has ended and everything it said was heard,
	// with the reason: nil for status 0.
	Over func(error)
}

// StartChild starts a process. Hear and Over are called from one goroutine, which
// ends with the process.
func StartChild(o ChildOptions) (*Child, error) {
	c := &Child{cmd: exec.Command(o.Argv[0], o.Argv[1:]...), grace: o.Grace, ended: make(chan struct{})}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.Env = append(c.cmd.Environ(), o.Env...)
	c.cmd.WaitDelay = o.Grace // a grandchild may hold standard error open
	c.cmd.Stderr = &c.tail
	if o.Log != nil {
		c.cmd.Stderr = io.MultiWriter(&c.tail, o.Log)
	}
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: starting %s: %w", o.Argv[0], err)
	}
	go func() {
		defer close(c.ended)
		c.err = c.hear(stdout, o.LineMax, o.Hear)
		o.Over(c.err)
	}()
	return c, nil
}

// hear hands on what the child says and then waits for it: standard error is a
// second pipe, and only Wait tells that the last words have come out of it.
func (c *Child) hear(stdout io.ReadCloser, lineMax int, f func([]byte) error) error {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, lineMax)
	var err error
	for err == nil && lines.Scan() {
		err = f(lines.Bytes())
	}
	_ = stdout.Close() // a child that is not heard any more must not block
	_ = c.stdin.Close()
	return errors.Join(err, lines.Err(), c.cmd.Wait())
}

// PID returns the id of the process.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Write writes to the child's standard input. It blocks until the child reads.
func (c *Child) Write(p []byte) (int, error) { return c.stdin.Write(p) }

// CloseInput asks the child to end. It does not wait.
func (c *Child) CloseInput() { _ = c.stdin.Close() }

// Said returns the last words on standard error as the end of an error message.
func (c *Child) Said() string { return c.tail.Said() }

// Ended is closed when the process has ended and Over has returned.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Stop closes the child's input and waits until it has ended; one that does not
// is killed. It returns why it ended, as Over has it. It may be called more than
// once, and of a child that has ended; not from Hear or Over, and what Hear waits
// for must go on.
func (c *Child) Stop() error {
	defer c.end()()
	<-c.ended
	return c.err
}

// end asks the child to end, and kills it after a while unless the returned
// function is called.
func (c *Child) end() (spare func() bool) {
	c.CloseInput()
	return time.AfterFunc(c.grace, func() { _ = c.cmd.Process.Kill() }).Stop
}
