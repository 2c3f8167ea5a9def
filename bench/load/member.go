package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/wire"
)

const (
	// stopGrace is how long a process may take to end once its orders have.
	stopGrace = 5 * time.Second
	// lineMax bounds an answer.
	lineMax = 16 << 20
)

// member is the coordinator's end of a load process.
type member struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	tail   bench.Tail
	ended  chan struct{} // closed when the process has and everything it said is read
	status error         // why it ended; set before ended is closed

	mu struct {
		sync.Mutex
		no      int64                 // of the last order
		pending map[int64]chan answer // by No; each takes one answer
	}

	// Guarded by Fleet.mu.
	connected, away, flying int
	second                  int // the last one that is complete
}

// startMember runs argv, whose reports go to hear, and its end to over. The child leads a process group of
// its own, so that a Ctrl-C in the terminal reaches the coordinator alone.
func startMember(argv []string, hear func(*member, *report) error, over func(error)) (*member, error) {
	m := &member{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{}), second: -1}
	m.mu.pending = map[int64]chan answer{}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	m.cmd.Env = append(m.cmd.Environ(), "GOMAXPROCS=1") // one thread works
	m.cmd.WaitDelay = stopGrace
	m.cmd.Stderr = &m.tail
	var err error
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("load: starting %s: %w", argv[0], err)
	}
	go m.read(stdout, hear, over)
	return m, nil
}

// read takes answers until there are none, then waits for the process.
func (m *member) read(stdout io.ReadCloser, hear func(*member, *report) error, over func(error)) {
	defer close(m.ended)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, lineMax)
	var err error
	for err == nil && lines.Scan() {
		err = m.take(lines.Bytes(), hear)
	}
	_ = stdout.Close() // a child whose line was wrong must not block
	_ = m.stdin.Close()
	m.status = errors.Join(err, lines.Err(), m.cmd.Wait())
	if m.status == nil {
		m.status = errGone
	}
	m.status = fmt.Errorf("load: a load process: %w%s", m.status, m.tail.Said())
	over(m.status)
}

var errGone = errors.New("it has ended")

func (m *member) take(line []byte, hear func(*member, *report) error) error {
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return fmt.Errorf("it said %q: %w", wire.Clip(line), err)
	}
	if a.Report != nil {
		if err := hear(m, a.Report); err != nil {
			return err
		}
	}
	m.mu.Lock()
	wait := m.mu.pending[a.Re]
	delete(m.mu.pending, a.Re)
	m.mu.Unlock()
	if wait != nil {
		wait <- a
	}
	return nil
}

// ask sends an order and waits for its answer.
func (m *member) ask(ctx context.Context, o order) (answer, error) {
	wait := make(chan answer, 1)
	m.mu.Lock()
	m.mu.no++
	o.No = m.mu.no
	m.mu.pending[o.No] = wait
	line, err := json.Marshal(o)
	if err == nil {
		_, err = m.stdin.Write(append(line, '\n'))
	}
	m.mu.Unlock()
	if err != nil {
		// It does not take orders any more; read will tell why.
		select {
		case <-m.ended:
			return answer{}, m.status
		case <-ctx.Done():
			return answer{}, context.Cause(ctx)
		}
	}
	select {
	case a := <-wait:
		if a.Error != "" {
			return a, fmt.Errorf("load: %s", a.Error)
		}
		return a, nil
	case <-m.ended:
		return answer{}, m.status
	case <-ctx.Done():
		m.mu.Lock()
		delete(m.mu.pending, o.No)
		m.mu.Unlock()
		return answer{}, context.Cause(ctx)
	}
}

// stop ends the process and waits until it has ended; one that does not is
// killed. It may be called more than once.
func (m *member) stop() {
	_ = m.stdin.Close()
	kill := time.AfterFunc(stopGrace, func() { _ = m.cmd.Process.Kill() })
	defer kill.Stop()
	<-m.ended
}
