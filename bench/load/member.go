package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
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
	*bench.Child
	status error // why it ended; set before Ended is closed

	mu struct {
		sync.Mutex
		no      int64                 // of the last order
		pending map[int64]chan answer // by No; each takes one answer
	}

	// Guarded by Fleet.mu.
	connected, away, flying int
	second                  int // the last one that is complete
}

// startMember runs argv, whose reports go to hear, and its end to over.
func startMember(argv []string, hear func(*member, *report) error, over func(error)) (*member, error) {
	m := &member{second: -1}
	m.mu.pending = map[int64]chan answer{}
	known := make(chan struct{}) // closed when m.Child is set
	defer close(known)
	var err error
	m.Child, err = bench.StartChild(bench.ChildOptions{
		Argv: argv, Env: []string{"GOMAXPROCS=1"}, // one thread works
		Grace: stopGrace, LineMax: lineMax,
		Hear: func(line []byte) error {
			<-known
			return m.take(line, hear)
		},
		Over: func(err error) {
			<-known
			if err == nil {
				err = errGone
			}
			m.status = fmt.Errorf("load: a load process: %w%s", err, m.Said())
			over(m.status)
		},
	})
	if err != nil {
		return nil, err
	}
	return m, nil
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
		_, err = m.Write(append(line, '\n'))
	}
	m.mu.Unlock()
	if err != nil {
		// It does not take orders any more; read will tell why.
		select {
		case <-m.Ended():
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
	case <-m.Ended():
		return answer{}, m.status
	case <-ctx.Done():
		m.mu.Lock()
		delete(m.mu.pending, o.No)
		m.mu.Unlock()
		return answer{}, context.Cause(ctx)
	}
}
