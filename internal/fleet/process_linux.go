package fleet

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Process is a worker process as its supervisor sees it.
type Process struct {
	Worker      int
	Incarnation uint64
	PID         int
	Ready       bool
	Restarts    int // of processes with this number, so far
}

// process is one running worker and our ends of what we share with it.
type process struct {
	Process  // Ready is guarded by Supervisor.mu, the rest is constant
	cmd      *exec.Cmd
	began    time.Time
	lifeline *os.File // closing it kills the process
	control  *Control
	passing  *net.UnixConn
}

// spawn starts a worker. The frames it sends go to receive.
func (s *Supervisor) spawn(worker, restarts int, receive func(p *process, kind byte, payload []byte)) (*process, error) {
	p := &process{Process: Process{Worker: worker, Incarnation: newIncarnation(), Restarts: restarts}, began: time.Now()}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	fail := func(err error) (*process, error) {
		p.release()
		return nil, fmt.Errorf("fleet: start worker %d: %w", worker, err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	p.lifeline, theirs = write, append(theirs, read)
	control, file, err := pair(unix.SOCK_STREAM)
	if err != nil {
		return fail(err)
	}
	theirs = append(theirs, file)
	if p.passing, file, err = pair(unix.SOCK_SEQPACKET); err != nil {
		_ = control.Close()
		return fail(err)
	}
	theirs = append(theirs, file)
	p.cmd = s.command(p, theirs)
	if err := p.cmd.Start(); err != nil {
		_ = control.Close()
		return fail(err)
	}
	p.PID = p.cmd.Process.Pid
	p.control = newControl(control, func(kind byte, payload []byte) { receive(p, kind, payload) })
	return p, nil
}

// command returns the command line of a worker. It runs the file that this
// process runs, even if another one has taken its name meanwhile: supervisor
// and workers are of one build.
func (s *Supervisor) command(p *process, ends []*os.File) *exec.Cmd {
	id := identity{number: p.Worker, workers: s.o.Workers, incarnation: p.Incarnation}
	files := append(ends[:len(ends):len(ends)], s.pageFile)
	for _, name := range slices.Sorted(maps.Keys(s.o.Files)) {
		id.names = append(id.names, name)
		files = append(files, s.o.Files[name])
	}
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: s.o.Args, ExtraFiles: files, Stderr: os.Stderr,
		Env: append(s.o.Env[:len(s.o.Env):len(s.o.Env)], id.String(), envDir+"="+s.dir.path),
	}
	if s.o.Processors > 0 {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(s.o.Processors))
	}
	return cmd
}

// release gives back what a process that has ended, or never began, leaves.
func (p *process) release() {
	if p.control != nil {
		p.control.Close()
	}
	if p.passing != nil {
		_ = p.passing.Close()
	}
	if p.lifeline != nil {
		_ = p.lifeline.Close()
	}
}

// pair returns a connected pair of unix sockets: ours, and a file for a child.
func pair(kind int) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "worker's end")
	ours, err := fileConn(fds[0], "socketpair")
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// newIncarnation draws the identity of a process.
func newIncarnation() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // does not fail
	return binary.BigEndian.Uint64(b[:])
}

// how says how a process ended.
func how(err error) string {
	var exit *exec.ExitError
	if err == nil {
		return "exit status 0"
	}
	if errors.As(err, &exit) {
		if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
			return "killed by " + unix.SignalName(st.Signal())
		}
	}
	return err.Error()
}
