package mcp_test

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
	"github.com/rookery-server/rookery/mcp"
)

// A tool from Go types, called by a client of the era without sessions over a
// connection that carries lines.
func Example() {
	s := mcp.New(mcp.Options{Host: printer{}, Sessions: &table{}, Calls: rpc.NewTable(100)})
	type args struct {
		Name string `json:"name" jsonschema:"who is greeted"`
	}
	err := mcp.AddTool(s, mcp.Tool{Name: "greet"}, func(_ context.Context, _ *mcp.Call, in args) (string, error) {
		return "Hello, " + in.Name, nil
	})
	if err != nil {
		panic(err)
	}
	line := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"greet","arguments":{"name":"Ada"},` +
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`)
	x := mcp.RPC{Stream: 1, Msg: line}
	if err := codec.ParseEnvelope(line, nil, &x.Env); err != nil {
		panic(err)
	}
	s.ServeRPC(&x)
	fmt.Printf("%s", x.Out)
	// Output:
	// {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"rookery","version":"0"}},"content":[{"type":"text","text":"Hello, Ada"}]}}
}

// printer is a Host of connections that print.
type printer struct{}

func (printer) Send(_ mcp.StreamID, p []byte) error { fmt.Printf("%s", p); return nil }
func (printer) End(mcp.StreamID)                    {}

// table keeps sessions for one goroutine.
type table struct{ all []mcp.Session }

func (t *table) Create(s mcp.Session) (id [16]byte, ref uint64, err error) {
	binary.BigEndian.PutUint64(id[8:], uint64(len(t.all)+1))
	s.ID = id
	t.all = append(t.all, s)
	return id, uint64(len(t.all)), nil
}

func (t *table) Find(id [16]byte) (ref uint64, ok bool) {
	ref = binary.BigEndian.Uint64(id[8:])
	_, ok = t.Load(ref)
	return ref, ok
}

func (t *table) Load(ref uint64) (mcp.Session, bool) {
	if ref == 0 || ref > uint64(len(t.all)) || t.all[ref-1].ID == [16]byte{} {
		return mcp.Session{}, false
	}
	return t.all[ref-1], true
}

func (t *table) Update(ref uint64, f func(*mcp.Session)) bool {
	_, ok := t.Load(ref)
	if ok {
		f(&t.all[ref-1])
	}
	return ok
}

func (t *table) Touch(uint64) {}

func (t *table) Delete(ref uint64) (mcp.Session, bool) {
	s, ok := t.Load(ref)
	if ok {
		t.all[ref-1] = mcp.Session{}
	}
	return s, ok
}

func (t *table) Range(f func(ref uint64, s mcp.Session) bool) {
	for i := range t.all {
		if s, ok := t.Load(uint64(i + 1)); ok && !f(uint64(i+1), s) {
			return
		}
	}
}
