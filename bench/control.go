package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/bench/wire"
	"github.com/rookery-server/rookery/memprof"
)

// Control is a Go process that serves nobody and runs beside a measurement. Its
// collector runs a few times a second, and it sleeps and looks how late it
// wakes. Its pauses and delays are those that the machine, as busy as it is,
// gives to any Go process of that size; what a server's are beyond them is the
// server's doing. It costs about a hundredth of a processor, or as much as it
// is told: a process that the machine runs often waits more often, too.
//
// It ends with this process, however that ends. Not safe for concurrent use.
type Control struct {
	process *process
	timeout time.Duration // of one Read
	asked   int           // questions so far
}

// controlAnswer is one line of a control process.
type controlAnswer struct {
	Question int `json:"question"` // the first is 1
	ControlReading
}

// ControlReading is what a control process has measured since it started.
type ControlReading struct {
	GC memprof.GC `json:"gc"`
	// Delays are how long after it was due a sleeping goroutine ran, by upper
	// bounds that lie a fifth apart.
	Delays memprof.Pauses `json:"delays"`
}

// Since returns what was measured after base.
func (r ControlReading) Since(base ControlReading) ControlReading {
	return ControlReading{GC: r.GC.Since(base.GC), Delays: r.Delays.Since(base.Delays)}
}

const controlTimeout = 30 * time.Second

// StartControl starts a control process that may use so many processors at a
// time and keeps a share of one busy, from 0 to 1, besides what it measures.
// argv is a program that runs [ControlCommand]; its arguments are added. End it
// with Stop.
func StartControl(argv []string, processors int, share float64) (*Control, error) {
	if err := checkShare(share); err != nil {
		return nil, err
	}
	p, err := startProcess(append(argv[:len(argv):len(argv)], "--processors", strconv.Itoa(processors), "--share", strconv.FormatFloat(share, 'g', -1, 64)))
	if err != nil {
		return nil, err
	}
	return &Control{process: p, timeout: controlTimeout}, nil
}

// Read asks what the process has measured.
func (c *Control) Read(ctx context.Context) (r ControlReading, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("it did not answer within %v", c.timeout))
	defer cancel()
	if _, err := c.process.Write([]byte{'\n'}); err != nil {
		return r, fmt.Errorf("bench: the control process does not listen%s", c.process.Said())
	}
	c.asked++
	for { // answers to questions that were given up may come first
		line, err := c.process.line(ctx)
		if err != nil {
			return r, fmt.Errorf("bench: the control process: %w", err)
		}
		var a controlAnswer
		if err := json.Unmarshal(line, &a); err != nil {
			return r, fmt.Errorf("bench: the control process said %q: %w", wire.Clip(line), err)
		}
		if a.Question == c.asked {
			return a.ControlReading, nil
		}
	}
}

// PID returns the id of the process.
func (c *Control) PID() int { return c.process.PID() }

// Stop ends the process and waits until it has.
func (c *Control) Stop() error { return c.process.stop() }

// ControlCommand returns the hidden subcommand that is a control process.
func ControlCommand() *cobra.Command {
	var processors int
	var share float64
	cmd := &cobra.Command{
		Use: "control", Hidden: true, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			if err := checkShare(share); err != nil {
				return err
			}
			runtime.GOMAXPROCS(processors)
			if share > 0 {
				ctx, cancel := context.WithCancel(context.Background())
				var done sync.WaitGroup
				done.Go(func() { keepBusy(ctx, share) })
				defer done.Wait()
				defer cancel()
			}
			return control(os.Stdin, os.Stdout)
		},
	}
	cmd.Flags().Float64Var(&share, "share", 0, "of a processor that it keeps busy")
	cmd.Flags().IntVar(&processors, "processors", 1, "GOMAXPROCS")
	return cmd
}

const (
	// controlTick is how long the process sleeps, controlGarbage what it
	// throws away each time: with controlLive in use that is about three
	// collections a second, whose mark phases take less than a millisecond.
	controlTick    = 10 * time.Millisecond
	controlGarbage = 96 << 10
	controlLive    = 1 << 20
)

// controlNode is a piece of the heap, which the collector has to follow.
type controlNode struct {
	next *controlNode
	_    [56]byte
}

// control is the body of the process: it answers each line of in with a reading
// until in ends. in must be at its end or closed when it returns, for one
// goroutine reads it.
func control(in io.Reader, out io.Writer) error {
	live := &controlNode{}
	for range controlLive / 64 {
		live = &controlNode{next: live}
	}
	defer runtime.KeepAlive(live)
	questions, done := make(chan error), make(chan struct{})
	defer close(done)
	go func() {
		lines := bufio.NewReader(in)
		for {
			_, err := lines.ReadString('\n')
			select {
			case questions <- err:
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	var delays memprof.Pauses
	var garbage []byte
	answers, answered := json.NewEncoder(out), 0
	due := time.Now().Add(controlTick)
	alarm := time.NewTimer(controlTick)
	defer alarm.Stop()
	for {
		select {
		case <-alarm.C:
			delays.Count(delayBound(time.Since(due)))
			garbage = make([]byte, controlGarbage)
			garbage[0] = 1
			due = time.Now().Add(controlTick)
			alarm.Reset(controlTick)
		case err := <-questions:
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			answered++
			if err := answers.Encode(controlAnswer{answered, ControlReading{memprof.ReadGC(), delays}}); err != nil {
				return err
			}
		}
	}
}

// delayBound returns the upper end of the bucket of d: microseconds, of which
// each is a fifth above the one before.
func delayBound(d time.Duration) time.Duration {
	if d <= time.Microsecond {
		return time.Microsecond
	}
	step := math.Ceil(math.Log(float64(d)/1e3) / math.Log(1.2))
	return time.Duration(1e3 * math.Pow(1.2, step))
}
