package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/shard"
)

func newClusterBalancer() *cobra.Command {
	listen := "0.0.0.0:8080"
	cmd := &cobra.Command{
		Use:   "balancer haproxy|nginx NODE=HOST:PORT...",
		Short: "Print a balancer's configuration that keeps clients where their sessions are",
		Long: `A session's id begins with four hexadecimal digits that name the node which made it. The balancer
sends a client there while that node is up, and elsewhere when it is not; any node serves any session.`,
		Example: "  rookery cluster balancer haproxy n1=127.0.0.1:7680 n2=127.0.0.1:7681 >haproxy.cfg",
		Args:    cobra.MinimumNArgs(2),
	}
	cmd.Flags().Var(text(&listen, "address", checkWhole), "listen", "address of the balancer")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t := balancers.Lookup(args[0])
		if t == nil {
			return usageError{fmt.Errorf("no balancer %q: there are haproxy and nginx", args[0])}
		}
		nodes, err := parseNodes(args[1:])
		if err != nil {
			return usageError{err}
		}
		return writeBalancer(cmd.OutOrStdout(), t, listen, nodes)
	}
	return cmd
}

type balancedNode struct{ Name, Addr, Tag string }

func parseNodes(args []string) ([]balancedNode, error) {
	var nodes []balancedNode
	for _, arg := range args {
		name, addr, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not NODE=HOST:PORT", arg)
		}
		if err := checkName(name); err != nil {
			return nil, err
		}
		if err := checkWhole(addr); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(nodes, func(n balancedNode) bool { return n.Name == name || n.Addr == addr }) {
			return nil, fmt.Errorf("%q: its name or address is there already", arg)
		}
		nodes = append(nodes, balancedNode{name, addr, fmt.Sprintf("%04x", shard.Tag(name))})
	}
	return nodes, nil
}

func writeBalancer(w io.Writer, t *template.Template, listen string, nodes []balancedNode) error {
	return t.Execute(w, struct {
		Listen string
		Nodes  []balancedNode
	}{listen, nodes})
}

// balancers are the configurations. Both send a request without a session to
// any node, one with a session to the node in its id, and elsewhere when that
// node is down. Streams stay open for hours; responses are not buffered.
//
// HAProxy asks two questions of a node, and so needs two backends. "Is it
// there?": if not, its connections are cut, so that clients of a machine that is
// gone without a word come back at once. "Does it want clients?": a node that is
// drained does not, but those it has leave at its own pace. nginx asks nothing;
// it learns from connections that fail, and a drained node is taken out of its
// configuration.
var balancers = template.Must(template.New("").Parse(`
{{define "haproxy"}}defaults
    mode http
    retries 3
    option redispatch 1
    # A node that answers 503 has not served the request.
    retry-on conn-failure 503
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout http-request 10s
    option srvtcpka
    srvtcpka-idle 10s
    srvtcpka-intvl 5s
    srvtcpka-cnt 3
    default-server check inter 500ms fall 2 rise 2

frontend rookery
    bind {{.Listen}}
    # The first four digits of a session's id name the node that made it.
{{- range .Nodes}}
    use_backend sessions if { req.hdr(mcp-session-id) -m beg -i {{.Tag}} } { srv_is_up(ready/{{.Name}}) }
{{- end}}
    default_backend ready

# Sessions whose node wants clients go there.
backend sessions
    option httpchk GET /readyz
    http-check expect rstatus ^(200|503)
{{- range .Nodes}}
    use-server {{.Name}} if { req.hdr(mcp-session-id) -m beg -i {{.Tag}} }
{{- end}}
{{- range .Nodes}}
    server {{.Name}} {{.Addr}} on-marked-down shutdown-sessions
{{- end}}

# All else goes to any node that wants clients; one that drains says 503.
backend ready
    balance leastconn
    option httpchk GET /readyz
    http-check expect status 200
{{- range .Nodes}}
    server {{.Name}} {{.Addr}}
{{- end}}
{{end}}
{{define "nginx"}}# Take a node out and reload before it is drained.
worker_processes auto;
worker_rlimit_nofile 131072;
events { worker_connections 65536; }

http {
    access_log off;

    # The first four digits of a session's id name the node that made it.
    map $http_mcp_session_id $rookery_nodes {
        default rookery;
{{- range .Nodes}}
        ~*^{{.Tag}} rookery-{{.Name}};
{{- end}}
    }

    upstream rookery {
        zone rookery 64k;
        least_conn;
{{- range .Nodes}}
        server {{.Addr}} max_fails=1 fail_timeout=2s;
{{- end}}
        keepalive 64;
    }
{{range $n := .Nodes}}
    upstream rookery-{{$n.Name}} {
        zone rookery-{{$n.Name}} 64k;
        server {{$n.Addr}} max_fails=1 fail_timeout=2s;
{{- range $.Nodes}}{{if ne .Name $n.Name}}
        server {{.Addr}} backup;
{{- end}}{{end}}
        keepalive 64;
    }
{{end}}
    server {
        listen {{.Listen}};
        location / {
            proxy_pass http://$rookery_nodes;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_request_buffering off;
            client_max_body_size 16m;
            proxy_connect_timeout 2s;
            proxy_read_timeout 1h;
        }
    }
}
{{end}}`))
