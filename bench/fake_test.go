package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/memprof"
	"github.com/spf13/cobra"
)

// fake is a small server with the command line of `rookery serve`, written on
// net and net/http: what the clients of bench are proved against.
type fake struct {
	sessions atomic.Int64
	clients  atomic.Int64
	// faults
	raw       bool // echo bytes
	mute      bool // accept and never answer
	wrong     bool // answer with something else
	oneShot   bool // close after a reply
	brief     bool // streams end with what they begin with
	noSession bool
	farewell  bool         // announce the end of the connection with each answer to a POST
	impatient bool         // end the tool confirm without a question
	nosy      bool         // ask twice
	forgetful bool         // say nothing of events and gauges
	deaf      bool         // tell subscribers nothing
	asked     atomic.Int64 // looks at /metrics
	kept      atomic.Int64 // events told to subscribers
	answers   sync.Map     // of users: question id → chan struct{}
	waiting   atomic.Int64
	mu        sync.Mutex
	touched   map[string]int    // guarded by mu; calls of the tool touch by URI
	subs      map[string]string // guarded by mu; URI by session
	// turn changes the behaviour of a running server.
	turn atomic.Int32
}

// What a fake turns to.
const (
	turnWrong = iota + 1 // answer with something else
	turnClose            // close instead of an answer
	turnReset            // reset the connection instead of an answer
	turnTwice            // answer twice
	turnQuit             // end streams
)

func fakeServeCommand() *cobra.Command {
	var tcp, web, admin string
	var f fake
	var exit, deaf bool
	c := &cobra.Command{Use: "serve", RunE: func(*cobra.Command, []string) error {
		if exit {
			return fmt.Errorf("this server will not start")
		}
		if deaf {
			select {}
		}
		return f.serve(tcp, web, admin)
	}}
	c.Flags().StringVar(&tcp, "tcp", "", "")
	c.Flags().StringVar(&web, "http", "", "")
	c.Flags().StringVar(&admin, "admin", "", "")
	c.Flags().String("gossip", "", "") // it is alone
	c.Flags().String("peer", "", "")
	c.Flags().BoolVar(&f.oneShot, "one-shot", false, "")
	c.Flags().BoolVar(&f.wrong, "wrong", false, "")
	c.Flags().BoolVar(&f.impatient, "impatient", false, "")
	c.Flags().BoolVar(&f.forgetful, "forgetful", false, "")
	c.Flags().BoolVar(&exit, "exit", false, "")
	c.Flags().BoolVar(&deaf, "deaf", false, "")
	return c
}

// fakeBaselineCommand has the command line of a server of bench/baseline.
func fakeBaselineCommand(name string, raw bool) *cobra.Command {
	f := &fake{raw: raw}
	return &cobra.Command{Use: name + " ADDR", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		l, err := net.Listen("tcp", args[0])
		if err != nil {
			return err
		}
		if raw {
			return f.serveLines(l)
		}
		return http.Serve(l, f.mcp())
	}}
}

// fakeAdapterCommand has the command line of the adapter.
func fakeAdapterCommand() *cobra.Command {
	var f fake
	return &cobra.Command{Use: adapter + " ADDR ADMIN", Args: cobra.ExactArgs(2), RunE: func(_ *cobra.Command, args []string) error {
		return f.serve("", args[0], args[1])
	}}
}

func (f *fake) serve(tcp, web, admin string) error {
	failed := make(chan error, 3)
	listen := func(addr string, serve func(net.Listener) error) error {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			go func() { failed <- serve(l) }()
		}
		return err
	}
	if tcp != "" {
		if err := listen(tcp, f.serveLines); err != nil {
			return err
		}
	}
	if err := listen(web, func(l net.Listener) error { return http.Serve(l, f.mcp()) }); err != nil {
		return err
	}
	if err := listen(admin, func(l net.Listener) error { return http.Serve(l, f.admin()) }); err != nil {
		return err
	}
	return <-failed
}

func (f *fake) serveLines(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go f.lines(c)
	}
}

func (f *fake) lines(c net.Conn) {
	defer func() { _ = c.Close() }()
	f.clients.Add(1)
	defer f.clients.Add(-1)
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		reply := line
		if !f.raw {
			reply = f.answer(line)
		}
		if reply, err = f.turned(c, reply); err != nil {
			return
		}
		if f.mute || reply == nil {
			continue
		}
		if _, err := c.Write(reply); err != nil || f.oneShot {
			return
		}
	}
}

var errTurned = errors.New("the fake turned")

// turned returns what f sends instead of reply, now that it may have turned.
func (f *fake) turned(c net.Conn, reply []byte) ([]byte, error) {
	switch f.turn.Load() {
	case turnClose:
		return nil, errTurned
	case turnReset:
		return nil, errors.Join(errTurned, c.(*net.TCPConn).SetLinger(0))
	case turnTwice:
		return append(reply, reply...), nil
	default:
		return reply, nil
	}
}

