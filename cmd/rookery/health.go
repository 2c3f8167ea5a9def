package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// newHealth is `rookery health`: what a container without a shell can run to
// know whether its node is well.
func newHealth(environ []string) *cobra.Command {
	addr := defaultAdmin
	if v, ok := variable(environ, envPrefix+"ADMIN"); ok && v != "" {
		addr = v // that of the node in this container
	}
	timeout := 3 * time.Second
	ready := false
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a node whether it is well; exit 1 if not",
		Long: `Asks /livez of an admin listener, or /readyz with --ready, and exits with 0 if the answer is 200.

Let what restarts a node ask without --ready: a node that drains is not ready and must not be
killed for it. --ready is for what sends clients.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&addr, "admin", addr, "admin `address` of the node; one without a host, or for all hosts, means this one")
	cmd.Flags().Var(interval(&timeout, time.Millisecond), "timeout", "patience")
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it takes clients")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		at, err := reachable(addr)
		if err != nil {
			return usageError{err}
		}
		path := "/livez"
		if ready {
			path = "/readyz"
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		body, err := fetch(ctx, http.MethodGet, at, path)
		var silent *url.Error
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("%s: no answer within %v", at, timeout)
		case errors.As(err, &silent):
			return fmt.Errorf("%s: %w", at, silent.Err)
		case err != nil:
			return fmt.Errorf("%s%s: %w", at, path, err)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), clean(strings.TrimSpace(string(body))))
		return err
	}
	return cmd
}

// reachable returns where a listener with that address is reached from its own
// machine.
func reachable(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q is not HOST:PORT", addr)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	whole := net.JoinHostPort(host, port)
	return whole, checkWhole(whole)
}
