package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// localNodesMax is how many nodes the ports of a local cluster leave room for.
const localNodesMax = 10

func newClusterUp() *cobra.Command {
	u := &localCluster{nodes: 4}
	cmd := &cobra.Command{
		Use:   "up [-- SERVE FLAGS]",
		Short: "Run a cluster of several nodes on this machine until Ctrl-C",
		Long: `Starts the nodes n1, n2, ... as processes on loopback, n1 on the default ports and each next
one port higher (gossip and peer two). They end with this command, whatever ends it.
A node that is killed stays away; the others take its sessions over.
Flags behind -- go to each node's serve.`,
		Example: "  rookery cluster up --nodes 4 -- --durability async",
	}
	cmd.Flags().Var(count(&u.nodes, 1, localNodesMax), "nodes", "how many")
	cmd.Flags().StringVar(&u.dir, "logs", "", "write each node's log to DIR/NODE.log instead of here")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if dash := cmd.ArgsLenAtDash(); dash > 0 || dash < 0 && len(args) > 0 {
			return usageError{fmt.Errorf("%q stands before --: only flags of serve, behind it", args[0])}
		}
		return u.run(cmd, args)
	}
	return cmd
}

// localCluster is a few nodes as children of this process. Each has the read end
// of a pipe as its standard input and ends when that closes, so that none
// outlives this process even if that is killed.
type localCluster struct {
	nodes int
	dir   string

	mu  sync.Mutex
	out io.Writer // guarded by mu
	wg  sync.WaitGroup
}

// localNode is where one of them listens.
type localNode struct{ name, tcp, http, admin, peer, gossip string }

func localNodeOf(i int) localNode {
	at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	return localNode{"n" + strconv.Itoa(i+1), at(7600 + i), at(7680 + i), at(7690 + i), at(7700 + 2*i), at(7701 + 2*i)}
}

func (n localNode) args(join string, more []string) []string {
	args := []string{"serve", "--lifeline", "--node", n.name, "--tcp", n.tcp, "--http", n.http, "--admin", n.admin, "--peer", n.peer, "--gossip", n.gossip}
	if join != "" {
		args = append(args, "--join", join)
	}
	return append(args, more...)
}

func (u *localCluster) run(cmd *cobra.Command, more []string) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	u.out = cmd.OutOrStdout()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if u.dir != "" {
		if err := os.MkdirAll(u.dir, 0o755); err != nil {
			return err
		}
	}
	ended := make(chan error, u.nodes)
	var lifelines []io.Closer
	defer func() {
		for _, l := range lifelines {
			_ = l.Close() // the node drains
		}
		u.wg.Wait()
	}()
	first := localNodeOf(0)
	for i := range u.nodes {
		n, join := localNodeOf(i), ""
		if i > 0 {
			join = first.gossip
		}
		lifeline, err := u.start(self, n, n.args(join, more), ended)
		if err != nil {
			return err
		}
		lifelines = append(lifelines, lifeline)
	}
	if err := u.await(ctx, ended); err != nil {
		return err
	}
	u.print("", fmt.Sprintf("%d nodes are up. In another terminal:\n  rookery cluster status --watch\nCtrl-C ends them.\n", u.nodes))
	for left := u.nodes; left > 0; left-- {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended: // the others go on, as a cluster does
			u.print("", err.Error())
		}
	}
	return errors.New("all nodes have ended")
}

// start starts one node and returns what ends it when closed.
func (u *localCluster) start(self string, n localNode, args []string, ended chan<- error) (io.Closer, error) {
	c := exec.Command(self, args...)
	// A signal of the terminal is for this process, which then ends its nodes.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lifeline, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	log, err := u.log(n.name)
	if err != nil {
		return nil, err
	}
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		_ = log.Close() // nothing was written
		return nil, fmt.Errorf("node %s: %w", n.name, err)
	}
	u.wg.Go(func() {
		err := c.Wait()
		_ = log.Close() // to a pipe or a file that was written
		if err == nil {
			err = errors.New("exit status 0")
		}
		ended <- fmt.Errorf("node %s ended: %w", n.name, err)
	})
	return lifeline, nil
}

// log returns where a node writes: a file, or here with its name in front.
func (u *localCluster) log(name string) (io.WriteCloser, error) {
	if u.dir != "" {
		return os.OpenFile(filepath.Join(u.dir, name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	u.wg.Go(func() {
		defer r.Close()
		in := bufio.NewScanner(r)
		for in.Scan() {
			u.print(name, in.Text())
		}
		_, _ = io.Copy(io.Discard, r) // a line too long: the node must not block on it
	})
	return w, nil
}

func (u *localCluster) print(name, line string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if name != "" {
		fmt.Fprintf(u.out, "%s | ", name)
	}
	fmt.Fprintln(u.out, strings.TrimRight(line, "\n"))
}

// localPatience is how long the nodes may take to find each other.
const localPatience = 20 * time.Second

// await returns when every node sees all of them.
func (u *localCluster) await(ctx context.Context, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, localPatience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if u.complete(ctx) {
			return nil
		}
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("the nodes did not find each other within %v", localPatience)
			}
			return nil // Ctrl-C
		case <-tick.C:
		}
	}
}

func (u *localCluster) complete(ctx context.Context) bool {
	for i := range u.nodes {
		a := admins{addr: localNodeOf(i).admin, timeout: time.Second}
		r, err := a.report(ctx)
		if err != nil {
			return false
		}
		serving := 0
		for _, n := range r.View.Nodes {
			if n.State.Serves() {
				serving++
			}
		}
		if serving < u.nodes {
			return false
		}
	}
	return true
}
