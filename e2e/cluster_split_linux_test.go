package e2e

import (
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// innerEnv marks the process whose network namespace TestClusterNetwork has.
const innerEnv = "E2E_INNER"

// The network between the nodes fails in all the ways networks do. What each
// side acknowledges is delivered when it is whole again, once and in order.
func TestClusterNetwork(t *testing.T) {
	if os.Getenv(innerEnv) == "" {
		inNamespace(t)
		return
	}
	w := newNetwork(t)
	c := newNest(t)
	for i := range nodesOfCluster {
		number := byte(i + 1)
		at := func(port int) string {
			return net.JoinHostPort(wireNet+strconv.Itoa(int(number)), strconv.Itoa(port))
		}
		c.add(&member{
			name: "n" + strconv.Itoa(i+1), tcp: at(7600), http: at(7680), admin: at(7690), gossip: at(7701), listen: at(wirePeer),
			command: func(args []string) *exec.Cmd { return w.command(number, args) },
		}, "--ack-timeout", "2s")
	}
	for _, m := range c.members {
		c.start(m)
	}
	c.settled()
	s := &splits{w: w, c: c, a: c.newAudience(audienceOfFaults())}
	t.Run("3 and 1", s.threeAndOne)
	t.Run("2 and 2", s.twoAndTwo)
	t.Run("one way", s.oneWay)
	t.Run("one link", s.oneLink)
	t.Run("reads nothing", s.readsNothing)
	t.Run("bit flips", s.bitFlips)
}

// wirePeer is the port of the links.
const wirePeer = 7700

// inNamespace runs the test again in a network namespace of its own.
func inNamespace(t *testing.T) {
	t.Helper()
	only := "^" + t.Name() + "$"
	if given := flag.Lookup("test.run").Value.String(); strings.HasPrefix(strings.TrimPrefix(given, "^"), t.Name()) {
		only = given // one of the faults, perhaps
	}
	run := func(flags uintptr) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run="+only, "-test.v", "-test.timeout=3m")
		cmd.Env = append(os.Environ(), innerEnv+"=1", binaryEnv+"="+binary)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		if flags&syscall.CLONE_NEWUSER != 0 {
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		return cmd.CombinedOutput()
	}
	out, err := run(syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && os.Getuid() == 0 {
		out, err = run(syscall.CLONE_NEWNET) // user namespaces are closed, but root may do without
	}
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("no network namespace: %v; allow it with sysctl kernel.apparmor_restrict_unprivileged_userns=0 or user.max_user_namespaces, or run as root", err)
	}
	if err != nil {
		t.Errorf("%v", err)
	}
	t.Logf("in the namespace:\n%s", out)
}

// splits are faults of a network with clients.
type splits struct {
	w *network
	c *nest
	a *audience
}

// begin is what each fault does first.
func (s *splits) begin(t *testing.T, publishers ...*member) *broadcasts {
	s.c.t, s.a.t = t, t
	t.Cleanup(func() { s.w.faults(nil) })
	s.c.settled()
	s.a.served()
	b := s.a.publish(publishers...)
	b.more(2)
	return b
}

// heal ends a fault: all nodes find each other, and everything arrives.
func (s *splits) heal(b *broadcasts) {
	s.w.faults(nil)
	s.c.settled()
	b.more(2)
	s.a.served()
	b.mayBeLate = true
	b.verify(true)
}

// apart drops everything between nodes of a and others.
func apart(a ...byte) func(from, to byte, packet []byte) bool {
	return func(from, to byte, _ []byte) bool { return slices.Contains(a, from) == slices.Contains(a, to) }
}

// threeAndOne: the one goes on too. Of sessions that it has no copy of it says
// that it does not know, and not that there are none.
func (s *splits) threeAndOne(t *testing.T) {
	n := s.c.members
	b := s.begin(t, n[0], n[3])
	var others []*listener
	for range 24 {
		l := &listener{a: s.a}
		if err := l.initialize(t.Context()); err != nil {
			t.Fatal(err)
		}
		others = append(others, l)
	}
	s.c.settled()
	s.w.faults(apart(4))
	s.c.settled(n[:3]...)
	s.c.settled(n[3])
	known := s.ask(t, others, n[3])
	if known == 0 || known == len(others) {
		t.Errorf("a node alone serves %d of %d sessions, which have three copies on four nodes", known, len(others))
	}
	if known := s.ask(t, others, n[1]); known != len(others) {
		t.Errorf("three nodes serve %d of %d sessions", known, len(others))
	}
	for range 4 {
		status, answer, err := b.all[1].call(t.Context(), n[3], 1, "echo", `{"text":"alone"}`)
		if err != nil || status != http.StatusOK {
			t.Errorf("a node alone: status %d, %v, %s", status, err, answer)
		}
	}
	s.heal(b)
	for _, m := range n {
		s.c.await("service for all sessions", func() bool { return s.ask(t, others, m) == len(others) })
	}
}

// ask sends a request of each session to one node and returns how many were
// served. The others must have been asked to come again.
func (s *splits) ask(t *testing.T, sessions []*listener, m *member) (served int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, l := range sessions {
		wg.Go(func() {
			status, head, _, err := s.a.post(t.Context(), m, l.session, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && status == http.StatusOK:
				served++
			case err != nil || status != http.StatusServiceUnavailable || head.Get("Retry-After") == "":
				t.Errorf("session %s on %s: status %d, Retry-After %q, %v", l.session, m.name, status, head.Get("Retry-After"), err)
			}
		})
	}
	wg.Wait()
	return served
}

// twoAndTwo: both sides publish, and both keep their promise.
func (s *splits) twoAndTwo(t *testing.T) {
	n := s.c.members
	b := s.begin(t, n[0], n[2])
	s.w.faults(apart(1, 2))
	s.c.settled(n[:2]...)
	s.c.settled(n[2:]...)
	b.more(3)
	s.heal(b)
}

// oneWay: nobody hears of one node, which hears everybody.
func (s *splits) oneWay(t *testing.T) {
	n := s.c.members
	b := s.begin(t, n[0], n[1])
	s.w.faults(func(from, _ byte, _ []byte) bool { return from != 4 })
	s.c.settled(n[:3]...)
	b.more(3)
	s.heal(b)
}

// oneLink: two nodes do not reach each other, while gossip finds nothing wrong
// with either.
func (s *splits) oneLink(t *testing.T) {
	n := s.c.members
	b := s.begin(t, n[2], n[3])
	s.w.faults(func(from, to byte, packet []byte) bool {
		return min(from, to) != 1 || max(from, to) != 2 || !ofLink(packet)
	})
	s.c.await("end of the link", func() bool {
		r, ok := n[0].report()
		return ok && slices.ContainsFunc(r.Processes[0].Links, func(l linkReport) bool { return !l.Connected })
	})
	s.heal(b)
}

// ofLink reports whether a packet belongs to a link between nodes.
func ofLink(packet []byte) bool {
	_, source, target, ok := tcpPayload(packet)
	return ok && (source == wirePeer || target == wirePeer)
}

// readsNothing: a node that acknowledges nothing and sends on. Nobody waits for
// it for long, or keeps without end what it is to get.
func (s *splits) readsNothing(t *testing.T) {
	n := s.c.members
	b := s.begin(t, n[0], n[1])
	s.w.faults(func(from, _ byte, packet []byte) bool {
		if from == 4 && ofLink(packet) {
			closeWindow(packet)
		}
		return true
	})
	s.c.await("farewell to a node that reads nothing", func() bool {
		for _, m := range n[:3] {
			r, ok := m.report()
			if !ok || !slices.ContainsFunc(r.Processes[0].Links, func(l linkReport) bool { return !l.Connected }) {
				return false
			}
		}
		return true
	})
	b.more(3)
	s.heal(b)
}

// bitFlips: what links carry is damaged now and then in a way that TCP does not
// notice. Links do, and begin anew.
func (s *splits) bitFlips(t *testing.T) {
	n := s.c.members
	b := s.begin(t, n[0], n[2])
	flipped, packets := 0, 0
	s.w.faults(func(_, _ byte, packet []byte) bool { // one at a time: see network.pass
		if at, _, _, _ := tcpPayload(packet); ofLink(packet) && at < len(packet) {
			if packets++; packets%400 == 0 && flip(packet) {
				flipped++
			}
		}
		return true
	})
	s.c.await("damage", func() bool {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		return flipped >= 10
	})
	s.heal(b)
}
