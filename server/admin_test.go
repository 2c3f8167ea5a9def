package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/memprof"
)

// get fetches a page of the admin listener.
func get(t *testing.T, s *Server, path string) (int, string, http.Header) {
	t.Helper()
	r, err := http.Get("http://" + s.AdminAddr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body), r.Header
}

// metric is a family as Prometheus reads it.
type metric struct {
	help, kind string // kind is COUNTER, GAUGE, HISTOGRAM or UNTYPED
	samples    []sample
}

type sample struct {
	labels  string  // name=value, with commas between
	value   float64 // of a histogram: the number of observations
	buckets []uint64
}

// scrape reads /metrics with Prometheus's own parser.
func scrape(t *testing.T, s *Server) map[string]metric {
	t.Helper()
	status, body, header := get(t, s, "/metrics")
	if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("status %d, %v", status, header)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	all := map[string]metric{}
	for name, f := range families {
		m := metric{help: f.GetHelp(), kind: f.GetType().String()}
		for _, one := range f.Metric {
			var labels []string
			for _, l := range one.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			sa := sample{labels: strings.Join(labels, ",")}
			sa.value = one.GetCounter().GetValue() + one.GetGauge().GetValue() + float64(one.GetHistogram().GetSampleCount())
			for _, b := range one.GetHistogram().GetBucket() {
				sa.buckets = append(sa.buckets, b.GetCumulativeCount())
			}
			m.samples = append(m.samples, sa)
		}
		all[name] = m
	}
	return all
}

// value returns one sample.
func value(t *testing.T, all map[string]metric, name, labels string) float64 {
	t.Helper()
	for _, s := range all[name].samples {
		if s.labels == labels {
			return s.value
		}
	}
	t.Fatalf("no sample %s{%s} in %v", name, labels, all[name])
	return 0
}

// TestMetricsAreAccurate drives known traffic and compares every counter that
// it should have moved.
func TestMetricsAreAccurate(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, func(s *Server) {
			testMethods(s)
			testTools(t, nil)(s)
		})
		var in, out int
		talk := func(p *peer, line string) {
			in += len(line) + 1
			out += len(p.ask(line)) + 1
		}
		a, b := dial(t, s.TCPAddr()), dial(t, s.TCPAddr())
		for range 10 {
			talk(a, `{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]}`)
		}
		for range 7 {
			talk(b, `{"jsonrpc":"2.0","id":1,"method":"echo.worker","params":[1]}`)
		}
		talk(a, `{"jsonrpc":"2.0","id":1,"method":"fail"}`)
		talk(a, `{"jsonrpc":"2.0","id":1,"method":"panic"}`)
		talk(a, `{"jsonrpc":"2.0","id":1,"method":"none"}`)
		talk(a, `garbage`)
		b.c.Close()
		web := dial(t, s.HTTPAddr())
		session := web.begin()
		for range 5 {
			web.send(post(call(1, "worker"), session))
			web.response("POST")
		}
		hostile := dial(t, s.HTTPAddr())
		hostile.send("garbage\r\n\r\n")
		hostile.rest()
		// Before the broadcast: until the loop has seen b's end, b counts as a receiver.
		eventually(t, "two are closed", func() bool { return s.Stats().Loop.Open == 2 })
		if n, err := s.Broadcast("news", nil); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		a.line()

		m := scrape(t, s)
		for _, want := range []struct {
			v      float64
			name   string
			labels string
		}{
			{1, "rookery_connections", "protocol=jsonrpc,state=open"},
			{1, "rookery_connections", "protocol=http,state=open"},
			{0, "rookery_connections", "protocol=http,state=stream"},
			{4, "rookery_accepts_total", ""},
			{0, "rookery_accept_errors_total", ""},
			{1, "rookery_closes_total", "reason=peer_closed"},
			{1, "rookery_closes_total", "reason=protocol_error"},
			{0, "rookery_slow_clients_closed_total", ""},
			{21, "rookery_messages_received_total", "protocol=jsonrpc"},
			{7, "rookery_messages_received_total", "protocol=http"},
			{21, "rookery_messages_sent_total", "kind=reply"},
			{8, "rookery_messages_sent_total", "kind=response"},
			{1, "rookery_messages_sent_total", "kind=push"},
			{1, "rookery_malformed_total", "protocol=jsonrpc"},
			{1, "rookery_malformed_total", "protocol=http"},
			{1, "rookery_unknown_methods_total", ""},
			{2, "rookery_handler_errors_total", ""},
			{1, "rookery_handler_panics_total", ""},
			{10, "rookery_handler_seconds", "kind=method,on=loop"},
			{9, "rookery_handler_seconds", "kind=method,on=worker"},
			{2, "rookery_handler_seconds", "kind=mcp,on=loop"},
			{5, "rookery_handler_seconds", "kind=mcp,on=worker"},
			{14, "rookery_queue_wait_seconds", ""},
			{14, "rookery_worker_records_total", ""},
			{0, "rookery_loop_panics_total", ""},
			{1, "rookery_sessions", ""},
			{1, "rookery_sessions_created_total", ""},
			{6, "rookery_mcp_messages_total", "kind=request"},
			{1, "rookery_mcp_messages_total", "kind=notification"},
			{0, "rookery_workers", "state=waiting"},
			{0, "rookery_calls_in_flight", ""},
			{float64(s.Stats().Loop.Loops), "rookery_loops", ""},
		} {
			if got := value(t, m, want.name, want.labels); got != want.v {
				t.Errorf("%s{%s} = %v, want %v", want.name, want.labels, got, want.v)
			}
		}
		if got := value(t, m, "rookery_received_bytes_total", ""); got < float64(in) || got > float64(in)+4000 {
			t.Errorf("received %v bytes, JSON-RPC alone is %d", got, in)
		}
		if got := value(t, m, "rookery_sent_bytes_total", ""); got < float64(out) || got > float64(out)+8000 {
			t.Errorf("sent %v bytes, JSON-RPC alone is %d", got, out)
		}
		var mem float64
		for _, c := range m["rookery_memory_bytes"].samples {
			mem += c.value
		}
		if rss := value(t, m, "process_resident_memory_bytes", ""); runtime.GOOS == "linux" && (mem < rss*0.99 || mem > rss*1.01) {
			t.Errorf("components are %v, resident %v", mem, rss)
		}
	})
}

