package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rookery-server/rookery/memprof"
)

const (
	// askTimeout is how long a worker may take for one page before the node
	// answers without it.
	askTimeout = 2 * time.Second
	// pageMax bounds one worker's page, in bytes.
	pageMax = 16 << 20
)

// Admin is what operators see of a node: its workers' admin pages as one. It is
// an http.Handler.
type Admin struct {
	s         *Supervisor
	title     string
	extra     map[string]http.Handler
	transport *http.Transport
	merger    *merger
	mux       *http.ServeMux

	mu     sync.Mutex
	missed int64 // guarded by mu: pages that did not come
}

// NewAdmin returns the admin pages of s. title heads the index; extra adds
// pages of the supervisor's own by path.
func NewAdmin(s *Supervisor, title string, extra map[string]http.Handler) *Admin {
	a := &Admin{s: s, title: title, extra: extra, merger: newMerger(), mux: http.NewServeMux()}
	a.transport = &http.Transport{
		DialContext:       func(_ context.Context, _, addr string) (net.Conn, error) { return s.dialAdmin(addr) },
		DisableKeepAlives: true, // the next process of that number is another one
	}
	a.mux.HandleFunc("GET /{$}", a.index)
	a.mux.HandleFunc("GET /metrics", a.metrics)
	a.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	a.mux.HandleFunc("GET /readyz", a.ready)
	a.mux.HandleFunc("GET /debug/mem", a.memory)
	a.mux.HandleFunc("GET /debug/pprof/", a.profile)
	for path, h := range extra {
		a.mux.Handle(path, h)
	}
	return a
}

// ServeHTTP implements http.Handler.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

func (a *Admin) index(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "%s\n\n", a.title)
	for _, row := range [][2]string{
		{"/metrics", "metrics in Prometheus text format, summed over the workers"},
		{"/livez", "200 while the supervisor serves admin requests"},
		{"/readyz", "200 while all workers take requests, 503 while one starts or drains"},
		{"/debug/mem", "where the memory is, as JSON, summed and by worker"},
		{"/debug/pprof/", "profiles for go tool pprof, with ?worker=N"},
	} {
		fmt.Fprintf(w, "%-14s %s\n", row[0], row[1])
	}
	for _, path := range slices.Sorted(maps.Keys(a.extra)) {
		fmt.Fprintf(w, "%s\n", path)
	}
}

// dialAdmin connects to the admin pages of a worker: one end of a pair of
// sockets is passed to it. addr is "N:80".
func (s *Supervisor) dialAdmin(addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	worker, err := strconv.Atoi(host)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := pair(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	if err := s.Pass(worker, TagAdmin, theirs); err != nil {
		_ = ours.Close()
		return nil, err
	}
	return ours, nil
}

// answer is what a worker says to one request.
type answer struct {
	Process
	status int
	body   []byte
	err    error
}

// ask asks all workers for a page, at the same time.
func (a *Admin) ask(ctx context.Context, path string) []answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var all []answer
	for _, p := range a.s.Processes() {
		all = append(all, answer{Process: p})
	}
	var asking sync.WaitGroup
	for i := range all {
		asking.Go(func() { all[i].status, all[i].body, all[i].err = a.get(ctx, all[i].Worker, path) })
	}
	asking.Wait()
	for _, one := range all {
		// While the node drains workers end between two questions.
		if one.err != nil && !errors.Is(one.err, context.Canceled) && !isClosed(a.s.stopping) {
			a.mu.Lock()
			a.missed++
			a.mu.Unlock()
			a.s.log.Warn("a worker does not answer the admin listener", slog.Int("worker", one.Worker), slog.Any("error", one.err))
		}
	}
	return all
}

func (a *Admin) get(ctx context.Context, worker int, path string) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%d:80%s", worker, path), http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	res, err := a.transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, pageMax))
	return res.StatusCode, body, err
}

