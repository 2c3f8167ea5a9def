package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

// TestbedOptions say what nodes to start.
type TestbedOptions struct {
	Server string   // rookery binary
	Args   []string // of each node's serve, beyond names and addresses
	Logs   string   // directory for the nodes' logs, which must exist; "": none
	Nodes  int
	// Died is called when a node ends that nobody has ended, with how; nil: nobody
	// is told. From any goroutine; it must not block.
	Died func(error)
}

// Testbed is a cluster of real processes on this machine, for measurements from
// outside. Its nodes end with this process, however that ends. Not safe for
// concurrent use, but for Get, Until and the addresses.
type Testbed struct{ nodes *nodes }

// ClusterPage is what a node says at GET /cluster, as far as it is needed here.
type ClusterPage = clusterPage

// StartTestbed starts nodes and returns when each sees all others, links and
// copies included, or ctx ends. Stop ends them.
func StartTestbed(ctx context.Context, o TestbedOptions) (*Testbed, error) {
	c, err := startNodes(ctx, clusterSetup{server: o.Server, args: o.Args, logs: o.Logs, count: o.Nodes, died: o.Died})
	if err != nil {
		return nil, err
	}
	return &Testbed{nodes: c}, nil
}

// Len returns the number of nodes, dead ones included.
func (t *Testbed) Len() int { return len(t.nodes.list) }

// Name returns the name of node i.
func (t *Testbed) Name(i int) string { return t.nodes.list[i].name }

// TCP returns where node i takes JSON-RPC clients.
func (t *Testbed) TCP(i int) netip.AddrPort { return t.nodes.list[i].tcp }

// HTTP returns where node i takes MCP clients.
func (t *Testbed) HTTP(i int) netip.AddrPort { return t.nodes.list[i].http }

// Running reports whether node i was started and not killed since.
func (t *Testbed) Running(i int) bool { return t.nodes.list[i].process != nil }

// PIDs returns the processes of node i: the first is the one that was started,
// its workers follow. A node that does not run has none.
func (t *Testbed) PIDs(i int) ([]int, error) {
	if !t.Running(i) {
		return nil, nil
	}
	pid := t.nodes.list[i].pid()
	workers, err := childrenOf(pid)
	if err != nil {
		return nil, err
	}
	slices.Sort(workers)
	return append([]int{pid}, workers...), nil
}

// Signal sends sig to all processes of node i.
func (t *Testbed) Signal(i int, sig syscall.Signal) error {
	pids, err := t.PIDs(i)
	if err != nil {
		return err
	}
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("bench: %s, process %d: %w", t.Name(i), pid, err))
		}
	}
	return errors.Join(errs...)
}

// Kill ends all processes of node i with SIGKILL and does not wait for that.
func (t *Testbed) Kill(i int) error {
	t.nodes.list[i].asked.Store(true)
	return errors.Join(t.Signal(i, syscall.SIGKILL), t.nodes.kill(i))
}

// Shutdown ends node i with SIGTERM and waits until it has.
func (t *Testbed) Shutdown(ctx context.Context, i int) error {
	n := t.nodes.list[i]
	n.asked.Store(true)
	if err := n.process.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.ended:
	case <-ctx.Done():
		return fmt.Errorf("bench: %s does not end: %w", n.name, context.Cause(ctx))
	}
	_ = n.process.stop() // it has ended; its status is not of interest
	n.process = nil
	return nil
}

// Start starts node i again.
func (t *Testbed) Start(i int) error { return t.nodes.start(i) }

// Stop kills all nodes and removes their files.
func (t *Testbed) Stop() error { return t.nodes.stop() }

// Get returns what the admin listener of node i has at path.
func (t *Testbed) Get(ctx context.Context, i int, path string) ([]byte, error) {
	return t.nodes.list[i].admin.get(ctx, path)
}

// Page returns what node i knows of the cluster.
func (t *Testbed) Page(ctx context.Context, i int) (*ClusterPage, error) {
	return t.nodes.list[i].admin.cluster(ctx)
}

// Until asks the nodes of some every so often until ok likes what each says,
// and returns when the last of them did.
func (t *Testbed) Until(ctx context.Context, some []int, every time.Duration, ok func(*ClusterPage) bool) (time.Time, error) {
	return t.nodes.each(some, func(n *node) (time.Time, error) { return n.until(ctx, every, ok) })
}

// Agreed waits until some nodes see that many serving nodes, with links to all
// of them and copies where they should be.
func (t *Testbed) Agreed(ctx context.Context, some []int, serving int) (time.Time, error) {
	return t.nodes.agreed(ctx, some, serving)
}

// Others returns the indices of all nodes but gone.
func (t *Testbed) Others(gone ...int) []int { return t.nodes.except(gone...) }

// State returns what the page says of the node of that name: "" if nothing.
func (p *ClusterPage) State(name string) string { return p.state(name) }

// Takes reports whether the page says that the node of that name serves and may
// be given sessions: one that leaves is not.
func (p *ClusterPage) Takes(name string) bool { return p.takes(name) }

// Serves reports whether a node in the state may hold sessions.
func Serves(state string) bool { return serves(state) }

// Sum returns how many sessions are at home in the node's processes, and how
// many they hold as copies.
func (p *ClusterPage) Sum() (homes, copies int) { return p.homes(), p.copies() }

// Serving returns how many nodes the page says may hold sessions.
func (p *ClusterPage) Serving() int { return p.serving() }

// Ready reports whether each process of the node has links to that many others
// and all copies are where they should be.
func (p *ClusterPage) Ready(peers int) bool { return p.ready(peers) }
