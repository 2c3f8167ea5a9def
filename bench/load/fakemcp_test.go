package load

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// mcpServer is an MCP server of both eras over net/http, with faults.
type mcpServer struct {
	// call answers call n (from 1) of the server; false: in the ordinary way.
	call func(n int, w http.ResponseWriter, id string) bool
	// events are the numbers that clients are sent when n is published; nil: n.
	events func(n int) []int
	// attach answers the opening of a stream; false: in the ordinary way.
	attach func(w http.ResponseWriter, r *http.Request) bool
	retry  int // ms that streams name; 0: none
	// stateless servers keep no sessions.
	stateless bool

	mu       sync.Mutex
	http     *http.Server
	sessions map[string]bool
	streams  map[*mcpStream]bool
	made     int
	calls    int
	notes    int
	touched  int
	log      []string // of published messages; event en is the n-th
	resumed  []string // Last-Event-ID of streams
	problems []string // requests that were not as they have to be
}

// mcpStream is an open stream.
type mcpStream struct {
	send chan string
	end  chan struct{}
	once sync.Once
}

func (s *mcpServer) serve(t *testing.T) Target {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.sessions, s.streams = map[string]bool{}, map[*mcpStream]bool{}
	s.http = &http.Server{Handler: http.HandlerFunc(s.handle)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.http.Serve(l)
	}()
	t.Cleanup(func() {
		s.cut()
		s.http.Close()
		<-done
		for _, p := range s.problems {
			t.Error(p)
		}
	})
	return Target{Addr: netip.MustParseAddrPort(l.Addr().String()), Path: "/mcp"}
}

// cut ends all streams.
func (s *mcpServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		st.once.Do(func() { close(st.end) })
	}
}

func (s *mcpServer) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// mcpRequest is a message of a client.
type mcpRequest struct {
	ID     json.Number
	Method string
	Params struct {
		Name      string
		Arguments struct{ Text, URI string }
		Meta      map[string]any `json:"_meta"`
	}
}

func (s *mcpServer) handle(w http.ResponseWriter, r *http.Request) {
	version, session := r.Header.Get("MCP-Protocol-Version"), r.Header.Get("Mcp-Session-Id")
	s.mu.Lock()
	known := s.sessions[session] || s.stateless
	s.mu.Unlock()
	if _, sent := r.Header["Mcp-Session-Id"]; sent && s.stateless {
		s.problem("a session %q that nobody named", session)
	}
	modern := version == "2026-07-28"
	if r.Method == http.MethodGet {
		switch {
		case !known:
			http.Error(w, "no such session", http.StatusNotFound)
		case s.attach == nil || !s.attach(w, r):
			s.mu.Lock()
			s.resumed = append(s.resumed, r.Header.Get("Last-Event-ID"))
			s.mu.Unlock()
			s.stream(w, r, "")
		}
		return
	}
	body, _ := io.ReadAll(r.Body)
	var m mcpRequest
	if err := json.Unmarshal(body, &m); err != nil {
		s.problem("%q: %v", body, err)
		return
	}
	if modern && (r.Header.Get("Mcp-Method") != m.Method || m.Method == "tools/call" && r.Header.Get("Mcp-Name") != m.Params.Name ||
		m.Params.Meta["io.modelcontextprotocol/protocolVersion"] != version || session != "") {
		s.problem("headers %v do not fit %q", r.Header, body)
	}
	switch {
	case m.Method == "initialize":
		s.mu.Lock()
		s.made++
		id := fmt.Sprintf("session-%d", s.made)
		s.sessions[id] = true
		s.mu.Unlock()
		if !s.stateless {
			w.Header().Set("Mcp-Session-Id", id)
		}
		s.reply(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}`, m.ID)
	case !modern && (version != "2025-11-25" || !known):
		http.Error(w, "no such session", http.StatusNotFound)
	case m.Method == "tools/call":
		s.tool(w, &m)
	case m.Method == "subscriptions/listen":
		s.stream(w, r, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{}}\n\n")
	default:
		s.mu.Lock()
		if m.Method == "notifications/progress" {
			s.notes++
		}
		s.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	}
}

func (s *mcpServer) reply(w http.ResponseWriter, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, format, args...)
}

func (s *mcpServer) tool(w http.ResponseWriter, m *mcpRequest) {
	switch m.Params.Name {
	case "broadcast":
		text := m.Params.Arguments.Text
		dash := strings.LastIndexByte(text, '-') + 1
		var n int
		fmt.Sscan(text[dash:], &n)
		numbers := []int{n}
		if s.events != nil {
			numbers = s.events(n)
		}
		for _, n := range numbers {
			s.publish(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"%s%d"}}`, text[:dash], n))
		}
	case "touch":
		s.mu.Lock()
		s.touched++
		n := s.touched
		s.mu.Unlock()
		numbers := []int{n}
		if s.events != nil {
			numbers = s.events(n)
		}
		for range numbers {
			s.publish(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%q}}`, m.Params.Arguments.URI))
		}
	default:
		s.mu.Lock()
		s.calls++
		n := s.calls
		s.mu.Unlock()
		if s.call == nil || !s.call(n, w, string(m.ID)) {
			s.reply(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":%q}]}}`, m.ID, m.Params.Arguments.Text)
		}
		return
	}
	s.reply(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[],"structuredContent":{"notified":1}}}`, m.ID)
}

// publish sends a message to all streams.
func (s *mcpServer) publish(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, message)
	for st := range s.streams {
		st.send <- event(len(s.log), message)
	}
}

func event(n int, message string) string {
	return fmt.Sprintf("id: e%d\nevent: message\ndata: %s\n\n", n, message)
}

func (s *mcpServer) stream(w http.ResponseWriter, r *http.Request, first string) {
	st := &mcpStream{send: make(chan string, 256), end: make(chan struct{})}
	w.Header().Set("Content-Type", "text/event-stream")
	s.mu.Lock()
	s.streams[st] = true
	if first == "" { // of a session: it begins with the id of the latest event, or with those missed
		first = fmt.Sprintf("id: e%d\ndata: \n\n", len(s.log))
		last := len(s.log)
		fmt.Sscanf(r.Header.Get("Last-Event-ID"), "e%d", &last)
		for n := last; n < len(s.log); n++ {
			first += event(n+1, s.log[n])
		}
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.streams, st)
		s.mu.Unlock()
	}()
	if s.retry > 0 {
		first = fmt.Sprintf("retry: %d\n\n", s.retry) + first
	}
	flush := http.NewResponseController(w)
	_, _ = io.WriteString(w, first)
	_ = flush.Flush()
	for {
		select {
		case text := <-st.send:
			_, _ = io.WriteString(w, text[:len(text)/2]) // in two chunks
			_ = flush.Flush()
			_, _ = io.WriteString(w, text[len(text)/2:])
			_ = flush.Flush()
		case <-st.end:
			return
		case <-r.Context().Done():
			return
		}
	}
}
