package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// report is what typescript.mjs prints.
type report struct {
	Mode, Version, Server, Stream string
	Session                       bool
	Tools, Templates, Updated     []string
}

// The official TypeScript clients: v1 and, for both eras, v2.
func TestTypeScriptClients(t *testing.T) {
	requireNode(t)
	n := startNode(t)
	for _, c := range []struct {
		mode, version string
		session       bool
	}{
		{"v1", "2025-11-25", true},
		{"v2-legacy", "2025-11-25", true},
		{"v2-modern", "2026-07-28", false},
		{"v2-auto", "2026-07-28", false},
	} {
		t.Run(c.mode, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "node", "typescript.mjs", n.mcp(), c.mode)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			var r report
			if err := json.Unmarshal(out, &r); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			if r.Version != c.version || r.Session != c.session || r.Server == "" {
				t.Errorf("revision %s, session %v, server %q; want %s and %v", r.Version, r.Session, r.Server, c.version, c.session)
			}
			if !slices.Contains(r.Tools, "echo") || !slices.Contains(r.Tools, "touch") {
				t.Errorf("tools %v lack echo or touch", r.Tools)
			}
			if !slices.Contains(r.Templates, "demo://item/{name}") {
				t.Errorf("templates %v lack demo://item/{name}", r.Templates)
			}
			if !slices.Equal(r.Updated, []string{"demo://item/x"}) {
				t.Errorf("updates %v", r.Updated)
			}
		})
	}
}

// requireNode skips where there is no Node, but not in CI.
func requireNode(t *testing.T) {
	t.Helper()
	missing := ""
	if _, err := exec.LookPath("node"); err != nil {
		missing = "node is not installed"
	} else if _, err := os.Stat("node_modules/@modelcontextprotocol/sdk"); err != nil {
		missing = "the clients are not installed: run make e2e, or npm ci in e2e"
	}
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// The official Go client, once for each era and once as it comes.
func TestGoClient(t *testing.T) {
	n := startNode(t)
	for _, c := range []struct{ name, asked, got string }{
		{"2025-06-18", "2025-06-18", "2025-06-18"},
		{"2025-11-25", "2025-11-25", "2025-11-25"},
		{"2026-07-28", "2026-07-28", "2026-07-28"},
	} {
		t.Run(c.name, func(t *testing.T) { goClient(t, n, c.asked, c.got) })
	}
	t.Run("default", func(t *testing.T) { goClient(t, n, "", "") })
}

func goClient(t *testing.T, n *node, asked, got string) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	updated := make(chan string, 16)
	c := mcp.NewClient(&mcp.Implementation{Name: "rookery-e2e", Version: "1.0.0"}, &mcp.ClientOptions{
		ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) { updated <- r.Params.URI },
	})
	watch := &watchStream{opened: make(chan struct{})}
	s, err := c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: n.mcp(), HTTPClient: &http.Client{Transport: watch}},
		&mcp.ClientSessionOptions{ProtocolVersion: asked})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	version := s.InitializeResult().ProtocolVersion
	if got != "" && version != got {
		t.Errorf("revision %s, want %s", version, got)
	}
	goClientTools(ctx, t, s)

	if read, err := s.ReadResource(ctx, &mcp.ReadResourceParams{URI: "demo://item/x"}); err != nil || len(read.Contents) != 1 {
		t.Errorf("read %+v, %v", read, err)
	}
	if err := s.Subscribe(ctx, &mcp.SubscribeParams{URI: "demo://item/x"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-watch.opened:
	case <-ctx.Done():
		t.Fatal("the stream was not opened")
	}
	for _, uri := range []string{"demo://item/other", "demo://item/x"} {
		if _, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "touch", Arguments: map[string]any{"uri": uri}}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case uri := <-updated:
		if uri != "demo://item/x" {
			t.Errorf("told of %s", uri)
		}
	case <-ctx.Done():
		t.Fatal("no notification")
	}
	if err := s.Unsubscribe(ctx, &mcp.UnsubscribeParams{URI: "demo://item/x"}); err != nil {
		t.Error(err)
	}
	if len(updated) > 0 {
		t.Errorf("told of %s", <-updated)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func goClientTools(ctx context.Context, t *testing.T, s *mcp.ClientSession) {
	t.Helper()
	tools, err := s.ListTools(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range tools.Tools {
		names = append(names, tool.Name)
	}
	if !slices.Contains(names, "echo") || !slices.Contains(names, "touch") {
		t.Errorf("tools %v lack echo or touch", names)
	}
	for _, text := range []string{"hello", "\" \\ \n \u2028 世界 🐦", strings.Repeat("x", 200_000)} {
		r, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": text}})
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := r.Content[0].(*mcp.TextContent); r.IsError || !ok || got.Text != text {
			t.Errorf("echo of %.40q: %.40v", text, r.Content[0])
		}
	}
	if r, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": 7}}); err == nil && !r.IsError {
		t.Error("a wrong argument was taken")
	}
	if _, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "no-such-tool"}); err == nil {
		t.Error("an unknown tool was called")
	}
	calls := sync.WaitGroup{}
	for range 50 { // side by side
		calls.Go(func() {
			_, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": "x"}})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

// watchStream tells when the stream on which notifications come is open: the
// answer to GET or, in 2026-07-28, to subscriptions/listen. The client opens it
// on its own and does not wait.
type watchStream struct {
	once   sync.Once
	opened chan struct{}
}

// RoundTrip implements http.RoundTripper.
func (w *watchStream) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	opens := r.Method == http.MethodGet || r.Header.Get("Mcp-Method") == "subscriptions/listen"
	if err == nil && opens && res.StatusCode == http.StatusOK {
		w.once.Do(func() { close(w.opened) })
	}
	return res, err
}
