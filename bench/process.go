package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	// tailBytes of what a process says on standard error are kept for errors.
	tailBytes = 4 << 10
	// stopGrace is the time that a process has to end after its standard
	// input closed: a keeper waits for its server that long, and a little.
	stopGrace = killAfter + 2*time.Second
)

// process is a child that lives as long as its standard input is open: a
// keeper or a worker. Close it with stop.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan []byte // of standard output; closed when the child has ended
	tail  *Tail
	ended error // what Wait said; set before lines is closed
}

// startProcess runs argv. The child leads a process group of its own, so that
// a Ctrl-C in the terminal reaches the orchestrator alone, which then ends its
// children in order.
func startProcess(argv []string) (*process, error) { return startLogged(argv, nil) }

// startLogged is startProcess whose child's standard error goes to log as well,
// nil: nowhere.
func startLogged(argv []string, log io.Writer) (*process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = stopGrace // a grandchild may hold standard error open
	p := &process{cmd: cmd, lines: make(chan []byte, 16), tail: &Tail{}}
	cmd.Stderr = p.tail
	if log != nil {
		cmd.Stderr = io.MultiWriter(p.tail, log)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: starting %s: %w", argv[0], err)
	}
	go p.read(stdout)
	return p, nil
}

// read hands on the lines of standard output and then waits for the child.
// lines is closed after that: standard error is a second pipe, and only Wait
// tells that the child's last words have come out of it.
func (p *process) read(stdout io.ReadCloser) {
	defer close(p.lines)
	scanner := bufio.NewScanner(stdout)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.lines <- bytes.Clone(scanner.Bytes())
	}
	_ = stdout.Close() // a child whose line was too long must not block
	p.ended = p.cmd.Wait()
}

// line returns the next line of standard output.
func (p *process) line(ctx context.Context) ([]byte, error) {
	select {
	case l, ok := <-p.lines:
		if !ok {
			return nil, fmt.Errorf("it ended%s", p.tail.Said())
		}
		return l, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stop closes the child's standard input and waits until it has ended; a child
// that does not is killed. It is safe to call on a child that has ended.
func (p *process) stop() error {
	_ = p.stdin.Close()
	kill := time.AfterFunc(stopGrace, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	for range p.lines {
		// Nobody needs them any more; the last one comes before the end.
	}
	return p.ended
}

// Tail keeps the last 4 KiB of what is written to it, such as a process's
// standard error. The zero value is empty. Safe for concurrent use.
type Tail struct {
	mu struct {
		sync.Mutex
		text []byte
	}
}

func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.text = append(t.mu.text, p...)
	if extra := len(t.mu.text) - tailBytes; extra > 0 {
		t.mu.text = append(t.mu.text[:0], t.mu.text[extra:]...)
	}
	return len(p), nil
}

// Said returns the kept text as the end of an error message.
func (t *Tail) Said() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.mu.text)
	if len(text) == 0 {
		return " without a word"
	}
	return ": " + string(text)
}
