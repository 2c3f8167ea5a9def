package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The command line of the MCP Inspector, as people try a server with it.
func TestInspector(t *testing.T) {
	requireNode(t)
	js, n := newNode(t), startNode(t)
	for _, c := range []struct {
		args string
		want []string // parts of the result; nil: an error
	}{
		{"tools/list", []string{`"name":"echo"`, `"name":"touch"`, `"outputSchema"`}},
		{"tools/call --tool-name echo --tool-arg text=hello", []string{`{"type":"text","text":"hello"}`}},
		{"tools/call --tool-name touch --tool-arg uri=demo://item/x", []string{`"structuredContent":{`, `"notified":0`}},
		{"resources/templates/list", []string{`"uriTemplate":"demo://item/{name}"`}},
		{"resources/read --uri demo://item/tea", []string{`"uri":"demo://item/tea"`, `"text":"tea, touched 0 times\n"`}},
		{"prompts/get --prompt-name describe --prompt-args name=tea", []string{`"role":"user"`, `"uri":"demo://item/tea"`}},
		{"prompts/get --prompt-name no-such-prompt", nil},
		{"tools/list --protocol-era modern", []string{`"name":"echo"`, `"name":"touch"`}},
		{"tools/call --protocol-era modern --tool-name echo --tool-arg text=hello", []string{`{"type":"text","text":"hello"}`}},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel() // each is a second of starting Node
			out, err := inspect(t, js, n, strings.Fields("--method "+c.args)...)
			if (err == nil) != (c.want != nil) {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("%s lacks %s", out, want)
				}
			}
		})
	}
}

// inspect runs the Inspector, with the Node js, against the node and returns its
// result on one line, or what it said instead.
func inspect(t *testing.T, js string, n *node, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const launcher = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
	args = append([]string{launcher, "--cli", n.mcp(), "--format", "json"}, args...)
	cmd := exec.CommandContext(ctx, js, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // where it keeps its settings
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return stderr.String(), err
	}
	var result json.RawMessage
	if err := json.Unmarshal(out, &result); err != nil {
		return string(out), err
	}
	line, err := json.Marshal(result)
	return string(line), err
}

// newNode returns a Node new enough for the Inspector; it may have to install it.
func newNode(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("../scripts/node.sh")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