// answer returns the reply to a message, nil for a notification.
func (f *fake) answer(message []byte) []byte {
	var m struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	if err := json.Unmarshal(message, &m); err != nil {
		return []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error"}}` + "\n")
	}
	if m.ID == nil {
		return nil
	}
	result := string(m.Params)
	switch m.Method {
	case "initialize":
		result = `{"protocolVersion":"` + revisionSessions + `","capabilities":{},"serverInfo":{"name":"fake","version":"1"}}`
	case "tools/call":
		var p struct{ Arguments struct{ Text, URI string } }
		if err := json.Unmarshal(m.Params, &p); err != nil {
			return nil
		}
		result = fmt.Sprintf(`{"content":[{"type":"text","text":%q}]}`, p.Arguments.Text)
		if p.Arguments.URI != "" {
			result = fmt.Sprintf(`{"structuredContent":{"notified":%d}}`, f.touch(p.Arguments.URI))
		}
	}
	if f.wrong || f.turn.Load() == turnWrong {
		result = `["something else"]`
	}
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", m.ID, result)
}

func (f *fake) mcp() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mcp", func(w http.ResponseWriter, r *http.Request) {
		f.stream(w, r, f.subscription(r.Header.Get("Mcp-Session-Id")), "id: 1\ndata:\n\n")
	})
	mux.HandleFunc("POST /mcp", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		switch {
		case f.mute:
			<-r.Context().Done()
		case bytes.Contains(body, []byte(`"name":"confirm"`)):
			f.confirm(w, r)
		case bytes.Contains(body, []byte(`"result":`)):
			f.answered(w, body)
		case bytes.Contains(body, []byte(`"resources/subscribe"`)):
			f.subscribe(r.Header.Get("Mcp-Session-Id"), body)
			f.post(w, body)
		case r.Header.Get("Mcp-Method") == "subscriptions/listen":
			f.stream(w, r, fanoutURI, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{}}\n\n")
		default:
			f.post(w, body)
		}
	})
	return mux
}

func (f *fake) post(w http.ResponseWriter, body []byte) {
	reply := f.answer(body)
	if f.turn.Load() > turnWrong {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		wire := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(reply), reply)
		if wire, err = f.turned(c, wire); err == nil {
			_, _ = c.Write(wire)
		}
		return
	}
	if f.oneShot || f.farewell {
		w.Header().Set("Connection", "close")
	}
	if reply == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if !f.noSession {
		w.Header().Set("Mcp-Session-Id", fmt.Sprint("fake-", f.sessions.Add(1)))
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(reply)
}

// stream holds an event stream that tells of changes of uri.
func (f *fake) stream(w http.ResponseWriter, r *http.Request, uri, first string) {
	f.clients.Add(1)
	defer f.clients.Add(-1)
	touched := f.touches(uri) // before the client knows that the stream is open
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, first)
	if f.brief {
		return // in one piece: nobody sees the stream before its end
	}
	_ = http.NewResponseController(w).Flush()
	comment := time.NewTicker(50 * time.Millisecond)
	defer comment.Stop()
	for f.turn.Load() != turnQuit {
		select {
		case <-comment.C:
			_, _ = io.WriteString(w, ":\n\n")
			for ; touched < f.touches(uri) && !f.deaf; touched++ {
				f.kept.Add(1)
				_, _ = fmt.Fprintf(w, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":%q}}\n\n", uri)
			}
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fake) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/mem", func(w http.ResponseWriter, _ *http.Request) {
		n := f.clients.Load()
		own := []memprof.Component{{Name: "connections", Count: n, Bytes: n * 4096}}
		if kept := f.kept.Load(); !f.forgetful {
			own = append(own, memprof.Component{Name: eventsComponent, Count: kept, Bytes: 200 * kept})
		}
		report, err := memprof.Take(n, own...)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(report)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		n := f.asked.Add(1) // as if the clock had ticked once since the last look
		if !f.forgetful {
			_, _ = fmt.Fprintf(w, "%s 1\n%s %d\n%s 9\n%s 16\n", gaugeRunning, gaugeWaiting, f.waiting.Load(), gaugeGoroutines, gaugeBodies)
		}
		_, _ = fmt.Fprintf(w, "# HELP x\n%[1]s{le=\"0.001\"} %[2]d\n%[1]s{le=\"+Inf\"} %[2]d\n", lagMetric, n)
	})
	mux.HandleFunc("GET /debug/pprof/heap", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("gc") == "1" {
			runtime.GC()
		}
		_, _ = w.Write([]byte(os.Args[0]))
	})
	return mux
}
