package mcp

import (
	"context"
	"fmt"
	"testing"
	"unsafe"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
)

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want uintptr
	}{
		{"Session", unsafe.Sizeof(Session{}), 56},
		{"entry", unsafe.Sizeof(entry{}), 24},
		{"listener", unsafe.Sizeof(listener{}), 64},
		{"Call", unsafe.Sizeof(Call{}), 424}, // allocated as 448; past that every call costs 32 more
	} {
		if tt.got != tt.want {
			t.Errorf("%s has %d bytes, want %d", tt.name, tt.got, tt.want)
		}
	}
}

// quietHost takes everything and keeps nothing.
type quietHost struct{ bytes int }

func (h *quietHost) Send(_ StreamID, p []byte) error { h.bytes += len(p); return nil }
func (h *quietHost) End(StreamID)                    {}

// quietWorker is a worker that is never needed.
type quietWorker struct{}

func (quietWorker) Leave(bool) error                 { return nil }
func (quietWorker) Return()                          {}
func (quietWorker) Flush(out []byte) ([]byte, error) { return out[:0], nil }

// oneSession is a table of one session, without a lock.
type oneSession struct {
	*fakeSessions
	s Session
}

func (t *oneSession) Find(id [16]byte) (uint64, bool) { return 1, id == t.s.ID }
func (t *oneSession) Load(uint64) (Session, bool)     { return t.s, true }

// echoExchange returns a server and a parsed tools/call to its tool "raw",
// which reads its arguments and makes its result by hand, or "typed", which
// goes through Go types.
func echoExchange(tb testing.TB, tool string, modern bool) (*Server, *Exchange) {
	tb.Helper()
	id := [16]byte{15: 1}
	s := New(Options{
		Host: new(quietHost), Calls: rpc.NewTable(1),
		Sessions: &oneSession{newFakeSessions(), Session{ID: id, Protocol: Revision20251125, State: StateReady}},
	})
	schema := `{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false}`
	err := s.AddTool(Tool{Name: "raw", InputSchema: schema, Handle: func(_ context.Context, c *Call) (*ToolResult, error) {
		word, _ := text(member(c.Arguments(), "text"))
		return Text(string(word)), nil
	}})
	if err == nil {
		err = AddTool(s, Tool{Name: "typed"}, func(_ context.Context, _ *Call, in echoIn) (string, error) { return in.Text, nil })
	}
	if err != nil {
		tb.Fatal(err)
	}
	head, meta := "Mcp-Session-Id: 00000000000000000000000000000001\r\nMCP-Protocol-Version: 2025-11-25", ""
	if modern {
		head = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: " + tool
		meta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}`
	}
	x, e := exchange(1, post(`{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"`+tool+
		`","arguments":{"text":"The quick brown fox jumps over the lazy dog"}`+meta+`}}`, head))
	if e != nil {
		tb.Fatal(e)
	}
	return s, x
}

// serveAgain plans and serves x as a loop and a worker do.
func serveAgain(s *Server, x *Exchange) {
	x.Out = x.Out[:0]
	x.Worker = nil
	if s.Plan(x) == OnWorker {
		x.Worker = quietWorker{}
	}
	s.ServeHTTP(x)
}

// A tools/call must not cost more than these allocations from Plan to the
// response: the call, the handler's own string and result.
func TestCallAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, tt := range []struct {
		tool   string
		modern bool
		budget float64
	}{{"raw", false, 3}, {"raw", true, 3}, {"typed", false, 7}, {"typed", true, 7}} {
		t.Run(fmt.Sprintf("%s modern=%v", tt.tool, tt.modern), func(t *testing.T) {
			s, x := echoExchange(t, tt.tool, tt.modern)
			serveAgain(s, x)
			if want := `"text":"The quick brown fox jumps over the lazy dog"}]}}`; string(x.Out[len(x.Out)-len(want):]) != want {
				t.Fatalf("%s", x.Out)
			}
			if n := testing.AllocsPerRun(1000, func() { serveAgain(s, x) }); n > tt.budget {
				t.Errorf("%v allocations, budget %v", n, tt.budget)
			}
		})
	}
}

func TestPlanAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s, x := echoExchange(t, "raw", false)
	if n := testing.AllocsPerRun(1000, func() {
		if s.Plan(x) != OnWorker {
			t.Fatal("on the loop")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkToolsCall(b *testing.B) {
	for _, tool := range []string{"raw", "typed"} {
		for _, modern := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/modern=%v", tool, modern), func(b *testing.B) {
				s, x := echoExchange(b, tool, modern)
				b.ReportAllocs()
				for b.Loop() {
					serveAgain(s, x)
				}
			})
		}
	}
}

// BenchmarkParse is the part of a request that comes before this package.
func BenchmarkParse(b *testing.B) {
	_, x := echoExchange(b, "raw", false)
	var req codec.Request
	b.ReportAllocs()
	for b.Loop() {
		var scan [2]uint64
		if _, _, e := codec.ParseRequest(x.Msg, &scan, &codec.HTTPLimits{}, &req); e != nil {
			b.Fatal(e)
		}
	}
}