func (a *Admin) metrics(w http.ResponseWriter, r *http.Request) {
	pages := []*page{{worker: -1, text: a.own()}} // the supervisor, once asked, is always the same
	for _, one := range a.ask(r.Context(), "/metrics") {
		p := &page{worker: one.Worker, incarnation: one.Incarnation}
		if one.err == nil && one.status == http.StatusOK {
			p.text = one.body
		}
		pages = append(pages, p)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(a.merger.merge(pages)) // the scraper has gone
}

// own is the supervisor's page: itself as a process, under the names that
// workers use too, and the workers as it sees them.
func (a *Admin) own() []byte {
	var b bytes.Buffer
	family := func(name, kind, help string) { fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind) }
	states := map[string]int{"missing": a.s.o.Workers}
	for _, p := range a.s.Processes() {
		states["missing"]--
		if p.Ready {
			states["ready"]++
		} else {
			states["starting"]++
		}
	}
	family("rookery_worker_processes", "gauge", "Worker processes of the node, by state.")
	for _, state := range []string{"ready", "starting", "missing"} {
		fmt.Fprintf(&b, "rookery_worker_processes{state=%q} %d\n", state, states[state])
	}
	family("rookery_worker_process_restarts_total", "counter", "Worker processes started in the place of one that ended.")
	fmt.Fprintf(&b, "rookery_worker_process_restarts_total %d\n", a.s.restarts())
	family("rookery_worker_process_connections", "gauge", "Open connections, by worker process.")
	for i := range a.s.o.Workers {
		fmt.Fprintf(&b, "rookery_worker_process_connections{worker=\"%d\"} %d\n", i, a.s.page.Open(i))
	}
	family("rookery_worker_process_accepting", "gauge", "1 while a worker process takes connections, 0 at its limits or while it drains.")
	for i := range a.s.o.Workers {
		on := 0
		if a.s.page.Accepting(i) {
			on = 1
		}
		fmt.Fprintf(&b, "rookery_worker_process_accepting{worker=\"%d\"} %d\n", i, on)
	}
	family("rookery_worker_process_missed_total", "counter", "Admin pages that a worker process did not deliver.")
	a.mu.Lock()
	fmt.Fprintf(&b, "rookery_worker_process_missed_total %d\n", a.missed)
	a.mu.Unlock()
	if m, err := memprof.ReadMemory(os.Getpid()); err == nil {
		family("process_resident_memory_bytes", "gauge", "Resident memory of the processes of the node.")
		fmt.Fprintf(&b, "process_resident_memory_bytes %d\n", m.RSS)
	}
	if cpu, err := memprof.CPUTime(os.Getpid()); err == nil {
		family("process_cpu_seconds_total", "counter", "Processor time of the processes of the node.")
		fmt.Fprintf(&b, "process_cpu_seconds_total %g\n", cpu.Seconds())
	}
	family("go_goroutines", "gauge", "Goroutines of the processes of the node.")
	fmt.Fprintf(&b, "go_goroutines %d\n", runtime.NumGoroutine())
	return b.Bytes()
}

// restarts returns how many processes were started in the place of another.
func (s *Supervisor) restarts() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.begun-int64(s.o.Workers), 0)
}

func (a *Admin) ready(w http.ResponseWriter, r *http.Request) {
	if isClosed(a.s.stopping) {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	answers := a.ask(r.Context(), "/readyz")
	ready := 0
	for _, one := range answers {
		if one.Ready && one.err == nil && one.status == http.StatusOK {
			ready++
		}
	}
	if ready < a.s.o.Workers {
		http.Error(w, fmt.Sprintf("%d of %d workers are ready", ready, a.s.o.Workers), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

func (a *Admin) memory(w http.ResponseWriter, r *http.Request) {
	own, err := memprof.Take(0)
	if err != nil {
		a.s.log.Warn("resident memory is not known here", slog.Any("error", err))
	}
	workers := []memprof.Report{}
	for _, one := range a.ask(r.Context(), "/debug/mem") {
		var report memprof.Report
		if one.err == nil && one.status == http.StatusOK && json.Unmarshal(one.body, &report) == nil {
			workers = append(workers, report)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(sumMemory(own, workers)) // the client has gone
}

// profile passes a request on to the worker it names.
func (a *Admin) profile(w http.ResponseWriter, r *http.Request) {
	worker, err := strconv.Atoi(r.FormValue("worker"))
	if err != nil || a.s.find(worker) == nil {
		var running []int
		for _, p := range a.s.Processes() {
			running = append(running, p.Worker)
		}
		http.Error(w, fmt.Sprintf("name a worker, as in %s?worker=0; there are %v", r.URL.Path, running), http.StatusBadRequest)
		return
	}
	proxy := httputil.ReverseProxy{
		Transport: a.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", fmt.Sprintf("%d:80", worker)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, fmt.Sprintf("worker %d: %v", worker, err), http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
}
