package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"runtime"
	"strconv"
	"strings"
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
	index     [][2]string // paths and what is there
	transport *http.Transport
	merger    *merger
	mux       *http.ServeMux

	mu     sync.Mutex
	missed int64 // guarded by mu: pages that did not come
}

// NewAdmin returns the admin pages of s. title heads the index.
func NewAdmin(s *Supervisor, title string) *Admin {
	a := &Admin{s: s, title: title, merger: newMerger(), mux: http.NewServeMux()}
	a.transport = &http.Transport{
		DialContext:       func(_ context.Context, _, addr string) (net.Conn, error) { return s.dialAdmin(addr) },
		DisableKeepAlives: true, // the next process of that number is another one
	}
	a.mux.HandleFunc("GET /{$}", a.list)
	a.Handle("GET /metrics", "metrics in Prometheus text format, summed over the workers", a.metrics)
	a.Handle("GET /livez", "200 while the supervisor serves admin requests", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	a.Handle("GET /readyz", "200 while all workers take requests, 503 while one starts or drains", a.ready)
	a.Handle("GET /debug/mem", "where the memory is, as JSON, summed and by worker", a.memory)
	a.Handle("GET /debug/pprof/", "profiles for go tool pprof, with ?worker=N", a.profile)
	return a
}

// Handle adds a page, such as "GET /path"; what describes it in the index, ""
// keeps it out. It is not for use while pages are served.
func (a *Admin) Handle(pattern, what string, h http.HandlerFunc) {
	a.mux.HandleFunc(pattern, h)
	if _, path, ok := strings.Cut(pattern, " "); ok && what != "" {
		a.index = append(a.index, [2]string{path, what})
	}
}

// ServeHTTP implements http.Handler.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

func (a *Admin) list(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "%s\n\n", a.title)
	for _, row := range a.index {
		fmt.Fprintf(w, "%-14s %s\n", row[0], row[1])
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

// Answer is what a worker says to one request: Err, or Status and Body.
type Answer struct {
	Process
	Status int
	Body   []byte
	Err    error
}

// Get asks all workers for one of their admin pages, at the same time. Those who
// take longer than two seconds are left out, that is, have an Err.
func (a *Admin) Get(ctx context.Context, path string) []Answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return a.Ask(ctx, http.MethodGet, path)
}

// Ask sends all workers a request without a body, at the same time, and waits
// for their answers or the end of ctx.
func (a *Admin) Ask(ctx context.Context, method, path string) []Answer {
	var all []Answer
	for _, p := range a.s.Processes() {
		all = append(all, Answer{Process: p})
	}
	var asking sync.WaitGroup
	for i := range all {
		asking.Go(func() { all[i].Status, all[i].Body, all[i].Err = a.ask(ctx, all[i].Worker, method, path) })
	}
	asking.Wait()
	for _, one := range all {
		// While the node drains workers end between two questions.
		if one.Err != nil && !errors.Is(one.Err, context.Canceled) && !isClosed(a.s.stopping) {
			a.mu.Lock()
			a.missed++
			a.mu.Unlock()
			a.s.log.Warn("a worker does not answer the admin listener", slog.Int("worker", one.Worker), slog.Any("error", one.Err))
		}
	}
	return all
}

func (a *Admin) ask(ctx context.Context, worker int, method, path string) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://%d:80%s", worker, path), http.NoBody)
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
	for _, one := range a.Get(r.Context(), "/metrics") {
		p := &page{worker: one.Worker, incarnation: one.Incarnation}
		if one.Err == nil && one.Status == http.StatusOK {
			p.text = one.Body
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
	answers := a.Get(r.Context(), "/readyz")
	ready := 0
	for _, one := range answers {
		if one.Ready && one.Err == nil && one.Status == http.StatusOK {
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
	for _, one := range a.Get(r.Context(), "/debug/mem") {
		var report memprof.Report
		if one.Err == nil && one.Status == http.StatusOK && json.Unmarshal(one.Body, &report) == nil {
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
