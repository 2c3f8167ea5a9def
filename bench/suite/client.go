package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/rookery-server/rookery/bench/wire"
)

// session is an MCP session of the suite itself, for single calls.
type session struct {
	http *http.Client
	id   string
	last int
}

// newSession begins a session at a node.
func newSession(ctx context.Context, at netip.AddrPort) (*session, error) {
	s := &session{http: &http.Client{Transport: &http.Transport{}}}
	_, err := s.post(ctx, at, "initialize", map[string]any{
		"protocolVersion": "2025-11-25", "capabilities": map[string]any{}, "clientInfo": map[string]string{"name": "suite", "version": "1"},
	})
	if err == nil && s.id == "" {
		err = fmt.Errorf("suite: %v gave no session id", at)
	}
	return s, err
}

func (s *session) close() { s.http.CloseIdleConnections() }

// echo calls the tool echo at a node and compares what comes back.
func (s *session) echo(ctx context.Context, at netip.AddrPort, text string) error {
	result, err := s.post(ctx, at, "tools/call", map[string]any{"name": "echo", "arguments": map[string]string{"text": text}})
	if err != nil {
		return err
	}
	var got struct {
		Content []struct{ Text string }
		IsError bool
	}
	if err := json.Unmarshal(result, &got); err != nil {
		return fmt.Errorf("suite: %v answered %q: %w", at, result, err)
	}
	if got.IsError || len(got.Content) != 1 || got.Content[0].Text != text {
		return fmt.Errorf("suite: %v answered %q to %q", at, result, text)
	}
	return nil
}

// post sends a request and returns its result.
func (s *session) post(ctx context.Context, at netip.AddrPort, method string, params any) (json.RawMessage, error) {
	s.last++
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": s.last, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at.String()+"/mcp", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if s.id != "" {
		req.Header.Set("Mcp-Session-Id", s.id)
		req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("suite: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, wire.BodyMax))
	if err != nil {
		return nil, fmt.Errorf("suite: %v: %w", at, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("suite: %v: %s: %.200q", at, res.Status, text)
	}
	if id := res.Header.Get("Mcp-Session-Id"); id != "" {
		s.id = id
	}
	r := wire.Response{Status: res.StatusCode, Body: text, Events: strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")}
	message, err := r.Message()
	if err != nil {
		return nil, fmt.Errorf("suite: %v: %w", at, err)
	}
	reply, err := wire.ParseReply(message, s.last)
	if err != nil {
		return nil, fmt.Errorf("suite: %v: %w", at, err)
	}
	return reply.Result, nil
}
