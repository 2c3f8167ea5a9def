package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

// WorkersMax bounds the workers of a node.
const WorkersMax = 1024

// Options describe the workers of a node. All callbacks may be nil, must not
// block, and must not call Drain or Kill.
type Options struct {
	Workers int
	// Args is the command line of a worker, the program's name first. The
	// program is the one that runs.
	Args []string
	// Env is the environment of a worker, to which its identity is added.
	Env []string
	// Processors is GOMAXPROCS of a worker; zero: as Env has it.
	Processors int
	// Files are inherited by each worker under their names, which contain
	// neither comma nor slash. They belong to the supervisor, which closes them
	// when it drains.
	Files map[string]*os.File
	// Logger receives what an operator should know. Default: slog.Default().
	Logger *slog.Logger
	// StartTimeout is how long a worker may take to become ready before it is
	// killed. Default: 30 s.
	StartTimeout time.Duration

	// Receive gets the frames of workers (of others than the fleet itself), in
	// order for each process; the payload is valid until it returns.
	Receive func(p Process, kind byte, payload []byte)
	// Changed is called when a process has begun, become ready or ended; see
	// Processes. Calls may overlap and come late.
	Changed func()
}

// A worker that has ended is started again at once if it ran for steadyAfter,
// else after a delay that doubles from backoffMin to backoffMax.
const (
	steadyAfter = 10 * time.Second
	backoffMin  = 100 * time.Millisecond
	backoffMax  = 5 * time.Second
)

// A Supervisor runs the workers of a node. Methods are safe for concurrent use.
//
// Life: Start, Ready, then Drain or Kill, which wait for all processes.
type Supervisor struct {
	o        Options
	log      *slog.Logger
	page     *Page
	pageFile *os.File
	dir      *lockedDir // see Dir

	workers  sync.WaitGroup // one goroutine per worker
	stopping chan struct{}  // closed when no process is to be started any more
	ready    chan struct{}  // closed when all were ready for the first time
	failed   chan error     // capacity 1: the first worker that ended before that

	mu      sync.Mutex
	procs   []*process // by worker; nil: none runs
	isReady bool       // ready is closed
	ending  bool       // stopping is closed
	killing bool
	errs    []error // of processes that ended badly while ending
	begun   int64   // processes started
}

// Start starts the workers. It returns before they are ready.
func Start(o Options) (*Supervisor, error) {
	if o.Workers < 1 || o.Workers > WorkersMax {
		return nil, fmt.Errorf("fleet: %d workers; there may be 1 to %d", o.Workers, WorkersMax)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 30 * time.Second
	}
	page, file, err := newPage(o.Workers)
	if err != nil {
		return nil, err
	}
	dir, err := makeDir()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	s := &Supervisor{
		o: o, dir: dir, log: o.Logger, page: page, pageFile: file, procs: make([]*process, o.Workers),
		stopping: make(chan struct{}), ready: make(chan struct{}), failed: make(chan error, 1),
	}
	for i := range o.Workers {
		s.workers.Go(func() { s.keep(i) })
	}
	return s, nil
}

// keep runs one worker again and again.
func (s *Supervisor) keep(worker int) {
	failures := 0
	for restarts := 0; ; restarts++ {
		began := time.Now()
		err := s.once(worker, restarts)
		if s.isOver(worker, err) {
			return
		}
		if time.Since(began) >= steadyAfter {
			failures = 0
		}
		wait := backoff(failures)
		failures++
		s.log.Warn("worker process ended; starting another", "worker", worker, "cause", how(err), "in", wait)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-s.stopping:
			t.Stop()
			return
		}
	}
}

// backoff returns the delay after so many processes that ended early.
func backoff(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return min(backoffMin<<min(failures-1, 16), backoffMax)
}

// isOver reports whether a worker that has ended stays ended. One that ends
// before all were ready ends the start: what fails now would fail for ever.
func (s *Supervisor) isOver(worker int, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		if err != nil && !s.killing {
			s.errs = append(s.errs, fmt.Errorf("worker %d: %s", worker, how(err)))
		}
		return true
	}
	if !s.isReady {
		select {
		case s.failed <- fmt.Errorf("worker %d ended before it was ready: %s", worker, how(err)):
		default: // another one was first
		}
		return true
	}
	return false
}

// once runs a worker process to its end.
func (s *Supervisor) once(worker, restarts int) error {
	p, err := s.spawn(worker, restarts, s.receive)
	if err != nil {
		return err
	}
	late := time.AfterFunc(s.o.StartTimeout, func() { s.kill(p, "not ready in time") })
	defer late.Stop()
	s.mu.Lock()
	s.procs[worker] = p
	s.begun++
	if s.killing {
		_ = p.cmd.Process.Kill() // ended already is as good
	} else if s.ending {
		_ = p.control.send(kindDrain, nil) // the queue is empty
	}
	s.mu.Unlock()
	s.changed()
	waited := make(chan struct{})
	go func() { // a worker that cannot be told anything is of no use
		select {
		case <-p.control.Done():
			s.reap(p, waited)
		case <-waited:
		}
	}()
	err = p.cmd.Wait()
	close(waited)
	s.mu.Lock()
	s.procs[worker] = nil
	s.mu.Unlock()
	s.page.Reset(worker)
	p.release()
	s.changed()
	return err
}

