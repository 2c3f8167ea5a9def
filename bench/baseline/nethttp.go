package main

import (
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
)

// request is what a server by hand needs to know of a message.
type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Arguments struct {
			Text string `json:"text"`
		} `json:"arguments"`
	} `json:"params"`
}

// serveNetHTTP is MCP as one would write it by hand on net/http and
// encoding/json, with just enough of the protocol for its clients: sessions that
// nobody checks, the tool echo, and a GET stream.
func serveNetHTTP(l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mcp", post)
	mux.HandleFunc("GET /mcp", stream)
	return http.Serve(l, mux)
}

func post(w http.ResponseWriter, r *http.Request) {
	var q request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var result any
	switch q.Method {
	case "initialize":
		w.Header().Set("Mcp-Session-Id", rand.Text())
		result = map[string]any{
			"protocolVersion": "2025-11-25", "capabilities": map[string]any{"tools": map[string]any{}},
			"serverInfo": map[string]any{"name": "baseline", "version": "1"},
		}
	case "tools/call":
		result = map[string]any{"content": []map[string]any{{"type": "text", "text": q.Params.Arguments.Text}}}
	default: // a notification
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": q.ID, "result": result}) // the client has gone
}
