package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/shard"
)

func newClusterBalancer() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "balancer haproxy|nginx NODE=HOST:PORT...",
		Short: "Print a balancer's configuration that keeps clients where their sessions are",
		Long: `A session's id begins with four hexadecimal digits that name the node which made it. The balancer
sends a client there while that node is up, and elsewhere when it is not; any node serves any session.`,
		Example: "  rookery cluster balancer haproxy n1=127.0.0.1:7680 n2=127.0.0.1:7681 >haproxy.cfg",
		Args:    cobra.MinimumNArgs(2),
	}
	cmd.Flags().StringVar(&listen, "listen", "0.0.0.0:8080", "address of the balancer")
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
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("%q: %w", arg, err)
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
var balancers = template.Must(template.New("").Parse(`
{{define "haproxy"}}global
    maxconn 100000

defaults
    mode http
    option http-keep-alive
    option redispatch
    retries 3
    retry-on conn-failure 503
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout http-request 10s

frontend rookery
    bind {{.Listen}}
    default_backend nodes

backend nodes
    balance leastconn
    option httpchk GET /mcp
    http-check expect rstatus ^[24]
    # The first four digits of a session's id name the node that made it.
{{- range .Nodes}}
    use-server {{.Name}} if { req.hdr(mcp-session-id) -m beg -i {{.Tag}} }
{{- end}}
{{- range .Nodes}}
    server {{.Name}} {{.Addr}} check inter 500ms fall 2 rise 2 on-marked-down shutdown-sessions
{{- end}}
{{end}}
{{define "nginx"}}worker_processes auto;
events { worker_connections 65536; }

http {
    # The first four digits of a session's id name the node that made it.
    map $http_mcp_session_id $rookery_nodes {
        default any;
{{- range .Nodes}}
        ~*^{{.Tag}} {{.Name}};
{{- end}}
    }

    upstream any {
        least_conn;
{{- range .Nodes}}
        server {{.Addr}} max_fails=1 fail_timeout=2s;
{{- end}}
        keepalive 64;
    }
{{range $n := .Nodes}}
    upstream {{$n.Name}} {
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
            proxy_connect_timeout 2s;
            proxy_read_timeout 1h;
            proxy_next_upstream error timeout http_503;
            proxy_next_upstream_tries 3;
        }
    }
}
{{end}}`))