// TestMetricsOfRings: the page says of writes that went out together what the
// loops have counted, also where the system allows none.
func TestMetricsOfRings(t *testing.T) {
	const clients = 300 // of one loop, which answers them in one round: enough for a ring
	eachBackend(t, func(t *testing.T, o Options) {
		o.Loop.Loops = 1
		entered, gate := make(chan struct{}), make(chan struct{})
		s := startServer(t, o, func(s *Server) {
			testMethods(s)
			s.HandleRaw("hold", func(c *Call) error {
				close(entered)
				<-gate
				return c.Result([]byte("1"))
			}, Inline())
		})
		open := sync.OnceFunc(func() { close(gate) })
		t.Cleanup(open)
		peers := make([]*peer, clients)
		for i := range peers {
			peers[i] = dial(t, s.TCPAddr())
		}
		eventually(t, "all are open", func() bool { return s.Stats().Clients == clients })
		peers[0].send(`{"jsonrpc":"2.0","id":1,"method":"hold"}` + "\n")
		<-entered
		for _, p := range peers[1:] {
			p.send(`{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]}` + "\n")
		}
		open()
		for _, p := range peers {
			p.line()
		}
		// A client may have its answer before the loop has counted that.
		var rings, batched float64
		eventually(t, "the page agrees with the loops", func() bool {
			st, m := s.Stats().Loop, scrape(t, s)
			rings, batched = value(t, m, "rookery_loop_rings", ""), value(t, m, "rookery_loop_batched_writes_total", "")
			return rings == float64(st.Rings) && batched == float64(st.Batched)
		})
		if o.Loop.Portable && rings+batched != 0 {
			t.Errorf("%v rings and %v writes of loops that have none", rings, batched)
		}
		t.Logf("%v rings, %v writes", rings, batched)
	})
	// Where there is no ring zeros are equal to anything's zeros.
	var text bytes.Buffer
	page{&text}.traffic(&loop.Stats{Rings: 3, Batched: 41})
	for _, want := range []string{"\nrookery_loop_rings 3\n", "\nrookery_loop_batched_writes_total 41\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

// TestMetricsAreDescribed: every family has help and a type, is listed, has
// only labels of a few values, and histograms are whole.
func TestMetricsAreDescribed(t *testing.T) {
	s := startCluster(t, 1, Options{}, testMethods)[0]
	dial(t, s.TCPAddr()).ask(marker)
	runtime.GC()
	m := scrape(t, s)
	allowed := map[string]bool{"protocol": true, "state": true, "reason": true, "cause": true, "kind": true, "on": true, "direction": true,
		"component": true, "outcome": true, "loop": true, "version": true, "go": true, "backend": true,
		"role": true, "lane": true}
	for name, f := range m {
		if f.help == "" || f.kind == "UNTYPED" {
			t.Errorf("%s: type %v, help %q", name, f.kind, f.help)
		}
		if strings.HasSuffix(name, "_total") != (f.kind == "COUNTER") {
			t.Errorf("%s is a %v", name, f.kind)
		}
		for _, one := range f.samples {
			for label := range strings.SplitSeq(one.labels, ",") {
				if key, _, _ := strings.Cut(label, "="); key != "" && !allowed[key] {
					t.Errorf("%s has label %s", name, key)
				}
			}
			if n := len(one.buckets); f.kind == "HISTOGRAM" && (n < 5 || one.buckets[n-1] != uint64(one.value)) {
				t.Errorf("%s: %v", name, one)
			}
		}
	}
	for name := range families {
		if m[name].help == "" {
			t.Errorf("%s is described but not there", name)
		}
	}
	if value(t, m, "go_gc_pause_seconds", "") == 0 || value(t, m, "rookery_loop_batch_seconds", "loop=0") == 0 {
		t.Error("histograms from elsewhere are empty")
	}
}

func TestAdminPages(t *testing.T) {
	const gzipped = "\x1f\x8b"
	s := startServer(t, Options{Name: "colony", Version: "v9"}, testMethods)
	for _, tt := range []struct {
		path   string
		status int
		want   string // regular expression
	}{
		{"/", 200, `(?s)^colony v9\n.*/metrics.*/livez.*/readyz.*/debug/mem.*/debug/pprof/`},
		{"/livez", 200, `^ok\n$`},
		{"/readyz", 200, `^ready\n$`},
		{"/nothing", 404, ``},
		{"/debug/pprof/", 200, `goroutine`},
		{"/debug/pprof/goroutine?debug=1", 200, `goroutine profile`},
		{"/debug/pprof/heap?gc=1", 200, gzipped},
		{"/debug/pprof/nothing", 404, ``},
		{"/debug/pprof/profile?seconds=1", 200, gzipped},
		{"/debug/pprof/trace?seconds=1", 200, `^go 1`},
	} {
		t.Run(tt.path, func(t *testing.T) {
			status, body, _ := get(t, s, tt.path)
			matches := strings.HasPrefix(body, gzipped)
			if tt.want != gzipped {
				matches = regexp.MustCompile(tt.want).MatchString(body)
			}
			if status != tt.status || !matches {
				t.Errorf("%d %.200q", status, body)
			}
		})
	}
	r, err := http.Post("http://"+s.AdminAddr().String()+"/metrics", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if r.StatusCode != 405 {
		t.Errorf("POST: %s", r.Status)
	}
	if h, pattern := http.DefaultServeMux.Handler(&http.Request{Method: "GET", URL: r.Request.URL}); pattern != "" {
		t.Errorf("the process's own mux serves %v", h)
	}
}

// TestProfileConflict: a recording while another one runs is refused.
func TestProfileConflict(t *testing.T) {
	s := startServer(t, Options{}, nil)
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Skip("the test itself is profiled: ", err)
	}
	defer pprof.StopCPUProfile()
	if status, body, _ := get(t, s, "/debug/pprof/profile?seconds=1"); status != http.StatusConflict {
		t.Errorf("%d %q", status, body)
	}
}

func TestMemoryPage(t *testing.T) {
	s := startServer(t, Options{}, testMethods)
	p := dial(t, s.TCPAddr())
	p.ask(marker)
	status, body, _ := get(t, s, "/debug/mem")
	var r memprof.Report
	if err := json.Unmarshal([]byte(body), &r); status != 200 || err != nil {
		t.Fatalf("%d: %v in %s", status, err, body)
	}
	if r.Clients != 1 {
		t.Errorf("%d clients", r.Clients)
	}
	seen := map[string]memprof.Component{}
	for _, c := range r.Components {
		seen[c.Name] = c
	}
	for _, name := range []string{"connection slots", "loop tables", "client roster"} {
		if seen[name].Bytes <= 0 {
			t.Errorf("%s: %+v", name, seen[name])
		}
	}
}

func TestAdminIsPrivate(t *testing.T) {
	s, err := New(Options{Admin: ":0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if ip := s.AdminAddr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		t.Errorf("listens on %v", ip)
	}
}

// TestScrapeUnderLoad: scraping races with everything.
func TestScrapeUnderLoad(t *testing.T) {
	const messages = 300
	s := startServer(t, Options{}, testMethods)
	t.Run("all", func(t *testing.T) {
		t.Run("load", func(t *testing.T) {
			t.Parallel()
			p := dial(t, s.TCPAddr())
			for i := range messages {
				p.ask(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"echo.worker"}`, i))
			}
		})
		t.Run("scrape", func(t *testing.T) {
			t.Parallel()
			for range 5 {
				scrape(t, s)
			}
		})
	})
	if got := value(t, scrape(t, s), "rookery_messages_received_total", "protocol=jsonrpc"); got != messages {
		t.Errorf("%v messages", got)
	}
}
