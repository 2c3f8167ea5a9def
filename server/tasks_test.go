package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/mcp"
)

// startTask calls a tool of a running server as a client that knows tasks.
func startTask(t *testing.T, s *Server, tool string) (body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.HTTPAddr().String()+"/mcp", strings.NewReader(
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",`+
			`"io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("MCP-Protocol-Version", "2026-07-28")
	req.Header.Set("Mcp-Method", "tools/call")
	req.Header.Set("Mcp-Name", tool)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A task runs on a worker of its own, even where all workers of requests wait,
// and a shutdown tells it and waits for it.
func TestTasksAndShutdown(t *testing.T) {
	const tasks = 8
	s, err := New(Options{HTTP: "127.0.0.1:0", Workers: 1, WaitingMax: 1, Tasks: mcp.TaskOptions{Running: tasks}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	causes := make(chan error, tasks)
	err = s.MCP().AddTool(mcp.Tool{
		Name: "job", Task: mcp.TaskPolicy{Support: mcp.TaskRequired},
		Handle: func(ctx context.Context, _ *mcp.Call) (*mcp.ToolResult, error) {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil, nil
		},
	})
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for range tasks {
		if body := startTask(t, s, "job"); !strings.Contains(body, `"resultType":"task"`) {
			t.Fatal(body)
		}
	}
	if body := startTask(t, s, "job"); !strings.Contains(body, "too many tasks") {
		t.Errorf("one more: %s", body)
	}
	if st := s.Stats().MCP.Tasks; st.Running != tasks || st.Refused != 1 {
		t.Errorf("%+v", st)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if len(causes) != tasks {
		t.Fatalf("Shutdown returned before %d of %d tasks", tasks-len(causes), tasks)
	}
	for range tasks {
		if err := <-causes; !errors.Is(err, ErrClosed) {
			t.Errorf("cause %v", err)
		}
	}
}
