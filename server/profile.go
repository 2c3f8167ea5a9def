package server

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

// The profiles of /debug/pprof/, served without net/http/pprof: importing that
// package adds its handlers to http.DefaultServeMux, which belongs to the
// program that embeds this one.

// profileSecondsMax bounds how long a client may have the process profiled.
const profileSecondsMax = 600

func profileIndex(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "go tool pprof http://<this address>/debug/pprof/<name>")
	fmt.Fprintln(w, "\nprofile?seconds=N  processor time\ntrace?seconds=N    execution trace, for go tool trace")
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(w, "%-18s %d entries (?debug=1 for text)\n", p.Name(), p.Count())
	}
}

func profile(w http.ResponseWriter, r *http.Request) {
	switch name := r.PathValue("name"); name {
	case "profile":
		during(w, r, pprof.StartCPUProfile, pprof.StopCPUProfile)
	case "trace":
		during(w, r, trace.Start, trace.Stop)
	default:
		snapshot(w, r, name)
	}
}

// during records for ?seconds=, 30 by default, or until the client leaves.
func during(w http.ResponseWriter, r *http.Request, start func(io.Writer) error, stop func()) {
	seconds, err := strconv.Atoi(r.FormValue("seconds"))
	if err != nil || seconds <= 0 {
		seconds = 30
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(w); err != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		http.Error(w, err.Error(), http.StatusConflict) // another one records
		return
	}
	defer stop()
	timer := time.NewTimer(time.Duration(min(seconds, profileSecondsMax)) * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// snapshot writes a named profile.
func snapshot(w http.ResponseWriter, r *http.Request, name string) {
	p := pprof.Lookup(name)
	if p == nil {
		http.NotFound(w, r)
		return
	}
	if name == "heap" && r.FormValue("gc") != "" {
		runtime.GC()
	}
	debug, _ := strconv.Atoi(r.FormValue("debug")) // 0: for the tool
	if debug == 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
	} else {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	_ = p.WriteTo(w, debug) // the client has gone
}
