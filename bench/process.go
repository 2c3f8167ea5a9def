package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// tailBytes of what a process says on standard error are kept for errors.
	tailBytes = 4 << 10
	// stopGrace is the time that a process has to end after its standard
	// input closed: a keeper waits for its server that long, and a little.
	stopGrace = killAfter + 2*time.Second
)

// process is a child whose lines are taken one by one: a keeper or a worker.
// Close it with stop.
type process struct {
	*Child
	lines chan []byte // of standard output; closed when the child has ended
}

// processLine bounds a line of a process.
const processLine = 1 << 20

// startProcess runs argv.
func startProcess(argv []string) (*process, error) { return startLogged(argv, nil) }

// startLogged is startProcess whose child's standard error goes to log as well,
// nil: nowhere, with env besides this process's.
func startLogged(argv []string, log io.Writer, env ...string) (*process, error) {
	lines := make(chan []byte, 16)
	c, err := StartChild(ChildOptions{
		Argv: argv, Env: env, Log: log, Grace: stopGrace, LineMax: processLine,
		Hear: func(line []byte) error {
			lines <- bytes.Clone(line)
			return nil
		},
		Over: func(error) { close(lines) },
	})
	if err != nil {
		return nil, err
	}
	return &process{c, lines}, nil
}

// line returns the next line of standard output.
func (p *process) line(ctx context.Context) ([]byte, error) {
	select {
	case l, ok := <-p.lines:
		if !ok {
			return nil, fmt.Errorf("it ended%s", p.Said())
		}
		return l, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stop is Stop for a child whose lines nobody needs any more.
func (p *process) stop() error {
	defer p.end()()
	for range p.lines {
		// The last one comes before the end.
	}
	return p.Stop()
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
