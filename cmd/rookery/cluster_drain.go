package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/cluster"
)

func newClusterDrain(a *admins) *cobra.Command {
	m := mover{admins: a, what: "drain"}
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Move all sessions away from a node, before it is stopped",
		Long: `Announces that the node takes no more sessions, and moves those it has to other nodes.
Open streams are ended with a retry time; their clients come back and lose nothing.
The node goes on serving and forwarding; stop it when the command has ended.`,
		Args: cobra.ExactArgs(1),
	}
	m.register(cmd)
	cmd.Flags().BoolVar(&m.undo, "undo", false, "let the node take sessions again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return m.run(cmd, args[0]) }
	return cmd
}

func newClusterRebalance(a *admins) *cobra.Command {
	m := mover{admins: a, what: "rebalance"}
	cmd := &cobra.Command{
		Use:   "rebalance [NODE]",
		Short: "Move sessions to the nodes that hold their partition first, as after a join",
		Long: `Without NODE every node does it, one after another. Each session moves once;
a client with an open stream comes back where its balancer sends it.`,
		Args: cobra.MaximumNArgs(1),
	}
	m.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return m.run(cmd, args[0])
		}
		r, err := a.report(cmd.Context())
		if err != nil {
			return err
		}
		for _, n := range r.View.Nodes {
			if n.State.Serves() {
				if err := m.run(cmd, n.Name); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return cmd
}

const ratesMax = 1 << 20

// mover has a node move sessions away and shows how far it is.
type mover struct {
	*admins
	what string
	rate int
	json bool
	undo bool
}

func (m *mover) register(cmd *cobra.Command) {
	m.rate = 1000
	cmd.Flags().Var(count(&m.rate, 1, ratesMax), "rate", "sessions moved each second")
	cmd.Flags().BoolVar(&m.json, "json", false, "print JSON")
}

// moveResult is what --json prints.
type moveResult struct {
	Node    string  `json:"node"`
	Action  string  `json:"action"`
	Before  int     `json:"sessions_before"`
	After   int     `json:"sessions_after"`
	Seconds float64 `json:"seconds"`
}

func (m *mover) run(cmd *cobra.Command, node string) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	addr, err := m.adminOf(ctx, node)
	if err != nil {
		return err
	}
	if m.undo {
		return m.call(ctx, http.MethodPost, addr, "/cluster/drain?undo=1", nil)
	}
	before, err := m.homes(ctx, addr)
	if err != nil {
		return err
	}
	begin := time.Now()
	done := make(chan error, 1)
	path := "/cluster/" + m.what + "?" + url.Values{"rate": {strconv.Itoa(m.rate)}}.Encode()
	go func() { done <- call(ctx, http.MethodPost, addr, path, nil) }() // ends with the node's answer or ctx
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
			return m.result(ctx, cmd, node, addr, before, time.Since(begin))
		case <-tick.C:
			if left, err := m.homes(ctx, addr); err == nil && !m.json {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d of %d sessions are still at home there\n", node, left, before)
			}
		}
	}
}

func (m *mover) result(ctx context.Context, cmd *cobra.Command, node, addr string, before int, took time.Duration) error {
	after, err := m.homes(ctx, addr)
	if err != nil {
		return err
	}
	if m.json {
		return printJSON(cmd.OutOrStdout(), moveResult{node, m.what, before, after, took.Seconds()})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d sessions before, %d now, %v\n", node, before, after, took.Round(10*time.Millisecond))
	return nil
}

func (m *mover) homes(ctx context.Context, addr string) (int, error) {
	r := &cluster.Report{}
	err := m.call(ctx, http.MethodGet, addr, "/cluster", r)
	return r.Homes(), err
}
