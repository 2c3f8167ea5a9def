package fleet

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rookery-server/rookery/internal/early"
)

// envWorker tells a process that it is a worker, and which.
const envWorker = "FLEET_WORKER"

// envDir tells a worker where sockets between processes may be.
const envDir = "FLEET_DIR"

// The descriptors of a worker; the files of Options.Files follow.
const (
	fdLifeline = 3 + iota
	fdControl
	fdPassing
	fdPage
	fdFiles
)

// A Worker is this process's end of what it has in common with its supervisor.
// Methods are safe for concurrent use.
type Worker struct {
	Number      int    // from 0
	Workers     int    // of the node
	Incarnation uint64 // of this process
	Dir         string // as Supervisor.Dir
	// Files are the supervisor's Options.Files, until CloseFiles.
	Files map[string]*os.File

	page    *Page
	link    net.Conn // under control
	passing *net.UnixConn
	twin    early.Twin // of passing: should we be killed nothing more is passed
	drain   chan struct{}
	once    sync.Once
	inboxes map[byte]*inbox // not written after Start
	control *Control        // set by Start
	taking  sync.WaitGroup
}

// identity is what envWorker says.
type identity struct {
	number, workers int
	incarnation     uint64
	names           []string
}

func (id identity) String() string {
	return fmt.Sprintf("%s=%d/%d/%016x/%s", envWorker, id.number, id.workers, id.incarnation, strings.Join(id.names, ","))
}

// ErrNotWorker says that the process was not started by a supervisor.
var ErrNotWorker = errors.New("fleet: this process was not started by a supervisor")

// errIdentity refuses an identity that no supervisor writes.
var errIdentity = errors.New("fleet: " + envWorker + " is malformed")

func parseIdentity(environ []string) (id identity, err error) {
	for _, kv := range environ {
		text, ok := strings.CutPrefix(kv, envWorker+"=")
		if !ok {
			continue
		}
		parts := strings.SplitN(text, "/", 4)
		if len(parts) != 4 {
			return id, errIdentity
		}
		if _, err := fmt.Sscanf(strings.Join(parts[:3], " "), "%d %d %x", &id.number, &id.workers, &id.incarnation); err != nil {
			return id, fmt.Errorf("%w: %w", errIdentity, err)
		}
		if id.workers < 1 || id.workers > WorkersMax || id.number < 0 || id.number >= id.workers {
			return id, errIdentity
		}
		if parts[3] != "" {
			id.names = strings.Split(parts[3], ",")
		}
		return id, nil
	}
	return id, ErrNotWorker
}

// Join takes up what the supervisor that started this process has handed over;
// environ is the process's environment. From here on the process is killed when
// the supervisor ends. Call it once, and Start soon.
func Join(environ []string) (*Worker, error) {
	id, err := parseIdentity(environ)
	if err != nil {
		return nil, err
	}
	for fd := fdLifeline; fd < fdFiles+len(id.names); fd++ {
		unix.CloseOnExec(fd)
	}
	w := &Worker{
		Number: id.number, Workers: id.workers, Incarnation: id.incarnation,
		drain: make(chan struct{}), inboxes: map[byte]*inbox{}, Files: map[string]*os.File{},
	}
	for _, kv := range environ {
		if dir, ok := strings.CutPrefix(kv, envDir+"="); ok {
			w.Dir = dir
		}
	}
	if err := tie(); err != nil {
		return nil, err
	}
	page := os.NewFile(fdPage, "page")
	defer page.Close()
	if w.page, err = openPage(page, id.workers); err != nil {
		return nil, err
	}
	if w.link, err = fileConn(fdControl, "control"); err != nil {
		return nil, err
	}
	if w.passing, err = fileConn(fdPassing, "passing"); err != nil {
		return nil, err
	}
	for i, name := range id.names {
		w.Files[name] = os.NewFile(uintptr(fdFiles+i), name)
	}
	return w, nil
}

