package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// admin is the listener for operators. It is few and trusted clients, so
// net/http is right here.
type admin struct {
	s    *Server
	ln   net.Listener
	http *http.Server
	done chan struct{} // closed when serving has ended; nil before it begins
}

// Bounds of the admin listener.
const (
	adminHeadTimeout = 5 * time.Second
	adminIdleTimeout = 2 * time.Minute
	adminStopTimeout = time.Second
)

func newAdmin(s *Server, addr string) (*admin, error) {
	ln := s.opts.Listeners.Admin
	if ln == nil {
		var err error
		if ln, err = listenAdmin(addr); err != nil {
			return nil, err
		}
	}
	a := &admin{s: s, ln: ln}
	a.http = &http.Server{
		Handler: a.routes(), ReadHeaderTimeout: adminHeadTimeout, IdleTimeout: adminIdleTimeout,
		ErrorLog: log.New(logWriter{s.log}, "", 0),
	}
	return a, nil
}

// listenAdmin binds addr; what is here is not for strangers.
func listenAdmin(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.Listen("tcp", net.JoinHostPort(host, port))
}

// logWriter hands lines of net/http to slog.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Warn("admin listener", slog.String("message", string(p)))
	return len(p), nil
}

func (a *admin) addr() net.Addr { return a.ln.Addr() }

func (a *admin) start() {
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		if err := a.http.Serve(a.ln); !errors.Is(err, http.ErrServerClosed) {
			a.s.log.Error("admin listener ended", slog.Any("error", err))
		}
	}()
}

// stop ends the listener; scrapes in progress get a second.
func (a *admin) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), adminStopTimeout)
	defer cancel()
	if a.http.Shutdown(ctx) != nil {
		_ = a.http.Close() // its error is the listener's, closed above
	}
	if a.done != nil {
		<-a.done
	} else {
		_ = a.ln.Close() // Serve, which closes it, was not reached
	}
}

// routes is everything the listener answers.
var adminIndex = []struct{ path, what string }{
	{"/metrics", "metrics in Prometheus text format"},
	{"/livez", "200 while the process serves admin requests"},
	{"/readyz", "200 while the server takes requests, 503 while it or its node drains"},
	{"/cluster", "the cluster as this node sees it, as JSON"},
	{"/debug/mem", "where the memory is, as JSON"},
	{"/debug/pprof/", "profiles for go tool pprof"},
}

func (a *admin) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.index)
	mux.HandleFunc("GET /metrics", a.metrics)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /cluster", a.cluster)
	mux.HandleFunc("POST /cluster/drain", a.drain)
	mux.HandleFunc("POST /cluster/rebalance", a.rebalance)
	mux.HandleFunc("GET /debug/mem", a.memory)
	mux.HandleFunc("GET /debug/pprof/{$}", profileIndex)
	mux.HandleFunc("GET /debug/pprof/{name}", profile)
	return mux
}

func (a *admin) index(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "%s %s\n\n", a.s.opts.Name, a.s.opts.Version)
	for _, row := range adminIndex {
		fmt.Fprintf(w, "%-14s %s\n", row.path, row.what)
	}
}

func (a *admin) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = a.s.expose(w) // the scraper has gone
}

func (a *admin) ready(w http.ResponseWriter, _ *http.Request) {
	if !a.s.wanted() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

func (a *admin) memory(w http.ResponseWriter, _ *http.Request) {
	report, err := a.s.memory()
	if err != nil {
		a.s.log.Warn("resident memory is not known here", slog.Any("error", err))
	}
	writeJSON(w, report)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the client has gone
}
