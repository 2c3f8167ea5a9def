package load

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Target is a server, or one of several that are a cluster, as clients see it.
type Target struct {
	// Addr is where clients connect.
	Addr netip.AddrPort `json:"addr"`
	// Host is what HTTP requests call it; "": Addr.
	Host string `json:"host,omitempty"`
	// Path is the MCP endpoint, such as "/mcp"; unused by JSONRPC.
	Path string `json:"path,omitempty"`
}

// ParseTargets reads a list, separated by commas, of HOST:PORT or, for MCP,
// http://HOST[:PORT]/PATH. Names are looked up once, now; ctx bounds that.
// Without a path MCP is at /mcp.
func ParseTargets(ctx context.Context, list string) ([]Target, error) {
	var targets []Target
	for _, text := range strings.Split(list, ",") {
		t, err := parseTarget(ctx, strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%w: target %q: %w", ErrOptions, text, err)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

func parseTarget(ctx context.Context, text string) (Target, error) {
	t := Target{Host: text, Path: "/mcp"}
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil {
			return t, err
		}
		if u.Scheme != "http" {
			return t, fmt.Errorf("scheme %q; only http can be spoken", u.Scheme)
		}
		t.Host, t.Path = u.Host, u.RequestURI()
		if u.Port() == "" {
			t.Host = net.JoinHostPort(u.Hostname(), "80")
		}
	}
	host, port, err := net.SplitHostPort(t.Host)
	if err != nil {
		return t, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return t, fmt.Errorf("%q is no port", port)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return t, err
	}
	t.Addr = netip.AddrPortFrom(ips[0].Unmap(), uint16(number))
	return t, nil
}

func (t Target) check(remote bool) error {
	switch {
	case !t.Addr.Addr().Is4() || t.Addr.Port() == 0:
		return fmt.Errorf("target %s is no IPv4 address with a port", t.Addr)
	case !remote && !t.Addr.Addr().IsLoopback():
		return fmt.Errorf("target %s is not on this machine: load only what is yours, and then with --allow-remote", t.Addr)
	case strings.ContainsAny(t.Path+t.Host, " \r\n"):
		return fmt.Errorf("target %s: path %q or host %q has a space or a line end", t.Addr, t.Path, t.Host)
	}
	return nil
}

// host returns the value of the Host header.
func (t Target) host() string {
	if t.Host != "" {
		return t.Host
	}
	return t.Addr.String()
}