// tie asks the kernel to kill this process when the lifeline's other end is
// closed, as it is when the supervisor ends. A goroutine that reads would do
// too, but not within 100 ms on processors that are busy with handlers. A signal
// on the parent's death would come when the parent's thread that forked ends.
// The descriptor stays bare, so that no finalizer can close it.
func tie() error {
	flags, err := unix.FcntlInt(fdLifeline, unix.F_GETFL, 0)
	for _, c := range []struct{ cmd, arg int }{
		{unix.F_SETOWN, os.Getpid()},
		{unix.F_SETSIG, int(unix.SIGKILL)},
		{unix.F_SETFL, flags | unix.O_ASYNC | unix.O_NONBLOCK},
	} {
		if err == nil {
			_, err = unix.FcntlInt(fdLifeline, c.cmd, c.arg)
		}
	}
	if err != nil {
		return fmt.Errorf("fleet: lifeline: %w", err)
	}
	var b [1]byte
	if _, err := unix.Read(fdLifeline, b[:]); !errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("fleet: the supervisor has ended: %w", ErrClosed) // before it could be noticed
	}
	return nil
}

// fileConn takes over a socket.
func fileConn(fd int, name string) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("fleet: %s: %w", name, err)
	}
	uc, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("fleet: %s is no unix socket", name)
	}
	return uc, nil
}

// Conns returns a listener for the connections that are passed with a tag. Call
// it before Start: what has no listener is closed.
func (w *Worker) Conns(tag byte) net.Listener {
	b := newInbox()
	w.inboxes[tag] = b
	return b
}

// Share paces accepting: see Page.
func (w *Worker) Share() *Share { return w.page.Share(w.Number) }

// Secret returns 32 random bytes that all workers of this node have in common,
// those that are started later too. They end with the supervisor.
func (w *Worker) Secret() []byte { return w.page.secret() }

// Start begins to receive frames and connections. receive gets the frames of
// others than the fleet itself, in order, on one goroutine; the payload is valid
// until it returns. It may be nil.
func (w *Worker) Start(receive func(kind byte, payload []byte), log *slog.Logger) {
	w.control = newControl(w.link, func(kind byte, payload []byte) {
		switch {
		case kind == kindDrain:
			w.Drain()
		case kind >= KindUser && receive != nil:
			receive(kind, payload)
		}
	})
	w.control.twin.Hold(w.link)
	w.twin.Hold(w.passing)
	w.taking.Go(func() { w.take(log) })
}

// take hands passed connections to their listeners until the way is closed.
func (w *Worker) take(log *slog.Logger) {
	for {
		tag, c, err := takePassed(w.passing)
		b := w.inboxes[tag]
		switch {
		case err == nil && b != nil:
			b.put(c)
		case err == nil:
			_ = c.Close()
		case errors.Is(err, errNoDescriptor):
			log.Warn("a passed connection was lost; the limit of open files is reached")
		default:
			return
		}
	}
}

// Ready tells the supervisor that this worker serves.
func (w *Worker) Ready() error { return w.control.send(kindReady, nil) }

// Control returns the channel to the supervisor, once started.
func (w *Worker) Control() *Control { return w.control }

// Draining is closed when the worker is to end, by order or by Drain.
func (w *Worker) Draining() <-chan struct{} { return w.drain }

// Drain is the order to end, given from within, as by a signal. It may be given
// more than once.
func (w *Worker) Drain() { w.once.Do(func() { close(w.drain) }) }

// Close gives everything back but the lifeline and the page, which live as long
// as the process, and waits for the goroutines.
func (w *Worker) Close() {
	w.twin.Close()
	_ = w.passing.Close()
	w.taking.Wait()
	if w.control != nil {
		w.control.Close()
	}
	_ = w.link.Close()
	for _, b := range w.inboxes {
		_ = b.Close()
	}
	w.CloseFiles()
}

// CloseFiles closes Files. Call it when they have been duplicated: a listening
// socket that is open anywhere goes on completing connections, which nobody
// would accept while this worker drains.
func (w *Worker) CloseFiles() {
	for _, f := range w.Files {
		_ = f.Close() // a second time does nothing
	}
}
