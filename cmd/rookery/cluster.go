package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/cluster"
)

// newCluster is `rookery cluster`: a client of the admin listeners of nodes.
func newCluster() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Show and steer a cluster",
		Long: `Asks a node's admin listener, and those of the others where their word counts.

Try:
  rookery cluster up                  four nodes on this machine
  rookery cluster status --watch      who is in it and what they hold
  rookery cluster drain n1            move everything away from n1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a := &admins{addr: "127.0.0.1:7690", timeout: 3 * time.Second}
	cmd.PersistentFlags().Var(text(&a.addr, "address", checkWhole), "admin", "admin address of any node of the cluster")
	cmd.PersistentFlags().Var(interval(&a.timeout, time.Millisecond), "timeout", "patience with a node that does not answer")
	cmd.AddCommand(newClusterStatus(a), newClusterMembers(a), newClusterSessions(a),
		newClusterDrain(a), newClusterRebalance(a), newClusterKeygen(), newClusterBalancer(), newClusterUp())
	return cmd
}

// checkWhole accepts an address that others can use: one with host and port.
func checkWhole(s string) error {
	if host, port, err := net.SplitHostPort(s); err == nil && (host == "" || port == "" || port == "0") {
		return fmt.Errorf("%q lacks host or port", s)
	} else if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", s)
	}
	return checkHostPort(s)
}

// admins asks admin listeners.
type admins struct {
	addr    string
	timeout time.Duration
}

// reportMax bounds what a node may say.
const reportMax = 64 << 20

// call sends one request to an admin listener and decodes the answer into v.
func (a *admins) call(ctx context.Context, method, addr, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return call(ctx, method, addr, path, v)
}

func call(ctx context.Context, method, addr, path string, v any) error {
	body, err := fetch(ctx, method, addr, path)
	var silent *url.Error
	switch {
	case errors.As(err, &silent):
		return fmt.Errorf("admin listener %s: %w (is the node running? see --admin)", addr, silent.Err)
	case err != nil:
		return fmt.Errorf("admin listener %s: %w", addr, err)
	case v == nil:
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("admin listener %s: %w", addr, err)
	}
	return nil
}

// fetch returns what an admin listener answers. When nobody does, the error is
// a *url.Error.
func fetch(ctx context.Context, method, addr, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
	if err != nil {
		return nil, usageError{err}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, reportMax))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(body)))
	}
	return body, err
}

// report asks the node that --admin names.
func (a *admins) report(ctx context.Context) (*cluster.Report, error) {
	r := &cluster.Report{}
	if err := a.call(ctx, http.MethodGet, a.addr, "/cluster", r); err != nil {
		return nil, err
	}
	if r.View == nil {
		return nil, fmt.Errorf("the node at %s is alone: it was started without --gossip and --peer", a.addr)
	}
	return r, nil
}

// reportOf asks another node. Whoever answers must be that node: an address such
// as 127.0.0.1 names another one on each machine.
func (a *admins) reportOf(ctx context.Context, n *cluster.Node) (*cluster.Report, error) {
	r := &cluster.Report{}
	if err := a.call(ctx, http.MethodGet, n.Admin, "/cluster", r); err != nil {
		return nil, err
	}
	if r.Node != n.Name {
		return nil, fmt.Errorf("node %s announces the admin address %s, at which %q answers; give its --admin a host that is reached from here, or run this there", n.Name, n.Admin, r.Node)
	}
	return r, nil
}

// answer is what one node said, or why it did not.
type answer struct {
	node   cluster.Node
	report *cluster.Report
	err    error
}

// all asks a node and then every node it sees alive, at the same time.
func (a *admins) all(ctx context.Context) (*cluster.Report, []answer, error) {
	first, err := a.report(ctx)
	if err != nil {
		return nil, nil, err
	}
	answers := make([]answer, len(first.View.Nodes))
	done := make(chan struct{})
	for i, n := range first.View.Nodes {
		answers[i].node = n
		go func() { // ends within the timeout; all are waited for
			defer func() { done <- struct{}{} }()
			switch {
			case n.Name == first.Node:
				answers[i].report = first
			case !n.State.Serves():
				answers[i].err = errors.New(n.State.String())
			case n.Admin == "":
				answers[i].err = errors.New("no admin listener")
			default:
				answers[i].report, answers[i].err = a.reportOf(ctx, &n)
			}
		}()
	}
	for range answers {
		<-done
	}
	return first, answers, nil
}

// adminOf returns the admin address of a node by name.
func (a *admins) adminOf(ctx context.Context, name string) (string, error) {
	r, err := a.report(ctx)
	if err != nil {
		return "", err
	}
	n := r.View.Node(name)
	switch {
	case n == nil:
		var names []string
		for _, n := range r.View.Nodes {
			names = append(names, n.Name)
		}
		return "", usageError{fmt.Errorf("no node %q in the cluster; there are %s", name, strings.Join(names, ", "))}
	case name == r.Node:
		return a.addr, nil
	case !n.State.Serves():
		return "", fmt.Errorf("node %s is %s", name, n.State)
	case n.Admin == "":
		return "", fmt.Errorf("node %s has no admin listener", name)
	}
	_, err = a.reportOf(ctx, n)
	return n.Admin, err
}
