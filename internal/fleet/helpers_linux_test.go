package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

// patience is how long a test waits for what must happen.
const patience = 15 * time.Second

const (
	envSupervisor = "FLEET_TEST_SUPERVISOR"
	envMood       = "FLEET_TEST_MOOD" // how a worker behaves
)

func init() {
	helpers[envWorker] = workerMain
	helpers[envSupervisor] = supervisorMain
}

// Kinds of frames in the tests.
const (
	kindEcho  = KindUser + iota // worker: sends the payload back
	kindHello                   // from worker: number and incarnation
)

// workerMain is a worker that echoes frames and passed connections.
func workerMain() int {
	w, err := Join(os.Environ())
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 3
	}
	defer w.Close()
	mood := os.Getenv(envMood)
	switch mood {
	case "fail":
		return 4
	case "late":
		select {} // never ready
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	}
	conns := w.Conns(TagPeer)
	if mood != "silent" {
		pages := http.Server{Handler: workerPages(w), ReadHeaderTimeout: patience}
		l := w.Conns(TagAdmin)
		go func() { _ = pages.Serve(l) }() // ends with the process
	}
	started := make(chan struct{})
	w.Start(func(kind byte, payload []byte) {
		<-started
		if kind == kindEcho {
			_ = w.Control().Send(kind, payload)
		}
	}, slog.Default())
	close(started)
	_ = w.Control().Send(kindHello, fmt.Appendf(nil, "%d %d %x %x %s", w.Number, w.Workers, w.Incarnation, w.Secret(), w.Dir))
	if err := w.Ready(); err != nil {
		return 5
	}
	go echo(w, conns)
	<-w.Draining()
	switch mood {
	case "stubborn":
		select {}
	case "sorry":
		return 6
	}
	return 0
}

// workerPages are the admin pages of a worker that has served as many requests
// as its number says.
func workerPages(w *Worker) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write(text(w.Number + 1))
	})
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) {
		if w.Number == 1 && os.Getenv(envMood) == "busy" {
			http.Error(rw, "busy", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /debug/mem", func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(memprof.Report{Clients: int64(w.Number + 1)})
	})
	mux.HandleFunc("GET /debug/pprof/{name}", func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "%s of worker %d, debug %s", r.PathValue("name"), w.Number, r.FormValue("debug"))
	})
	return mux
}

// echo says which worker it is on each passed connection, then echoes.
func echo(w *Worker, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			fmt.Fprintf(c, "worker %d\n", w.Number)
			_, _ = io.Copy(c, c)
		}()
	}
}

// supervisorMain runs three workers, prints their process numbers and waits to
// be killed.
func supervisorMain() int {
	s, err := Start(testOptions(3, ""))
	if err != nil {
		return 3
	}
	if err := s.Ready(context.Background()); err != nil {
		return 4
	}
	for _, p := range s.Processes() {
		fmt.Println(p.PID)
	}
	fmt.Println(s.Dir())
	select {}
}

func testOptions(workers int, mood string) Options {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, envSupervisor) {
			env = append(env, kv)
		}
	}
	return Options{
		Workers: workers, Args: []string{"worker"}, Env: append(env, envMood+"="+mood),
		Logger: slog.New(slog.DiscardHandler),
	}
}

// startReady starts a fleet and waits until it is ready.
func startReady(t *testing.T, o Options) *Supervisor {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// until waits for a condition that nobody signals.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// alive reports whether a process runs; one that waits for its parent to ask
// for its end does not.
func alive(pid int) bool { return !strings.Contains("ZX", state(pid)) }

// state returns the letter of proc_pid_stat(5); none for a process that is gone.
func state(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return rest[:1]
}

// frames collects what workers send.
type frames struct {
	mu  sync.Mutex
	all []frame
}

type frame struct {
	from    Process
	kind    byte
	payload string
}

func (f *frames) receive(p Process, kind byte, payload []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, frame{p, kind, string(payload)})
}

func (f *frames) of(kind byte) []frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	var some []frame
	for _, one := range f.all {
		if one.kind == kind {
			some = append(some, one)
		}
	}
	return some
}
