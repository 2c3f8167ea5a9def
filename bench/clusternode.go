package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// node is one node of a cluster under test, a process that ends with this one:
// its standard input is its lifeline.
type node struct {
	name    string
	argv    []string
	admin   *admin
	tcp     netip.AddrPort
	http    netip.AddrPort
	process *process      // nil: not running
	ended   chan struct{} // closed when the process has
	asked   *atomic.Bool  // whether it was told to end; of this process, not of the next
	log     *os.File      // nil: its last words are kept only
}

func (n *node) pid() int { return n.process.PID() }

// Addresses of a node, in the order of its ports.
const (
	portTCP = iota
	portHTTP
	portAdmin
	portPeer
	portGossip
	nodePorts
)

// nodes are a cluster of real processes on this machine.
type nodes struct {
	dir  string // of the key, and what nodes put into a temporary directory
	list []*node
	died func(error)    // TestbedOptions.Died
	wg   sync.WaitGroup // of what waits for processes
}

// clusterSetup says what nodes to start.
type clusterSetup struct {
	server string   // binary
	args   []string // of each node's serve
	logs   string   // directory; "": none
	count  int
	died   func(error) // TestbedOptions.Died
}

// startNodes starts a cluster and returns when all see all.
func startNodes(ctx context.Context, s clusterSetup) (*nodes, error) {
	dir, err := os.MkdirTemp("", "rookery-bench-")
	if err != nil {
		return nil, err
	}
	c := &nodes{dir: dir, died: s.died}
	if err := c.configure(s); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	for i := range c.list {
		if err := c.start(i); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	if _, err := c.agreed(ctx, c.all(), len(c.list)); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// configure chooses names, addresses and the key.
func (c *nodes) configure(s clusterSetup) error {
	key := filepath.Join(c.dir, "key")
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	if err := os.WriteFile(key, []byte(hex.EncodeToString(secret)+"\n"), 0o600); err != nil {
		return err
	}
	addrs := make([][nodePorts]netip.AddrPort, s.count)
	for i := range addrs {
		for p := range addrs[i] {
			var err error
			if addrs[i][p], err = FreeAddr(); err != nil {
				return err
			}
		}
	}
	for i, a := range addrs {
		var join []string
		for j, other := range addrs {
			if j != i {
				join = append(join, other[portGossip].String())
			}
		}
		n := &node{name: fmt.Sprintf("n%d", i+1), tcp: a[portTCP], http: a[portHTTP], admin: newAdmin(a[portAdmin])}
		n.admin.http.Transport = nil // connections are kept: it is asked often
		n.argv = append([]string{
			s.server, "serve", "--lifeline", "--node", n.name, "--tcp", a[portTCP].String(), "--http", a[portHTTP].String(),
			"--admin", a[portAdmin].String(), "--peer", a[portPeer].String(), "--gossip", a[portGossip].String(),
			"--join", strings.Join(join, ","), "--cluster-key", key, "--cluster-name", "bench",
		}, s.args...)
		if s.logs != "" {
			log, err := os.OpenFile(filepath.Join(s.logs, n.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			n.log = log
		}
		c.list = append(c.list, n)
	}
	return nil
}

// start starts one node that does not run.
func (c *nodes) start(i int) error {
	n := c.list[i]
	var log io.Writer
	if n.log != nil {
		log = n.log
	}
	// A node that is killed leaves its files: they go with the cluster.
	p, err := startLogged(n.argv, log, "TMPDIR="+c.dir)
	if err != nil {
		return err
	}
	ended, asked := make(chan struct{}), new(atomic.Bool)
	n.process, n.ended, n.asked = p, ended, asked
	c.wg.Go(func() {
		defer close(ended)
		for range p.lines {
			// What it announces; nobody needs it.
		}
		if err := p.Stop(); !asked.Load() && c.died != nil {
			if err == nil {
				err = errExitZero
			}
			c.died(fmt.Errorf("%s ended by itself: %w", n.name, err))
		}
	})
	return nil
}

// kill ends a node with SIGKILL and does not wait for that. One that has ended,
// as of a signal to all its processes, is fine: the end of one that nobody asked
// for is told to died.
func (c *nodes) kill(i int) error {
	n := c.list[i]
	p := n.process
	n.process = nil
	n.asked.Store(true)
	err := p.cmd.Process.Kill()
	c.wg.Go(func() { _ = p.stop() }) // its error is its signal
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// stop kills all nodes and removes the key.
func (c *nodes) stop() error {
	var errs []error
	for i, n := range c.list {
		if n.process != nil {
			_ = c.kill(i) // it may have ended
		}
	}
	c.wg.Wait()
	for _, n := range c.list {
		n.admin.http.CloseIdleConnections()
		if n.log != nil {
			errs = append(errs, n.log.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

// all returns the indices of all nodes, except returns those not in gone.
func (c *nodes) all() []int { return c.except() }

func (c *nodes) except(gone ...int) (list []int) {
	for i := range c.list {
		out := false
		for _, g := range gone {
			out = out || g == i
		}
		if !out {
			list = append(list, i)
		}
	}
	return list
}

// addrs returns where clients find the nodes.
func (c *nodes) addrs() []netip.AddrPort {
	list := make([]netip.AddrPort, len(c.list))
	for i, n := range c.list {
		list[i] = n.http
	}
	return list
}