// reap kills a worker that has closed its control channel, unless it ends by
// itself.
func (s *Supervisor) reap(p *process, waited <-chan struct{}) {
	t := time.NewTimer(reapAfter)
	defer t.Stop()
	select {
	case <-waited:
	case <-t.C:
		s.kill(p, "its control channel has ended")
	}
}

// reapAfter is how long a worker may live on without a control channel, which it
// closes on its way out (programs built with -race take a second for that).
const reapAfter = 3 * time.Second

// kill kills p if it has not become ready or cannot be governed.
func (s *Supervisor) kill(p *process, why string) {
	s.mu.Lock()
	spare := p.Ready && !isClosed(p.control.Done())
	s.mu.Unlock()
	if !spare {
		s.log.Error("killing a worker process", "worker", p.Worker, "pid", p.PID, "cause", why)
		_ = p.cmd.Process.Kill() // ended already is as good
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// receive handles a frame of p.
func (s *Supervisor) receive(p *process, kind byte, payload []byte) {
	switch {
	case kind == kindReady:
		s.mu.Lock()
		p.Ready = true
		all := !s.isReady
		for _, q := range s.procs {
			all = all && q != nil && q.Ready
		}
		if all {
			s.isReady = true
			close(s.ready)
		}
		s.mu.Unlock()
		s.log.Info("worker process is ready", "worker", p.Worker, "pid", p.PID, "took", time.Since(p.began).Round(time.Millisecond))
		s.changed()
	case kind >= KindUser && s.o.Receive != nil:
		s.mu.Lock()
		now := p.Process
		s.mu.Unlock()
		s.o.Receive(now, kind, payload)
	}
}

func (s *Supervisor) changed() {
	if s.o.Changed != nil {
		s.o.Changed()
	}
}

// Ready waits until all workers are ready for the first time. It fails when one
// of them ends before, or ctx does; the supervisor is of no use then.
func (s *Supervisor) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case err := <-s.failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Processes returns the worker processes that run now, by number.
func (s *Supervisor) Processes() []Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Process
	for _, p := range s.procs {
		if p != nil {
			all = append(all, p.Process)
		}
	}
	return all
}

// find returns the process of a worker, or nil.
func (s *Supervisor) find(worker int) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if worker < 0 || worker >= len(s.procs) {
		return nil
	}
	return s.procs[worker]
}

// Send queues a frame for a worker process; the payload is copied. It never
// blocks: ErrFull says that the process does not read, ErrClosed that it has
// ended, even if another one runs in its place.
func (s *Supervisor) Send(to Process, kind byte, payload []byte) error {
	p := s.find(to.Worker)
	if p == nil || p.Incarnation != to.Incarnation {
		return ErrClosed
	}
	return p.control.Send(kind, payload)
}

// Drain ends the node: the inherited sockets are closed, so that the kernel
// refuses connections as soon as the workers have stopped accepting, and the
// workers are told to finish. It returns when all have ended, with the errors of
// those that ended badly, or kills the rest when ctx ends.
func (s *Supervisor) Drain(ctx context.Context) error {
	s.end(false)
	ended := make(chan struct{})
	go func() { s.workers.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		s.end(true)
		<-ended
		s.free()
		return context.Cause(ctx)
	}
	s.free()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// Kill ends all processes at once and waits for them.
func (s *Supervisor) Kill() {
	s.end(true)
	s.workers.Wait()
	s.free()
}

// end stops restarting and tells the processes.
func (s *Supervisor) end(kill bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.ending = true
		close(s.stopping)
		s.page.End()
		for _, f := range s.o.Files {
			_ = f.Close()
		}
	}
	s.killing = s.killing || kill
	for _, p := range s.procs {
		switch {
		case p == nil:
		case kill:
			_ = p.cmd.Process.Kill() // ended already is as good
		default:
			if err := p.control.send(kindDrain, nil); err != nil {
				_ = p.cmd.Process.Signal(syscall.SIGTERM) // it does not read; perhaps it listens
			}
		}
	}
}

// Dir returns a directory that only this user can enter, for unix sockets
// between the processes of the node. It is removed when the node has ended.
func (s *Supervisor) Dir() string { return s.dir.path }

// free gives page and directory back; no worker goroutine is left.
func (s *Supervisor) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pageFile != nil {
		_ = s.pageFile.Close()
		s.pageFile = nil
		s.dir.remove()
	}
}
